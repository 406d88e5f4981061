"""Lists and folders of the large benchmarks: MegaFace and Trillion-Pairs, IJB-B and IJB-C, iQIYI-VID."""

__all__ = ["ijb", "iqiyi", "megaface"]

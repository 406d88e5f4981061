"""Images before they are batches: decoding, alignment, folders and lists of files, sets of images to embed."""

__all__ = ["align", "decode", "encoded", "folder", "sizes", "sources"]

"""What the protocols share: blocks of scores on every device, exact search, counts and curves."""

__all__ = ["blocks", "copies", "curves", "passes", "rank_counts", "search", "sums"]

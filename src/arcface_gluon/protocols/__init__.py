"""Protocols: arrays in, numbers out. Each file has the rules of one benchmark, `scores` what they share."""

from ..lazy import lazily

_NAMES = {
    "angle_statistics": "angles",
    "table3": "angles",
    "calibrate": "thresholds",
    "evaluate_pairs": "verification",
    "pair_distances": "verification",
    "identify": "megaface",
    "rank1": "megaface",
    "refine": "megaface",
    "pool": "ijb_templates",
    "pair_scores": "scores.pairs",
    "verify": "ijb_verification",
    "search": "ijb_identification",
    "combine": "iqiyi",
    "mean_average_precision": "iqiyi",
    "TrillionPairs": "trillion_pairs",
    "identity_centres": "overlap",
    "nearest": "overlap",
}
__all__ = [*_NAMES]
__getattr__, __dir__ = lazily(__name__, _NAMES)

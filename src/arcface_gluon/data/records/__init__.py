"""Training sets: RecordIO, `property`, labels and what may be wrong with them, names; packed, rearranged, looked at."""

__all__ = [
    "identity_names",
    "inspection",
    "label_check",
    "label_counts",
    "label_survey",
    "name_file",
    "packing",
    "property_file",
    "rearranging",
    "recordio",
    "rewriting",
    "training_set",
    "unpacking",
]

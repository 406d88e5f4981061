"""Training sets: RecordIO, `property`, labels and what may be wrong with them, names of identities."""

__all__ = ["identity_names", "label_check", "label_counts", "label_survey", "property_file", "recordio", "training_set"]

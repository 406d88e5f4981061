"""Training sets: RecordIO, `property`, labels and what may be wrong with them, names of identities."""

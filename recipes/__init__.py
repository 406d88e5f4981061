"""The recipes: one file an experiment."""

"""The evaluations: one file a table of the paper, each a command of `arcface-gluon eval`."""

"""The data sets: one file a set, each a command of `arcface-gluon data`."""

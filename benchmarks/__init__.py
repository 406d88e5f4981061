"""Speed and memory beside their floors: one file a benchmark, all behind `arcface-gluon bench`."""

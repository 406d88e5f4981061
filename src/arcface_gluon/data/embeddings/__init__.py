"""Embeddings on disk: what `arcface-gluon embed` writes, and feature files of other tools."""

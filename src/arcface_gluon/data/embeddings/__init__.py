"""Embeddings on disk: what `arcface-gluon embed` writes, and feature files of other tools."""

__all__ = ["by_name", "devkit_files", "embedding_file"]

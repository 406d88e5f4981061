"""Figures, one function each, from data to a matplotlib Figure."""

__all__ = ["angles", "benchmarks", "losses", "paper", "run", "tables"]

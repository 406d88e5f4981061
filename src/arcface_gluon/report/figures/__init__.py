"""Figures, one function each, from data to a matplotlib Figure."""

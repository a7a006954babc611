"""Whole numbers as lattices beside the same numbers with noise."""

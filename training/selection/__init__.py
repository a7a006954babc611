"""Choosing a model of a table without a recipe: what `bijecta fit` does."""

from training.selection.command import fit

__all__ = ["fit"]

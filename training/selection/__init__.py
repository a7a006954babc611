"""Choosing a model of a table without a recipe: what `bijecta fit` does."""

from training.selection.command import CHOSEN, Selection, fit

__all__ = ["CHOSEN", "Selection", "fit"]

"""From several runs to a bundle of their mixture: what `bijecta ensemble` does."""

from training.ensembles.command import ensemble

__all__ = ["ensemble"]

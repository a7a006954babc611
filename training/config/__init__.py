"""Recipes: the sections of a TOML file, checked and complete."""

from training.config.data import FILES, PROTOCOLS, TOY_DENSITIES, DataRecipe, Protocol, ToyDensity
from training.config.distill import LossRecipe
from training.config.fit import FitRecipe
from training.config.flow import FlowRecipe
from training.config.recipe import Recipe, load_recipe, load_student, moved

__all__ = [
    "FILES",
    "PROTOCOLS",
    "TOY_DENSITIES",
    "DataRecipe",
    "FitRecipe",
    "FlowRecipe",
    "LossRecipe",
    "Protocol",
    "Recipe",
    "ToyDensity",
    "load_recipe",
    "load_student",
    "moved",
]

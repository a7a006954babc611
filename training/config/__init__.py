"""Recipes: the sections of a TOML file, checked and complete."""

from training.config.data import (
    FILES,
    PROTOCOLS,
    SOURCE_KINDS,
    TOY_DENSITIES,
    ArchiveSource,
    DataSource,
    DigitsSource,
    DividedSource,
    FileSource,
    ImageSource,
    Protocol,
    ProtocolSource,
    RowSource,
    SoundSource,
    TableSource,
    ToyDensity,
    ToySource,
    held_out_source,
    kind_of,
    moved,
)
from training.config.distill import TermRecipe
from training.config.fit import FitRecipe
from training.config.flow import NO_PREPROCESSING, FlowRecipe
from training.config.flow_spec import FlowSpec
from training.config.recipe import Recipe, load_recipe, load_student

__all__ = [
    "FILES",
    "NO_PREPROCESSING",
    "PROTOCOLS",
    "SOURCE_KINDS",
    "TOY_DENSITIES",
    "ArchiveSource",
    "DataSource",
    "DigitsSource",
    "DividedSource",
    "FileSource",
    "FitRecipe",
    "FlowRecipe",
    "FlowSpec",
    "ImageSource",
    "Protocol",
    "ProtocolSource",
    "Recipe",
    "RowSource",
    "SoundSource",
    "TableSource",
    "TermRecipe",
    "ToyDensity",
    "ToySource",
    "held_out_source",
    "kind_of",
    "load_recipe",
    "load_student",
    "moved",
]

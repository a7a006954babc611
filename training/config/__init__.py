"""Recipes: the sections of a TOML file, checked and complete."""

from training.config.data import (
    FILES,
    DataSource,
    data_source,
    held_out_source,
    kind_of,
    moved,
)
from training.config.distill import LossRecipe
from training.config.fit import FitRecipe
from training.config.flow import NO_PREPROCESSING, TYPED_FAMILIES, FlowRecipe, family_class
from training.config.flow_spec import (
    AnySpec,
    ClassFeature,
    ContextSpec,
    FlowSpec,
    TableColumns,
    TabularSpec,
)
from training.config.plain import faults, one_line, shown
from training.config.recipe import (
    TEACHERS_KEYS,
    Recipe,
    load_data_source,
    load_recipe,
    load_student,
)
from training.config.refusals import messages as messages_of
from training.config.section import Count, Section
from training.config.sources import (
    SOURCE_KINDS,
    ArchiveSource,
    DigitsSource,
    DividedSource,
    FileSource,
    ImageSource,
    ProtocolSource,
    RowSource,
    SoundSource,
    TableSource,
    ToySource,
    TypedSource,
)
from training.config.toml import text_of

__all__ = [
    "FILES",
    "NO_PREPROCESSING",
    "SOURCE_KINDS",
    "TEACHERS_KEYS",
    "TYPED_FAMILIES",
    "AnySpec",
    "ArchiveSource",
    "ClassFeature",
    "ContextSpec",
    "Count",
    "DataSource",
    "DigitsSource",
    "DividedSource",
    "FileSource",
    "FitRecipe",
    "FlowRecipe",
    "FlowSpec",
    "ImageSource",
    "LossRecipe",
    "ProtocolSource",
    "Recipe",
    "RowSource",
    "Section",
    "SoundSource",
    "TableColumns",
    "TableSource",
    "TabularSpec",
    "ToySource",
    "TypedSource",
    "data_source",
    "family_class",
    "faults",
    "held_out_source",
    "kind_of",
    "load_data_source",
    "load_recipe",
    "load_student",
    "messages_of",
    "moved",
    "one_line",
    "shown",
    "text_of",
]

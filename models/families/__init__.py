"""The families of flows: their options, the layers that they build, and the registry of them.

A new family is a class in a module beside this one, and an entry in `FAMILIES` or `TYPED_FAMILIES`.
"""

from models.families.autoregressive import Iaf, Maf, MafLogistic, MafMog, NsfAutoregressive
from models.families.causal import ParallelWaveNet, WaveNet
from models.families.coupling import Nice, RealNVP
from models.families.family import Family, with_current_names
from models.families.gaussianization import Gaussianization, IterativelyGaussianized
from models.families.images import Glow, MintNet, Nsf
from models.families.low_rank import PlanarFlow, RadialFlow, SylvesterFlow
from models.families.tabular import Tabular, TabularTransformer
from models.families.transformer import ParallelTransformer, Transformer

FAMILIES: dict[str, type[Family]] = {
    "nice": Nice,
    "realnvp": RealNVP,
    "glow": Glow,
    "nsf": Nsf,
    "maf": Maf,
    "maf-mog": MafMog,
    "maf-logistic": MafLogistic,
    "nsf-ar": NsfAutoregressive,
    "iaf": Iaf,
    "wavenet": WaveNet,
    "parallel-wavenet": ParallelWaveNet,
    "transformer": Transformer,
    "parallel-transformer": ParallelTransformer,
    "mintnet": MintNet,
    "planar": PlanarFlow,
    "radial": RadialFlow,
    "sylvester": SylvesterFlow,
    "gaussianization": Gaussianization,
    "iterative-gaussianization": IterativelyGaussianized,
}
"""The name of a family in recipes and run files → the class of its options."""

TYPED_FAMILIES: dict[str, type[Tabular]] = {
    "tabular": Tabular,
    "tabular-transformer": TabularTransformer,
}
"""Likewise of densities over typed columns."""


__all__ = ["FAMILIES", "TYPED_FAMILIES", "Family", "Tabular", "with_current_names"]

"""The families of the zoo: options, and the layers that they make."""

from models.families.autoregressive import Iaf, Maf, MafLogistic, MafMog, NsfAutoregressive
from models.families.causal import ParallelWaveNet, WaveNet
from models.families.coupling import Nice, RealNVP
from models.families.family import Family
from models.families.gaussianization import Gaussianization, IterativelyGaussianized
from models.families.images import Glow, MintNet, Nsf
from models.families.low_rank import PlanarFlow, RadialFlow, SylvesterFlow

__all__ = [
    "Family",
    "Gaussianization",
    "Glow",
    "Iaf",
    "IterativelyGaussianized",
    "Maf",
    "MafLogistic",
    "MafMog",
    "MintNet",
    "Nice",
    "Nsf",
    "NsfAutoregressive",
    "ParallelWaveNet",
    "PlanarFlow",
    "RadialFlow",
    "RealNVP",
    "SylvesterFlow",
    "WaveNet",
]

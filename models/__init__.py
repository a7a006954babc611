"""The mathematics of normalizing flows: bijections, base distributions and the zoo that names them.

Needs torch only; knows no files, no HTTP and no training.
"""

from models.bijection import Bijection, Compose, Inverted
from models.flow import Flow
from models.zoo import build

__all__ = [
    "Bijection",
    "Compose",
    "Flow",
    "Inverted",
    "build",
]

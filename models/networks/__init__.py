"""Conditioner networks: they read one part of a row and steer the map of another."""

from models.networks.conditioner import Conditioner, set_precision
from models.networks.convnet import ConvNet
from models.networks.made import Block, MaskedMLP
from models.networks.mlp import MLP, Parameters
from models.networks.wavenet import BLOCK_STEPS, CausalConvNet

__all__ = [
    "BLOCK_STEPS",
    "MLP",
    "Block",
    "CausalConvNet",
    "Conditioner",
    "ConvNet",
    "MaskedMLP",
    "Parameters",
    "set_precision",
]

"""Conditioner networks, which compute the parameters of a layer's maps."""

from models.networks.conditioner import Conditioner, Network, accept_former_name, set_precision
from models.networks.convnet import ConvNet
from models.networks.made import Block, MaskedMLP
from models.networks.mlp import MLP, Parameters
from models.networks.sequential import run_by_blocks, run_by_positions
from models.networks.transformer import (
    Attend,
    CausalTransformer,
    causal_attention,
    check_attention,
    scores_of,
)
from models.networks.wavenet import BLOCK_STEPS, CausalConvNet, doubled_dilations

__all__ = [
    "BLOCK_STEPS",
    "MLP",
    "Attend",
    "Block",
    "CausalConvNet",
    "CausalTransformer",
    "Conditioner",
    "ConvNet",
    "MaskedMLP",
    "Network",
    "Parameters",
    "accept_former_name",
    "causal_attention",
    "check_attention",
    "doubled_dilations",
    "run_by_blocks",
    "run_by_positions",
    "scores_of",
    "set_precision",
]

"""The networks of densities over typed columns, which compute the parameters of conditionals."""

from models.columns.networks.attention import AttentionColumnNetwork, TokenMaps
from models.columns.networks.network import (
    ColumnLayout,
    ColumnNetwork,
    MaskedColumnNetwork,
    elements_of,
)

__all__ = [
    "AttentionColumnNetwork",
    "ColumnLayout",
    "ColumnNetwork",
    "MaskedColumnNetwork",
    "TokenMaps",
    "elements_of",
]

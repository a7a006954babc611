"""What a manifest of format 2 says of an ensemble: the mixture of flows over the same rows.

store/<name>/<version>/encode.onnx  x[, context] → z, log_prob, member, member_log_prob, member_z
store/<name>/<version>/decode.onnx  z, member[, context] → x, log_prob

p(x) = Σ w_k p_k(x). A member has its own latents: z of a row is that of the member that is most
responsible for it, of the largest w_k p_k(x), and a latent is decoded by the member that is named.
log_prob is that of the mixture; of decode, that of the row as it is answered.
"""

import math
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from service.bundle.manifests.fidelity import Figure
from service.bundle.manifests.flow import FlowParts
from service.bundle.manifests.inverse import InverseReport, Sweeps
from service.bundle.manifests.kind import KindManifest, RawValues
from service.bundle.manifests.part import (
    Arithmetic,
    Direction,
    HeldOut,
    ManifestPart,
    Tensor,
)

MAX_MEMBERS = 64
# By how much the sum of weights, as JSON has them, may differ from one.
WEIGHTS_SUM = 1e-9

Weighting = Literal["equal", "fitted", "given"]
"""Where weights are from: none is preferred, likelihood of validation rows, or the caller."""


def member_stream(seed: int) -> np.random.Generator:
    """The random numbers that choose the members of samples.

    They are a stream of their own: the latent of a row is what the member's own bundle draws for
    that row with the same seed.
    """
    # two jumps: one leads to the stream of the components of a base that is a mixture
    return np.random.Generator(np.random.Philox(seed).jumped(2))


class Member(ManifestPart):
    """One flow of an ensemble.

    Args:
        run: name of the run that it is of.
        weight: its part of the mixture.
        family: of the flow.
        base_parameters: of its base, where each member has its own; else those of the ensemble.
        arithmetic: what its graphs compute in.
        largest_z: the largest absolute coordinate of its latents that come back, as far as was
            seen; the `z` of `round_trip` is the smallest of these.
        inverse, sweeps: for each direction that autoregressive layers make sequential, how it is
            computed, and how many sweeps rows need where it is by these.
        held_out: its log_prob of the rows of the ensemble's `held_out`, in nats per row.
        run_sha256, weights_sha256: of its run.json and of its weights.
    """

    run: str
    weight: Annotated[float, Field(ge=0, le=1)]
    family: str
    base_parameters: dict[str, float | list[float] | list[list[float]]] = Field({})
    arithmetic: Arithmetic
    largest_z: Annotated[float, Field(gt=0)]
    inverse: dict[Direction, InverseReport] = Field({})
    sweeps: dict[Direction, Sweeps] = Field({})
    held_out: Figure
    run_sha256: str
    weights_sha256: str


class EnsembleHeldOut(HeldOut):
    """Score of the mixture on rows that training never saw, and of what it is better than.

    Args:
        best: the number of the member with the largest score.
        gain: of the mixture over that member, the mean difference over rows and its standard error.
    """

    best: Annotated[int, Field(ge=0)]
    gain: Figure


class EnsembleManifest(KindManifest, FlowParts):
    """Everything that a server needs to know of an ensemble.

    A server asks it what it asks the `Manifest` of a flow.
    """

    kind: Literal["ensemble"]
    members: Annotated[list[Member], Field(min_length=2, max_length=MAX_MEMBERS)]
    weighting: Weighting = Field(
        description="where the weights are from; fitted: the largest likelihood of validation rows"
    )
    held_out: EnsembleHeldOut

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "EnsembleManifest":
        if abs(sum(member.weight for member in self.members) - 1) > WEIGHTS_SUM:
            raise ValueError("members: their weights are not one together")
        if self.held_out.best >= len(self.members):
            raise ValueError(f"held_out: there is no member {self.held_out.best}")
        density = self.base_density
        for member in self.members:
            parameters = self.base_parameters | member.base_parameters
            if member.base_parameters and not density.is_learned:
                raise ValueError(f"members: they have the same base {self.base}")
            if set(parameters) != density.parameters:
                raise ValueError(f"base {self.base} has parameters {sorted(parameters)}")
            density.check_parameters(parameters, self.dimensions)
        if {name: graph.inputs for name, graph in self.graphs.items()} != self._inputs():
            raise ValueError("graphs: they are encode of x, and decode of z and member")
        if {name: graph.outputs for name, graph in self.graphs.items()} != self._outputs():
            raise ValueError(
                "graphs: encode has z, log_prob, member, member_log_prob and member_z, and decode "
                "x and log_prob"
            )
        if self.raw_values != self.carried_values:
            raise ValueError(f"raw_values: the bundle carries {', '.join(self.carried_values)}")
        return self

    def _inputs(self) -> dict[str, dict[str, Tensor]]:
        context = {}
        if self.context is not None:
            context = {"context": Tensor(type="float32", row_shape=[len(self.context)])}
        z = Tensor(type="float32", row_shape=self.latent_shape)
        return {
            "encode": {"x": Tensor(type="float32", row_shape=self.event_shape)} | context,
            "decode": {"z": z, "member": Tensor(type="int64", row_shape=[])} | context,
        }

    def _outputs(self) -> dict[str, dict[str, Tensor]]:
        k, log_prob = len(self.members), Tensor(type="float32", row_shape=[])
        return {
            "encode": {
                "z": Tensor(type="float32", row_shape=self.latent_shape),
                "log_prob": log_prob,
                "member": Tensor(type="int64", row_shape=[]),
                "member_log_prob": Tensor(type="float32", row_shape=[k]),
                "member_z": Tensor(type="float32", row_shape=[k, *self.latent_shape]),
            },
            "decode": {
                "x": Tensor(type="float32", row_shape=self.event_shape),
                "log_prob": log_prob,
            },
        }

    @property
    def weights(self) -> list[float]:
        """Of the members."""
        return [member.weight for member in self.members]

    @property
    def log_weights(self) -> list[float]:
        """Their logarithms; −∞ of a member without weight."""
        return [math.log(weight) if weight else -math.inf for weight in self.weights]

    @property
    def bases(self) -> list[dict[str, Any]]:
        """The parameters of the base of each member, or of all where they have the same one."""
        if not self.base_density.is_learned:
            return [self.base_parameters]
        return [member.base_parameters for member in self.members]

    def draw_members(self, stream: np.random.Generator, n: int) -> NDArray[np.int64]:
        """Which member draws each of the next n samples of a seed; a stream of `member_stream`."""
        steps = np.cumsum(self.weights)
        places = stream.random(n) * steps[-1]
        member: NDArray[np.int64] = np.searchsorted(steps[:-1], places, side="right")
        return member

    @property
    def carried_values(self) -> list[RawValues]:
        """Which values of the data the bundle carries, in the order of the alphabet."""
        carried: set[RawValues] = {"ranges"}
        if self.self_test is not None:
            carried.add("self_test")
        if any(column.classes for column in self.context or ()):
            carried.add("classes")
        return sorted(carried)

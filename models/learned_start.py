"""A flow that decodes by sweeps which start from the guesses of a student."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from models.bijection import Bijection, Inverted
from models.flow import Flow
from models.layers import Autoregressive
from models.layerwise import layers_of

Path = Literal["layers", "draws"]
"""How a student guesses what each layer of its teacher decodes to.

`layers`: its own inverted layers, in the place of the teacher's, are given what those are given.
`draws`: it draws a row, which the teacher encodes; what each layer has on that way is the guess.
"""


class LearnedStart(Flow):
    """A flow whose autoregressive layers decode from the guesses of a student, which draws fast.

    Where those layers sweep (`layers.Inverse`), the answer is that of the flow itself, up to the
    tolerance of the sweeps; only how many they are depends on the guesses.

    Args:
        flow: the flow.
        student: a flow with the same latents and the same first layers, which decodes in one pass.
        shared: how many first layers are the same: those of the preprocessing.
        path: how it guesses.

    Raises:
        ValueError: a student whose layers do not divide among those of the flow, for `layers`.
    """

    def __init__(self, flow: Flow, student: Flow, shared: int, path: Path) -> None:
        super().__init__(flow.base, flow.bijection, flow.features)
        self.student, self.shared, self.path = student, shared, path
        if path == "layers" and not has_layers_for_each(flow, student):
            raise ValueError("the student's layers do not divide among those of its teacher")

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map latents to data; arguments and results are those of `Flow.decode`."""
        features, of_student = self.featurize(context), self.student.featurize(context)
        layers = layers_of(self.bijection)
        by_layers = self.path == "layers"
        groups = _groups(layers, self.student) if by_layers else {}
        thetas = {} if by_layers else self._thetas(self._draw(z, of_student), features)
        x, log_prob = z, self.base.log_prob(z)
        for i, layer in reversed(list(enumerate(layers))):
            given = _for(layer, features)
            if not isinstance(layer, Autoregressive):
                x, log_det = layer.decode(x, given)
            else:
                if by_layers:
                    start = _decoded(groups[i], x, of_student)
                else:
                    # the first sweep, whose parameters are known from encoding
                    start, _ = layer.univariate.decode(x.flatten(1), thetas[i])
                start = start.view(-1, *layer.event_shape)
                x, log_det = layer.decode_from(x, start, given)
            log_prob = log_prob - log_det
        return x, log_prob

    def _draw(self, z: Tensor, context: Tensor | None) -> Tensor:
        """What the student draws, before the preprocessing is undone."""
        return _decoded(layers_of(self.student.bijection)[self.shared :], z, context)

    def _thetas(self, x: Tensor, context: Tensor | None) -> dict[int, Tensor]:
        """The parameters of each autoregressive layer, by its place, on the way of x to latents."""
        thetas: dict[int, Tensor] = {}
        for i, layer in enumerate(layers_of(self.bijection)):
            given = _for(layer, context)
            if i < self.shared:
                continue
            if isinstance(layer, Autoregressive):
                thetas[i] = layer.theta(x, given)
                z, _ = layer.univariate.encode(x.flatten(1), thetas[i])
                x = z.view(-1, *layer.latent_shape)
            else:
                x, _ = layer.encode(x, given)
        return thetas


def has_layers_for_each(flow: Flow, student: Flow) -> bool:
    """Whether the inverted layers of a student divide among the autoregressive ones of a flow."""
    own = sum(isinstance(layer, Autoregressive) for layer in layers_of(flow.bijection))
    inverted = len(_inverted(student))
    return own > 0 and inverted > 0 and inverted % own == 0


def _groups(layers: Sequence[Bijection], student: Flow) -> dict[int, Sequence[Bijection]]:
    """The layers of a student that stand for each autoregressive layer, by its place."""
    places = [i for i, layer in enumerate(layers) if isinstance(layer, Autoregressive)]
    inverted = _inverted(student)
    size = len(inverted) // len(places)
    groups = [inverted[i : i + size] for i in range(0, len(inverted), size)]
    return dict(zip(places, groups, strict=True))


def _inverted(student: Flow) -> list[Bijection]:
    """The inverted autoregressive layers of a student, in the order of encoding."""
    return [
        layer
        for layer in layers_of(student.bijection)
        if isinstance(layer, Inverted) and isinstance(layer.bijection, Autoregressive)
    ]


def _decoded(layers: Sequence[Bijection], z: Tensor, context: Tensor | None) -> Tensor:
    """What layers decode latents to."""
    for layer in reversed(layers):
        z, _ = layer.decode(z, _for(layer, context))
    return z


def _for(layer: Bijection, context: Tensor | None) -> Tensor | None:
    """The context, if a layer takes one."""
    return None if layer.context_shape is None else context

"""Images, C × H × W: squeezing, masks, and multi-scale layers that keep every latent."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from models.bijection import Bijection, Compose, Inverted, Shape

LayerFactory = Callable[[Shape], list[Bijection]]
"""The shape of an image → layers for images of that shape."""


class Squeeze(Bijection):
    """Space to depth: C × H × W → 4C × H/2 × W/2, with a log-determinant of exactly zero.

    Dinh et al. 2017, §3.6. Channels are sorted by their position in the 2 × 2 block first, so that
    each half of the channels is a whole image of half the rows. `Inverted(Squeeze(…))` is the map
    back.

    Args:
        event_shape: C × H × W.

    Raises:
        ValueError: not three axes, or an odd height or width.
    """

    def __init__(self, event_shape: Sequence[int]) -> None:
        channels, height, width = _image(event_shape)
        if height % 2 or width % 2:
            raise ValueError(f"only even sides can be squeezed, got {height} × {width}")
        super().__init__(event_shape, (4 * channels, height // 2, width // 2))

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        channels, height, width = self.event_shape
        blocks = x.reshape(-1, channels, height // 2, 2, width // 2, 2)
        z = blocks.permute(0, 3, 5, 1, 2, 4).reshape(-1, *self.latent_shape)
        return z, torch.zeros_like(x[:, 0, 0, 0])

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        channels, height, width = self.event_shape
        blocks = z.reshape(-1, 2, 2, channels, height // 2, width // 2)
        x = blocks.permute(0, 3, 4, 1, 5, 2).reshape(-1, *self.event_shape)
        return x, torch.zeros_like(z[:, 0, 0, 0])


class Partial(Bijection):
    """A bijection of the last channels; the first channels pass through.

    In a multi-scale flow the first channels are latents already (Dinh et al. 2017, §3.6).

    Args:
        event_shape: shape of one row, of any number of axes.
        bijection: the map of the last k entries of the first axis, where k is the length of its
            own first axis.

    Raises:
        ValueError: the bijection changes the shape, does not fit, or has a bounded support.
    """

    def __init__(self, event_shape: Sequence[int], bijection: Bijection) -> None:
        super().__init__(event_shape, context_shape=bijection.context_shape)
        inner = bijection.event_shape
        if inner != bijection.latent_shape:
            raise ValueError(
                f"the bijection maps rows of {inner} to latents of {bijection.latent_shape}"
            )
        if inner[1:] != self.event_shape[1:] or inner[0] > self.event_shape[0]:
            raise ValueError(f"a bijection of rows {inner} does not fit rows {self.event_shape}")
        if bijection.support is not None:
            raise ValueError("a bijection of bounded support must come first")
        self.bijection = bijection
        self.passed = self.event_shape[0] - inner[0]
        self.encode_cost, self.decode_cost = bijection.encode_cost, bijection.decode_cost

    def initialize_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        """Initialize the bijection from the last channels of the data."""
        self.bijection.initialize_from_data(x[:, self.passed :], context)

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, log_det = self.bijection.encode(x[:, self.passed :], context)
        return torch.cat([x[:, : self.passed], z], 1), log_det

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, log_det = self.bijection.decode(z[:, self.passed :], context)
        return torch.cat([z[:, : self.passed], x], 1), log_det


def multi_scale(
    event_shape: Shape, levels: int, before: LayerFactory, after: LayerFactory
) -> list[Bijection]:
    """The layers of a multi-scale flow; latents have the shape of the event, and all are kept.

    Dinh et al. 2017, §3.6: layers, a squeeze, layers, then the same again on half the channels.

    Args:
        event_shape: C × H × W.
        levels: number of squeezes. With 0 there are only the layers before a squeeze, or those
            after it if there are none before.
        before, after: make the layers before and after each squeeze.

    Raises:
        ValueError: the shape allows fewer levels.
    """
    if levels > levels_allowed(event_shape):
        raise ValueError(
            f"images of shape {event_shape} can be halved {levels_allowed(event_shape)} times, "
            f"not {levels}"
        )
    if levels == 0:
        return before(event_shape) or after(event_shape)
    squeeze = Squeeze(event_shape)
    channels, *sides = squeeze.latent_shape
    layers = [*before(event_shape), squeeze, *after(squeeze.latent_shape)]
    if levels > 1:
        deeper = multi_scale((channels // 2, *sides), levels - 1, before, after)
        layers.append(Partial(squeeze.latent_shape, Compose(deeper)))
    return [*layers, Inverted(Squeeze(event_shape))]


def levels_allowed(event_shape: Sequence[int]) -> int:
    """How often both sides of an image can be halved."""
    _, height, width = _image(event_shape)
    return (math.gcd(height, width) & -math.gcd(height, width)).bit_length() - 1


def is_image(event_shape: Sequence[int]) -> bool:
    """Whether rows have channels of more than one pixel."""
    return len(event_shape) == 3 and math.prod(event_shape[1:]) > 1


def checkerboard(event_shape: Sequence[int], parity: int) -> Tensor:
    """True where row + column + parity is even: C × H × W (Dinh et al. 2017, §3.4)."""
    _, height, width = _image(event_shape)
    squares = torch.arange(height)[:, None] + torch.arange(width)[None, :] + parity
    return (squares % 2 == 0).expand(tuple(event_shape)).clone()


def half_of_channels(event_shape: Sequence[int], parity: int) -> Sequence[int]:
    """The first half of the channels, or with parity 1 the second."""
    half, channels = event_shape[0] // 2, event_shape[0]
    return range(half) if parity == 0 else range(half, channels)


def opposite_pixels(event_shape: Sequence[int], parity: int) -> Sequence[int]:
    """Two diagonal pixels of the four that a `Squeeze` turned into channels: a checkerboard.

    Raises:
        ValueError: the number of channels is no multiple of four.
    """
    channels, rest = divmod(event_shape[0], 4)
    if rest:
        raise ValueError(f"{event_shape[0]} channels are not those of 2 × 2 pixels")
    white = [*range(channels), *range(3 * channels, 4 * channels)]
    return white if parity == 0 else range(channels, 3 * channels)


def _image(event_shape: Sequence[int]) -> Shape:
    if len(event_shape) != 3:
        raise ValueError(f"an image has the shape C × H × W, got {tuple(event_shape)}")
    return tuple(event_shape)

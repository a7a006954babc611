"""Which member draws each sample, and from which latent."""

from collections.abc import Callable

from service.bundle import DensityManifest, EnsembleManifest, member_stream
from service.operations.noise import Latents
from service.types import Floats, Whole


class MemberLatents:
    """Members and latents of a seed, drawn piece by piece: the pieces are those of one long draw.

    The latent of a row is what the member's own bundle draws for that row with the same seed.

    Args:
        manifest: says the weights, the base density and the latent shape.
        seed, temperature, truncation: see `Latents`.

    Raises:
        InvalidInputError: see `Latents`.
    """

    def __init__(
        self,
        manifest: EnsembleManifest,
        seed: int,
        temperature: float,
        truncation: float | None = None,
    ) -> None:
        self._manifest, self._stream = manifest, member_stream(seed)
        bases = [manifest]
        if manifest.base_density.is_learned:
            bases = [manifest.model_copy(update={"base_parameters": own}) for own in manifest.bases]
        self._latents = [Latents(base, seed, temperature, truncation) for base in bases]

    def draw(self, n: int) -> tuple[Floats, Whole]:
        """The next n latents, n × latent shape, and the member that each is of."""
        member = self._manifest.draw_members(self._stream, n)
        z = self._latents[0].draw(n)
        for number, latents in enumerate(self._latents[1:], 1):
            drawn = latents.draw(n)
            z[member == number] = drawn[member == number]
        return z, member


def draw_of(
    manifest: DensityManifest, seed: int, temperature: float, truncation: float | None
) -> Callable[[int], tuple[Floats, Whole | None]]:
    """What draws the next n latents of a seed, and of an ensemble the member that each is of.

    Args:
        manifest: says the base density and the latent shape.
        seed, temperature, truncation: see `Latents`.

    Raises:
        InvalidInputError: see `Latents`.
    """
    if isinstance(manifest, EnsembleManifest):
        return MemberLatents(manifest, seed, temperature, truncation).draw
    latents = Latents(manifest, seed, temperature, truncation)
    return lambda n: (latents.draw(n), None)

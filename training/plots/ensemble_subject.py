"""An ensemble that is plotted, by its graphs in onnxruntime; torch is not imported."""

from pathlib import Path

import numpy as np

from service.bundle import BundleError, EnsembleManifest, member_stream, read_manifest
from training.errors import PlotError
from training.plots.bundle_subject import BundleSubject
from training.plots.subject import Array, Float64


class EnsembleSubject(BundleSubject):
    """A bundle of an ensemble.

    Its latents are those of its members, flat, and the number of the member after them: n ×
    (values of a latent + 1). Plots of latents alone are refused: each member has its own.
    """

    def check_latents(self) -> None:
        """An ensemble has no latents of its own."""
        raise PlotError("its members have latents of their own: plot their runs")

    def latents(self, n: int, seed: int, temperature: float = 1.0) -> Array:
        """Members and their latents, as a server draws them."""
        manifest = self._ensemble
        member = manifest.draw_members(member_stream(seed), n)
        drawn = [self.latents_of_base(each, n, seed, temperature) for each in manifest.bases]
        z = drawn[0]
        for number, of_member in enumerate(drawn[1:], 1):
            z[member == number] = of_member[member == number]
        return _joined(z, member)

    def encode(
        self, x: Array, context: Array | None = None, u: Float64 | None = None
    ) -> tuple[Float64, Float64]:
        """Rows and context → latents of the member most responsible for each, and log p(x)."""
        outputs = ("z", "log_prob", "member")
        z, log_prob, member = self._run("encode", outputs, {"x": x, "context": context})
        return _joined(z, member), log_prob

    def decode(self, z: Array, context: Array | None = None) -> tuple[Float64, Float64]:
        """Latents and context → rows, and log p(x) in nats."""
        feeds = {
            "z": z[:, :-1].reshape(len(z), *self.traits.latent_shape),
            "member": z[:, -1],
            "context": context,
        }
        x, log_prob = self._run("decode", ("x", "log_prob"), feeds)
        return x, log_prob

    @property
    def _ensemble(self) -> EnsembleManifest:
        assert isinstance(self._manifest, EnsembleManifest)
        return self._manifest


def is_ensemble(folder: Path) -> bool:
    """Whether a bundle holds an ensemble; False also of one that cannot be read."""
    try:
        return isinstance(read_manifest(folder), EnsembleManifest)
    except BundleError:
        return False


def _joined(z: Array, member: Array) -> Float64:
    """Latents, n × latent shape, and members, n, as one array."""
    return np.concatenate([z.reshape(len(z), -1), member[:, None]], 1, dtype=np.float64)

"""What a server of one bundle is asked: each of its endpoints, in npy."""

import io
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request

import numpy as np
from numpy.typing import NDArray

from service.bundle import AnyManifest, DetectorManifest, EnsembleManifest, Manifest
from service.tables import from_columns, to_rows
from tests.benchmarks.serving.load_requests import OPENER, TYPE

SECONDS = 1800
# Of noise: a flow of a few steps makes numbers beyond float32 of whole noise.
TEMPERATURE = 0.5


class RefusedError(Exception):
    """A question that the server did not answer."""


@dataclass(frozen=True)
class Questions:
    """Questions in npy to a server of one bundle.

    Args:
        port: of the server, on this machine.
        manifest: of the bundle.
    """

    port: int
    manifest: AnyManifest

    @property
    def endpoints(self) -> list[str]:
        """What may be asked."""
        if isinstance(self.manifest, DetectorManifest):
            return ["score", "log_prob"]
        found = ["log_prob", "encode", "decode", "sample", "interpolate"]
        has_layers = isinstance(self.manifest, Manifest) and self.manifest.layers is not None
        return found + ["layers"] * has_layers

    def ask(self, endpoint: str, rows: int) -> float:
        """Seconds until the answer about so many rows is here.

        Raises:
            RefusedError: there was none.
        """
        if endpoint == "sample":
            return self._sent(endpoint, None, n=rows, seed=0, temperature=TEMPERATURE)[0]
        if endpoint == "interpolate":
            return self._sent(endpoint, np.stack([self._row, self._row]), steps=max(rows, 2))[0]
        row = self._latent if endpoint in ("decode", "layers") else self._row
        return self._sent(endpoint, np.broadcast_to(row, (rows, *row.shape)))[0]

    @cached_property
    def _row(self) -> NDArray[np.floating]:
        """A held-out row, or one that the model accepts."""
        manifest = self.manifest
        if isinstance(manifest, Manifest | EnsembleManifest):
            if manifest.self_test is None:
                return np.zeros(manifest.event_shape, np.float32)
            return np.array(manifest.self_test.x, np.float32).reshape(manifest.event_shape)
        if manifest.columns is None or manifest.self_test is None:
            return np.zeros(manifest.event_shape)
        pairs = zip(manifest.columns, manifest.self_test.row, strict=True)
        table = from_columns({column.name: [value] for column, value in pairs})
        row: NDArray[np.floating] = to_rows(table, manifest.columns).rows[0]
        return row

    @cached_property
    def _latent(self) -> NDArray[np.floating]:
        """The latent of that row."""
        _, answer = self._sent("encode", self._row[None])
        latent: NDArray[np.floating] = np.load(io.BytesIO(answer))[0]
        return latent

    def _sent(
        self, endpoint: str, array: NDArray[np.floating] | None, **query: object
    ) -> tuple[float, bytes]:
        """Seconds of a question, and its answer."""
        headers, body = {"Accept": TYPE}, None
        if array is not None:
            headers["Content-Type"], file = TYPE, io.BytesIO()
            np.save(file, array)
            body = file.getvalue()
        if self.manifest.context is not None:
            query["context"] = ",".join(str(column.example) for column in self.manifest.context)
        url = f"http://127.0.0.1:{self.port}/{endpoint}?{urlencode(query)}"
        request = Request(url, body, headers, method="POST")
        began = perf_counter()
        try:
            with OPENER.open(request, timeout=SECONDS) as answer:
                content: bytes = answer.read()
        except HTTPError as error:
            raise RefusedError(f"/{endpoint}: {error.code} {error.read()[:300]!r}") from None
        return perf_counter() - began, content

"""What a flow can be asked, free of any protocol: checked arrays in, arrays out."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service import context, interpolation, noise
from service.engine import Float32
from service.errors import InvalidInputError, NonFiniteOutputError, TooLargeError
from service.metrics import Metrics
from service.schemas import (
    DecodeRequest,
    EncodeRequest,
    InterpolateRequest,
    LogProbRequest,
    SampleRequest,
)
from service.store import Model


@dataclass(frozen=True)
class Answer:
    """Arrays by name, the question's own first, and the seed where one was used."""

    arrays: dict[str, Float32]
    seed: int | None = None


@dataclass(frozen=True)
class Operations:
    """The five questions, with the limits and metrics of one server.

    Each raises `InvalidInputError` for rows of the wrong shape, `TooLargeError` for too many of
    them, and `NonFiniteOutputError` for a row whose answer is not a number.
    """

    max_rows: int
    metrics: Metrics

    async def log_prob(self, model: Model, request: LogProbRequest) -> Answer:
        """Log-density of each row in nats; −inf outside a bounded support."""
        x, copies = request.x, request.dequantize
        self._check_rows(x, model.event_shape, "x")
        given = context.rows(model.manifest, request.context, len(x))
        if copies is None:
            if request.seed is not None:
                raise InvalidInputError(
                    "a seed without dequantize has no use: nothing here is random"
                )
            return Answer(_scores(model, (await self._log_prob(model, x[None], given))[0]))
        if model.manifest.dequantization is None:
            raise InvalidInputError("dequantize: this model's columns are not whole numbers")
        if copies * len(x) > self.max_rows:
            raise TooLargeError(
                f"{copies} copies of {len(x)} rows are more than the {self.max_rows} allowed"
            )
        seed = noise.chosen_seed(request.seed)
        noisy = noise.dequantization(model.manifest, x, copies, seed)
        log_prob = (await self._log_prob(model, noisy, given)).astype(np.float64)
        mean = np.logaddexp.reduce(log_prob, axis=0) - math.log(copies)
        return Answer(_scores(model, mean.astype(np.float32)), seed)

    async def encode(self, model: Model, request: EncodeRequest) -> Answer:
        """Latents and log-density of each row."""
        x = request.x
        self._check_rows(x, model.event_shape, "x")
        given = context.rows(model.manifest, request.context, len(x))
        _check_inside(x, model, "x")
        z, log_prob = await model.engine.encode(x, given)
        _check_has_density(z, model, "x")
        self._check_finite(model, z, log_prob)
        return Answer({"z": z, "log_prob": log_prob})

    async def decode(self, model: Model, request: DecodeRequest) -> Answer:
        """Data and log-density of each latent."""
        self._check_rows(request.z, model.latent_shape, "z")
        given = context.rows(model.manifest, request.context, len(request.z))
        _check_has_density(request.z, model, "z")
        return Answer(await self._decode(model, request.z, given))

    async def sample(self, model: Model, request: SampleRequest) -> Answer:
        """Rows drawn from the flow, with the log-density of each."""
        if request.n > self.max_rows:
            raise TooLargeError(f"n is {request.n}, more than the {self.max_rows} allowed")
        if request.quantize and model.manifest.dequantization is None:
            raise InvalidInputError("quantize: this model's columns are not whole numbers")
        given = context.rows(model.manifest, request.context, request.n)
        seed = noise.chosen_seed(request.seed)
        z = noise.latents(model.manifest, request.n, seed, request.temperature)
        arrays = await self._decode(model, z, given)
        if request.quantize:
            arrays["x"] = noise.quantized(model.manifest, arrays["x"])
        return Answer(arrays, seed)

    async def interpolate(self, model: Model, request: InterpolateRequest) -> Answer:
        """Data, latents and log-density along a path between two rows."""
        if request.steps > self.max_rows:
            raise TooLargeError(f"steps is {request.steps}, more than the {self.max_rows} allowed")
        for name, row in (("start", request.start), ("end", request.end)):
            if row.shape != model.event_shape:
                raise InvalidInputError(
                    f"{name}: expected one row of shape {model.event_shape}, got {row.shape}"
                )
            _check_inside(row[None], model, name)
        if request.path != "linear" and not model.manifest.spherical:
            raise InvalidInputError(
                f"path {request.path} needs a spherical base, this model's is "
                f"{model.manifest.base}: use linear"
            )
        given = context.rows(model.manifest, request.context, 1)  # of the whole path
        both, all_steps = (
            None if given is None else given.repeat(k, 0) for k in (2, request.steps)
        )
        ends, log_prob = await model.engine.encode(np.stack([request.start, request.end]), both)
        _check_has_density(ends, model, "start and end")
        self._check_finite(model, ends, log_prob)
        z = interpolation.path(ends[0], ends[1], request.steps, request.path)
        return Answer(await self._decode(model, z, all_steps) | {"z": z})

    def _check_rows(self, rows: Float32, shape: tuple[int, ...], name: str) -> None:
        if rows.shape[1:] != shape or len(rows) == 0:
            expected = " × ".join(["N", *map(str, shape)])
            raise InvalidInputError(f"{name}: expected {expected} numbers, got shape {rows.shape}")
        if len(rows) > self.max_rows:
            raise TooLargeError(
                f"{name}: {len(rows)} rows are more than the {self.max_rows} allowed"
            )

    async def _log_prob(self, model: Model, copies: Float32, given: Float32 | None) -> Float32:
        """log_prob of copies × N rows, some of which may have no density: copies × N."""
        x = copies.reshape(-1, *model.event_shape)
        repeated = None if given is None else np.tile(given, (len(copies), 1))
        z, log_prob = await model.engine.encode(x, repeated)
        beyond = _outside(x, model) | _beyond_base(z, model).reshape(x.shape)
        without = beyond.reshape(len(copies), len(copies[0]), -1).any(2)
        log_prob = log_prob.reshape(without.shape)
        self._check_finite(model, np.where(without, 0, log_prob).T)
        return np.where(without, np.float32(-np.inf), log_prob)

    async def _decode(self, model: Model, z: Float32, given: Float32 | None) -> dict[str, Float32]:
        x, log_prob = await model.engine.decode(z, given)
        self._check_finite(model, x, log_prob)
        return {"x": x, "log_prob": log_prob}

    def _check_finite(self, model: Model, *outputs: Float32) -> None:
        bad = [~np.isfinite(o.reshape(len(o), -1)).all(1) for o in outputs]
        rows = np.flatnonzero(np.logical_or.reduce(bad))
        if len(rows):
            self.metrics.non_finite.labels(model.manifest.name).inc(len(rows))
            raise NonFiniteOutputError(
                f"row {rows[0]} has no finite answer: it lies too far from anything this model "
                f"has seen ({len(rows)} such rows)",
                row=int(rows[0]),
            )


def _outside(x: Float32, model: Model) -> NDArray[np.bool_]:
    """Which values lie outside the support: N × event shape."""
    if model.support is None:
        return np.zeros(x.shape, dtype=bool)
    low, high = model.support
    return (x <= low) | (x >= high)


def _beyond_base(z: Float32, model: Model) -> NDArray[np.bool_]:
    """Which latents lie outside the box of a uniform base: N × latent shape."""
    if model.manifest.base_box is None:
        return np.zeros(z.shape, dtype=bool)
    low, high = map(np.float32, model.manifest.base_box)
    beyond: NDArray[np.bool_] = (z < low) | (z > high)
    return beyond


def _check_has_density(z: Float32, model: Model, name: str) -> None:
    """Refuse rows whose latents lie outside the base's box: they have no density."""
    beyond = np.argwhere(_beyond_base(z, model))
    if len(beyond):
        row = int(beyond[0][0])
        low, high = model.manifest.base_box or (-math.inf, math.inf)
        raise InvalidInputError(
            f"{name}: row {row} has no density: its latent holds {z[tuple(beyond[0])]}, outside "
            f"the model's {model.manifest.base} base, {low:g} to {high:g}",
            row=row,
        )


def _check_inside(x: Float32, model: Model, name: str) -> None:
    """Refuse rows outside the support: they have no latents."""
    outside = np.argwhere(_outside(x, model))
    if len(outside):
        row, *place = (int(i) for i in outside[0])
        low, high = (float(edge[tuple(place)]) for edge in model.support or ())
        column = place[0] if len(place) == 1 else place
        raise InvalidInputError(
            f"{name}: row {row}, column {column} is {x[tuple(outside[0])]}, outside the model's "
            f"support: more than {low:g} and less than {high:g}",
            row=row,
            column=column,
            bounds=[low, high],
        )


def _scores(model: Model, log_prob: Float32) -> dict[str, Float32]:
    arrays = {"log_prob": log_prob}
    if model.manifest.has_bits_per_dim:
        bits = -log_prob.astype(np.float64) / (model.manifest.dimensions * math.log(2))
        arrays["bits_per_dim"] = bits.astype(np.float32)
    return arrays

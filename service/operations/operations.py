"""What a flow can be asked, free of any protocol: checked arrays in, arrays out."""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.errors import (
    InvalidInputError,
    NonFiniteOutputError,
    OverloadedError,
    TooLargeError,
)
from service.metrics import Metrics
from service.operations import context, interpolation, noise
from service.operations.requests import (
    DecodeRequest,
    EncodeRequest,
    InterpolateRequest,
    LogProbRequest,
    SampleRequest,
)
from service.store import Model
from service.types import Arrays, Float32

ENCODED = ("z", "log_prob")

SAMPLES_AT_ONCE = 4096
# Numbers whose drawing would keep the event loop for more than a moment.
NOISE_WORTH_A_THREAD = 2**15


@dataclass(frozen=True)
class Answer:
    """Arrays by name, the question's own first, and the seed where one was used.

    The arrays are of numbers, booleans or text, with a row for each row of the question.
    """

    arrays: Arrays
    seed: int | None = None


class AnswerPieces(NamedTuple):
    """An answer of so many rows, some of them at a time, and the seed of its noise."""

    rows: int
    seed: int
    arrays: AsyncGenerator[Arrays, None]


@dataclass(frozen=True)
class Operations:
    """The five questions, with the limits and metrics of one server.

    Each takes a model, a request and a deadline (on `time.monotonic`'s clock), raises what
    `Workers.run` does, `InvalidInputError` for rows of the wrong shape, `TooLargeError` for too
    many of them, and `NonFiniteOutputError` for a row whose answer is not a number.
    """

    max_rows: int
    max_sample_rows: int
    metrics: Metrics

    async def log_prob(self, model: Model, request: LogProbRequest, deadline: float) -> Answer:
        """Log-density of each row in nats; −inf outside a bounded support."""
        x, copies = request.x, request.dequantize
        self._check_rows(x, model.event_shape, "x")
        context_rows = context.rows(model.manifest, request.context, len(x))
        if copies is None:
            if request.seed is not None:
                raise InvalidInputError(
                    "a seed without dequantize has no use: nothing here is random"
                )
            log_prob = await self._log_prob(model, x, context_rows, deadline)
            return Answer(_scores(model, log_prob))
        if model.manifest.dequantization is None:
            raise InvalidInputError("dequantize: this model's columns are not whole numbers")
        if copies * len(x) > self.max_rows:
            raise TooLargeError(
                f"{copies} copies of {len(x)} rows are more than the {self.max_rows} allowed"
            )
        seed = noise.chosen_seed(request.seed)
        noisy = noise.dequantization(model.manifest, x, copies, seed)
        repeated = None if context_rows is None else np.tile(context_rows, (copies, 1))
        flat = noisy.reshape(-1, *model.event_shape)
        log_prob = await self._log_prob(model, flat, repeated, deadline, copies)
        each = log_prob.reshape(copies, -1).astype(np.float64)
        mean = np.logaddexp.reduce(each, axis=0) - math.log(copies)
        return Answer(_scores(model, mean.astype(np.float32)), seed)

    async def encode(self, model: Model, request: EncodeRequest, deadline: float) -> Answer:
        """Latents and log-density of each row."""
        x = request.x
        self._check_rows(x, model.event_shape, "x")
        context_rows = context.rows(model.manifest, request.context, len(x))
        _check_inside(x, model, "x")
        encoded = await model.engine.encode(x, context_rows, ENCODED, deadline)
        _check_has_density(encoded["z"], model, "x")
        self._check_finite(model, *encoded.values())
        return Answer(encoded)

    async def decode(self, model: Model, request: DecodeRequest, deadline: float) -> Answer:
        """Data and log-density of each latent."""
        self._check_rows(request.z, model.latent_shape, "z")
        context_rows = context.rows(model.manifest, request.context, len(request.z))
        _check_has_density(request.z, model, "z")
        return Answer(await self._decode(model, request.z, context_rows, deadline))

    async def sample(self, model: Model, request: SampleRequest, deadline: float) -> Answer:
        """Rows drawn from the flow, with the log-density of each."""
        if request.n > self.max_rows:
            raise TooLargeError(f"n is {request.n}, more than the {self.max_rows} allowed")
        pieces = self.samples(model, request, deadline)
        parts = [arrays async for arrays in pieces.arrays]
        whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return Answer(whole, pieces.seed)

    def samples(self, model: Model, request: SampleRequest, deadline: float) -> AnswerPieces:
        """The same of up to `max_sample_rows`, a piece at a time."""
        if request.n > self.max_sample_rows:
            raise TooLargeError(f"n is {request.n}, more than the {self.max_sample_rows} allowed")
        if request.quantize and model.manifest.dequantization is None:
            raise InvalidInputError("quantize: this model's columns are not whole numbers")
        seed = noise.chosen_seed(request.seed)
        latents = noise.Latents(model.manifest, seed, request.temperature, request.truncation)
        context_rows = context.rows(model.manifest, request.context, request.n)

        async def piece(start: int) -> Arrays:
            rows = min(SAMPLES_AT_ONCE, request.n - start)
            draw = partial(latents.draw, rows)
            many = rows * model.manifest.dimensions > NOISE_WORTH_A_THREAD
            z = await asyncio.to_thread(draw) if many else draw()
            part = None if context_rows is None else context_rows[start : start + rows]
            while True:
                try:
                    arrays = await self._decode(model, z, part, deadline)
                    break
                except OverloadedError as full:
                    if start == 0:
                        raise
                    await asyncio.sleep(full.retry_after)  # what has begun is not given up
            if request.quantize:
                arrays["x"] = noise.quantized(model.manifest, arrays["x"])
            return arrays

        arrays = _ahead(piece, range(0, request.n, SAMPLES_AT_ONCE))
        return AnswerPieces(request.n, seed, arrays)

    async def interpolate(
        self, model: Model, request: InterpolateRequest, deadline: float
    ) -> Answer:
        """Data, latents and log-density along a path between two rows."""
        if request.steps > self.max_rows:
            raise TooLargeError(f"steps is {request.steps}, more than the {self.max_rows} allowed")
        for name, row in (("start", request.start), ("end", request.end)):
            if row.shape != model.event_shape:
                raise InvalidInputError(
                    f"{name}: expected one row of shape {model.event_shape}, got {row.shape}"
                )
            _check_inside(row[None], model, name)
        if request.path != "linear" and not model.manifest.base_density.spherical:
            raise InvalidInputError(
                f"path {request.path} needs a spherical base, this model's is "
                f"{model.manifest.base}: use linear"
            )
        context_rows = context.rows(model.manifest, request.context, 1)  # of the whole path
        both, all_steps = (
            None if context_rows is None else context_rows.repeat(k, 0) for k in (2, request.steps)
        )
        x = np.stack([request.start, request.end])
        ends = await model.engine.encode(x, both, ENCODED, deadline)
        _check_has_density(ends["z"], model, "start and end")
        self._check_finite(model, *ends.values())
        z = interpolation.path(ends["z"][0], ends["z"][1], request.steps, request.path)
        return Answer(await self._decode(model, z, all_steps, deadline) | {"z": z})

    def _check_rows(self, rows: Float32, shape: tuple[int, ...], name: str) -> None:
        if rows.shape[1:] != shape or len(rows) == 0:
            expected = " × ".join(["N", *map(str, shape)])
            hint = f"; a single row is written [{name}]" if rows.shape == shape else ""
            raise InvalidInputError(
                f"{name}: expected {expected} numbers, got shape {rows.shape}{hint}"
            )
        if len(rows) > self.max_rows:
            raise TooLargeError(
                f"{name}: {len(rows)} rows are more than the {self.max_rows} allowed"
            )

    async def _log_prob(
        self,
        model: Model,
        x: Float32,
        context_rows: Float32 | None,
        deadline: float,
        copies: int = 1,
    ) -> Float32:
        """log_prob of rows, some of which may have no density; each may be there in copies."""
        boxed = model.manifest.base_box is not None
        outputs = ENCODED if boxed else ("log_prob",)
        encoded = await model.engine.encode(x, context_rows, outputs, deadline)
        log_prob: Float32 = encoded["log_prob"]
        if boxed or model.support is not None:
            beyond = _outside(x, model).reshape(len(x), -1).any(1)
            if boxed:
                beyond |= _beyond_base(encoded["z"], model).reshape(len(x), -1).any(1)
            self._check_finite(model, np.where(beyond, 0, log_prob).reshape(copies, -1).T)
            return np.where(beyond, np.float32(-np.inf), log_prob)
        self._check_finite(model, log_prob.reshape(copies, -1).T)
        return log_prob

    async def _decode(
        self, model: Model, z: Float32, context_rows: Float32 | None, deadline: float
    ) -> dict[str, Float32]:
        decoded = await model.engine.decode(z, context_rows, ("x", "log_prob"), deadline)
        self._check_finite(model, *decoded.values())
        return decoded

    def _check_finite(self, model: Model, *outputs: Float32) -> None:
        if all(np.isfinite(output).all() for output in outputs):
            return
        bad = [~np.isfinite(o.reshape(len(o), -1)).all(1) for o in outputs]
        rows = np.flatnonzero(np.logical_or.reduce(bad))
        self.metrics.non_finite.labels(model.manifest.name).inc(len(rows))
        raise NonFiniteOutputError(
            f"row {rows[0]} has no finite answer: it lies too far from anything this model has "
            f"seen ({len(rows)} such rows)",
            row=int(rows[0]),
        )


async def _ahead(
    piece: Callable[[int], Awaitable[Arrays]], starts: Sequence[int]
) -> AsyncGenerator[Arrays, None]:
    """Pieces in turn, each begun while the one before it is being used."""
    following = asyncio.ensure_future(piece(starts[0]))
    try:
        for start in starts[1:]:
            current = await following
            following = asyncio.ensure_future(piece(start))
            yield current
        yield await following
    finally:
        following.cancel()


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

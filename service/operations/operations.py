"""What a flow can be asked, free of any protocol: checked arrays in, arrays out."""

import asyncio
import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from service.errors import (
    InvalidInputError,
    NonFiniteOutputError,
    OverloadedError,
    TooLargeError,
)
from service.metrics import Metrics
from service.operations import answer, context, interpolation, noise, support
from service.operations.answer import Answer, AnswerPieces
from service.operations.requests import (
    DecodeRequest,
    EncodeRequest,
    InterpolateRequest,
    LogProbRequest,
    SampleRequest,
)
from service.operations.row_faults import Fault, RowFaults
from service.store import Model
from service.types import Arrays, Float32

ENCODED = ("z", "log_prob")
DECODED = ("x", "log_prob")

SAMPLES_AT_ONCE = 4096
# Numbers whose drawing would keep the event loop for more than a moment.
NOISE_WORTH_A_THREAD = 2**15


@dataclass(frozen=True)
class Operations:
    """The five questions, with the limits and metrics of one server.

    Each takes a model, a request and a deadline (on `time.monotonic`'s clock), raises what
    `Workers.run` does, `InvalidInputError` for rows of the wrong shape, `TooLargeError` for too
    many of them, and `NonFiniteOutputError` for rows whose answer is not a number. No rows have an
    answer too, of none.
    """

    max_rows: int
    max_sample_rows: int
    metrics: Metrics

    async def log_prob(self, model: Model, request: LogProbRequest, deadline: float) -> Answer:
        """Log-density of each row in nats; −inf outside a bounded support."""
        copies = request.dequantize
        x = self._checked(request.x, model.event_shape, "x")
        faults = RowFaults(len(x), request.partial)
        context_rows = context.rows(model.manifest, request.context, faults)
        seed = None
        noisy = x[None]
        if copies is not None:
            if model.manifest.dequantization is None:
                raise InvalidInputError("dequantize: this model's columns are not whole numbers")
            if copies * len(x) > self.max_rows:
                raise TooLargeError(
                    f"{copies} copies of {len(x)} rows are more than the {self.max_rows} allowed"
                )
            seed = noise.chosen_seed(request.seed)
            noisy = noise.dequantization(model.manifest, x, copies, seed)
        elif request.seed is not None:
            raise InvalidInputError("a seed without dequantize has no use: nothing here is random")
        each = await self._log_prob(model, noisy, context_rows, faults, deadline)
        if copies is None:
            log_prob = each[0]
        else:
            mean = np.logaddexp.reduce(each.astype(np.float64), axis=0) - math.log(copies)
            log_prob = mean.astype(np.float32)
        arrays = faults.whole(answer.scores(model, log_prob))
        outside = answer.outside_support(model, arrays["log_prob"])
        return Answer(arrays, seed, outside | faults.remarks())

    async def encode(self, model: Model, request: EncodeRequest, deadline: float) -> Answer:
        """Latents and log-density of each row."""
        x = self._checked(request.x, model.event_shape, "x")
        faults = RowFaults(len(x), request.partial)
        context_rows = context.rows(model.manifest, request.context, faults)
        support.check_inside(x, model, "x", faults)
        faults.keep_sound()
        encoded = await self._encoded(model, x, context_rows, faults, deadline)
        support.check_has_density(encoded["z"], model, "x", faults)
        self._check_finite(model, faults, *encoded.values())
        return Answer(faults.whole(encoded), remarks=faults.remarks())

    async def decode(self, model: Model, request: DecodeRequest, deadline: float) -> Answer:
        """Data and log-density of each latent."""
        z = self._checked(request.z, model.latent_shape, "z")
        faults = RowFaults(len(z), request.partial)
        context_rows = context.rows(model.manifest, request.context, faults)
        support.check_has_density(z, model, "z", faults)
        faults.keep_sound()
        decoded = await self._decoded(model, z, context_rows, faults, deadline)
        return Answer(faults.whole(decoded), remarks=faults.remarks())

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
        none_faulty = RowFaults(request.n)
        context_rows = context.rows(model.manifest, request.context, none_faulty)

        async def piece(start: int) -> Arrays:
            rows = min(SAMPLES_AT_ONCE, request.n - start)
            draw = partial(latents.draw, rows)
            many = rows * model.manifest.dimensions > NOISE_WORTH_A_THREAD
            z = await asyncio.to_thread(draw) if many else draw()
            part = None if context_rows is None else context_rows[start : start + rows]
            while True:
                try:
                    arrays = await self._decoded(model, z, part, RowFaults(rows), deadline)
                    break
                except OverloadedError as full:
                    if start == 0:
                        raise
                    await asyncio.sleep(full.retry_after)  # what has begun is not given up
            if request.quantize:
                arrays["x"] = noise.quantized(model.manifest, arrays["x"])
            return arrays

        arrays = answer.ahead(piece, range(0, max(request.n, 1), SAMPLES_AT_ONCE))
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
            support.check_inside(row[None], model, name, RowFaults(1))
        if request.path != "linear" and not model.manifest.base_density.spherical:
            raise InvalidInputError(
                f"path {request.path} needs a spherical base, this model's is "
                f"{model.manifest.base}: use linear"
            )
        context_rows = context.rows(model.manifest, request.context, RowFaults(1))
        both, all_steps = (
            None if context_rows is None else context_rows.repeat(k, 0) for k in (2, request.steps)
        )
        x, ends_faults = np.stack([request.start, request.end]), RowFaults(2)
        ends = await self._encoded(model, x, both, ends_faults, deadline)
        support.check_has_density(ends["z"], model, "start and end", ends_faults)
        self._check_finite(model, ends_faults, *ends.values())
        z = interpolation.path(ends["z"][0], ends["z"][1], request.steps, request.path)
        faults = RowFaults(request.steps, request.partial)
        decoded = await self._decoded(model, z, all_steps, faults, deadline)
        return Answer(faults.whole(decoded | {"z": z}), remarks=faults.remarks())

    def _checked(self, rows: Float32, shape: tuple[int, ...], name: str) -> Float32:
        """Rows of a shape; of none, JSON has lost the shape."""
        if rows.shape == (0,):
            return rows.reshape(0, *shape)
        if rows.shape[1:] != shape:
            expected = " × ".join(["N", *map(str, shape)])
            hint = f"; a single row is written [{name}]" if rows.shape == shape else ""
            raise InvalidInputError(
                f"{name}: expected {expected} numbers, got shape {rows.shape}{hint}"
            )
        if len(rows) > self.max_rows:
            raise TooLargeError(
                f"{name}: {len(rows)} rows are more than the {self.max_rows} allowed"
            )
        return rows

    async def _log_prob(
        self,
        model: Model,
        x: Float32,
        context_rows: Float32 | None,
        faults: RowFaults,
        deadline: float,
    ) -> Float32:
        """log_prob of copies × N × event shape, some of which may have no density: copies × N."""
        faults.keep_sound()
        copies = len(x)
        flat = faults.kept(x, axis=1).reshape(-1, *model.event_shape)
        repeated = None if context_rows is None else faults.kept(context_rows)
        if repeated is not None and copies > 1:
            repeated = np.tile(repeated, (copies, 1))
        boxed = model.manifest.base_box is not None
        names = ENCODED if boxed else ("log_prob",)
        encoded = await self._run(model, "encode", flat, repeated, names, deadline)
        log_prob: Float32 = encoded["log_prob"]
        if boxed or model.support is not None:
            beyond = support.is_marked(support.outside(flat, model))
            if boxed:
                beyond |= support.is_marked(support.beyond_base(encoded["z"], model))
            each = np.where(beyond, 0, log_prob).reshape(copies, -1)
            log_prob = np.where(beyond, np.float32(-np.inf), log_prob)
            self._check_finite(model, faults, each.T)
            return log_prob.reshape(copies, -1)
        each = log_prob.reshape(copies, -1)
        self._check_finite(model, faults, each.T)
        return each

    async def _encoded(
        self,
        model: Model,
        x: Float32,
        context_rows: Float32 | None,
        faults: RowFaults,
        deadline: float,
    ) -> dict[str, Float32]:
        """Latents and log_prob of the rows that are kept; they may not be finite."""
        part = None if context_rows is None else faults.kept(context_rows)
        return await self._run(model, "encode", faults.kept(x), part, ENCODED, deadline)

    async def _decoded(
        self,
        model: Model,
        z: Float32,
        context_rows: Float32 | None,
        faults: RowFaults,
        deadline: float,
    ) -> dict[str, Float32]:
        """Data and log_prob of the latents that are kept."""
        part = None if context_rows is None else faults.kept(context_rows)
        decoded = await self._run(model, "decode", faults.kept(z), part, DECODED, deadline)
        self._check_finite(model, faults, *decoded.values())
        return decoded

    async def _run(
        self,
        model: Model,
        graph: Literal["encode", "decode"],
        rows: Float32,
        context_rows: Float32 | None,
        names: tuple[str, ...],
        deadline: float,
    ) -> dict[str, Float32]:
        """The outputs of a graph; of no rows, without running it."""
        if len(rows) == 0:
            shapes = {"x": model.event_shape, "z": model.latent_shape, "log_prob": ()}
            return {name: np.empty((0, *shapes[name]), np.float32) for name in names}
        run = model.engine.encode if graph == "encode" else model.engine.decode
        return await run(rows, context_rows, names, deadline)

    def _check_finite(self, model: Model, faults: RowFaults, *outputs: Float32) -> None:
        """Find rows of which an output is not finite."""
        if all(np.isfinite(output).all() for output in outputs):
            return
        bad = [~np.isfinite(o.reshape(len(o), -1)).all(1) for o in outputs]
        faulty = np.logical_or.reduce(bad)
        self.metrics.non_finite.labels(model.manifest.name).inc(int(faulty.sum()))
        faults.check(faulty, NonFiniteOutputError, _too_far)


def _too_far(_: int, row: int) -> Fault:
    seen = "it lies too far from anything this model has seen"
    return Fault(f"row {row} has no finite answer: {seen}", {})

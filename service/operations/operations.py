"""What a flow can be asked, free of any protocol: checked arrays in, arrays out."""

import math
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

import numpy as np

from service.errors import InvalidInputError, TooLargeError
from service.operations import interpolation, noise
from service.operations.answer import Answer, AnswerPieces, begun_ahead
from service.operations.checked_runs import ENCODED, CheckedRuns
from service.operations.ensembles.draws import draw_of
from service.operations.ensembles.requests import (
    DecodeOfEnsemble,
    EncodeOfEnsemble,
    LogProbOfEnsemble,
)
from service.operations.ensembles.runs import encoded as encoded_by_members
from service.operations.ensembles.runs import log_prob_of_members, members_of
from service.operations.in_pieces import patiently, rows_at_once
from service.operations.requests import (
    DecodeRequest,
    EncodeRequest,
    InterpolateRequest,
    LayersRequest,
    LogProbRequest,
    SampleRequest,
)
from service.operations.rows.faults import RowFaults
from service.operations.rows.holes import find_holes
from service.operations.rows.quantile import quantiles
from service.operations.rows.support import check_has_density, check_inside, outside_support
from service.store import Model
from service.types import Arrays, Floats
from service.work_threads import MIN_NUMBERS, WorkThreads


@dataclass(frozen=True)
class Operations:
    """The questions to a flow, with the limits of one server.

    Each takes a model, a request and a deadline (on `time.monotonic`'s clock), raises what
    `Workers.run` does, `InvalidInputError` for rows of the wrong shape, `TooLargeError` for too
    many of them, and `NonFiniteOutputError` for rows whose answer is not a number. No rows have an
    answer too, of none.
    """

    max_sample_rows: int
    runs: CheckedRuns

    @property
    def threads(self) -> WorkThreads:
        """Where whatever takes longer the more a caller sends or asks for is done."""
        return self.runs.threads

    async def log_prob(self, model: Model, request: LogProbRequest, deadline: float) -> Answer:
        """Log-density of each row in nats; −inf outside a bounded support."""
        copies = request.dequantize
        x = self.runs.checked_rows(request.x, model.event_shape, "x")
        faults = RowFaults(len(x), request.partial)
        if request.partial:  # else no row has a hole
            await find_holes(self.threads, model, x, "x", request.hole_texts, faults, deadline)
        if copies is None and request.seed is not None:
            raise InvalidInputError("a seed without dequantize has no use: nothing here is random")
        if copies is not None and request.quantile:
            raise InvalidInputError("quantile: it is of log_prob without dequantize")
        of_members: Arrays = {}
        with_members = isinstance(request, LogProbOfEnsemble) and request.members
        if copies is not None and with_members:
            raise InvalidInputError("members: they are of log_prob without dequantize")
        context_rows = await self.runs.context_rows(model, request.context, faults, deadline)
        if copies is None:
            if faults.found:
                x, context_rows = await self.runs.sound_rows(x, context_rows, faults, deadline)
            args = model, x, context_rows, faults, deadline
            if with_members:
                log_prob, of_members = await log_prob_of_members(self.runs, *args)
            else:
                log_prob = await self.runs.checked_log_prob(*args)
            seed = None
        else:
            seed = noise.chosen_seed(request.seed)
            log_prob = await self._noisy_log_prob(
                model, x, context_rows, faults, copies, seed, deadline
            )
        if len(x) <= MIN_NUMBERS:  # most requests: three coroutines fewer
            scores = _scores(model, log_prob)
        else:
            scores = await self.threads.run(len(x), _scores, model, log_prob, deadline=deadline)
        scores |= of_members
        if faults.found:
            answer = await self.runs.answer(scores, faults, deadline, seed)
        else:
            answer = Answer(scores, seed)
        if request.quantile:
            found = answer.arrays["log_prob"]
            answer.arrays["quantile"] = await self.threads.run(
                len(found), quantiles, model, found, deadline=deadline
            )
        answer.remarks.update(outside_support(model, answer.arrays["log_prob"]))
        if model.watch is not None:
            await model.watch.saw_log_prob(answer.arrays["log_prob"])
        return answer

    async def encode(self, model: Model, request: EncodeRequest, deadline: float) -> Answer:
        """Latents and log-density of each row."""
        x, run = self.runs.checked_rows(request.x, model.event_shape, "x"), self.threads.run
        faults = RowFaults(len(x), request.partial)
        if request.partial:  # else no row has a hole
            await find_holes(self.threads, model, x, "x", request.hole_texts, faults, deadline)
        context_rows = await self.runs.context_rows(model, request.context, faults, deadline)
        await run(x.size, check_inside, x, model, "x", faults, deadline=deadline)
        x, context_rows = await self.runs.sound_rows(x, context_rows, faults, deadline)
        if isinstance(request, EncodeOfEnsemble):
            rows = model, request, x, context_rows, faults, deadline
            encoded = await encoded_by_members(self.runs, *rows)
        else:
            encoded = await self.runs.run_encode(model, x, context_rows, ENCODED, deadline)
        await run(x.size, self.runs.check_encoded, model, encoded, "x", faults, deadline=deadline)
        if request.check:
            args = model, x, context_rows, encoded, deadline, encoded.get("member")
            residual = await self.runs.residual(*args)
            encoded["residual"] = residual
        answer = await self.runs.answer(encoded, faults, deadline)
        found = answer.arrays
        await self.runs.remark_inexact(model, answer, found["z"], deadline, found.get("member"))
        return answer

    async def decode(self, model: Model, request: DecodeRequest, deadline: float) -> Answer:
        """Data and log-density of each latent."""
        z, run = self.runs.checked_rows(request.z, model.latent_shape, "z"), self.threads.run
        member = every_member = None
        if isinstance(request, DecodeOfEnsemble):
            member = every_member = members_of(model, request.member, len(z))
        faults = RowFaults(len(z), request.partial)
        if request.partial:  # else no row has a hole
            await find_holes(self.threads, model, z, "z", request.hole_texts, faults, deadline)
        context_rows = await self.runs.context_rows(model, request.context, faults, deadline)
        await run(z.size, check_has_density, z, model, "z", faults, deadline=deadline)
        z, context_rows = await self.runs.sound_rows(z, context_rows, faults, deadline)
        if member is not None:
            member = faults.kept(member)
        decoded = await self.runs.run_decode(model, z, context_rows, faults, deadline, member)
        if request.check:
            args = model, z, context_rows, decoded, deadline, member
            residual = await self.runs.residual(*args)
            decoded["residual"] = residual
        answer = await self.runs.answer(decoded, faults, deadline)
        await self.runs.remark_inexact(model, answer, request.z, deadline, every_member)
        return answer

    async def layers(self, model: Model, request: LayersRequest, deadline: float) -> Answer:
        """States and log-densities of each latent as it passes the layers, to the data."""
        if not model.layer_numbers:
            raise InvalidInputError(
                f"{model.manifest.name} has no graph of its layers: `bijecta export RUN --layers` "
                "makes a bundle that has, of flows of up to three dimensions"
            )
        z, run = self.runs.checked_rows(request.z, model.latent_shape, "z"), self.threads.run
        faults = RowFaults(len(z), request.partial)
        if request.partial:  # else no row has a hole
            await find_holes(self.threads, model, z, "z", request.hole_texts, faults, deadline)
        context_rows = await self.runs.context_rows(model, request.context, faults, deadline)
        await run(z.size, check_has_density, z, model, "z", faults, deadline=deadline)
        z, context_rows = await self.runs.sound_rows(z, context_rows, faults, deadline)
        passed = await self.runs.run_layers(model, z, context_rows, faults, deadline)
        return await self.runs.answer(passed, faults, deadline)

    async def sample(self, model: Model, request: SampleRequest, deadline: float) -> Answer:
        """Rows drawn from the flow, with the log-density of each."""
        if request.n > self.runs.max_rows:
            raise TooLargeError(f"n is {request.n}, more than the {self.runs.max_rows} allowed")
        pieces = await self.samples(model, request, deadline)
        whole: Arrays = {}
        start = 0
        async with aclosing(pieces.arrays):
            async for arrays in pieces.arrays:
                rows, numbers = len(arrays["log_prob"]), arrays["x"].size
                if rows == request.n:
                    return Answer(arrays, pieces.seed)
                if not whole:
                    whole = {
                        k: np.empty((request.n, *v.shape[1:]), v.dtype) for k, v in arrays.items()
                    }
                await self.threads.run(numbers, _put, whole, arrays, start, deadline=deadline)
                start += rows
        return Answer(whole, pieces.seed)

    async def samples(self, model: Model, request: SampleRequest, deadline: float) -> AnswerPieces:
        """The same of up to `max_sample_rows`, a piece at a time."""
        n, manifest, run = request.n, model.density, self.threads.run
        if n > self.max_sample_rows:
            raise TooLargeError(f"n is {n}, more than the {self.max_sample_rows} allowed")
        if request.quantize and manifest.dequantization is None:
            raise InvalidInputError("quantize: this model's columns are not whole numbers")
        seed = noise.chosen_seed(request.seed)
        draw = draw_of(manifest, seed, request.temperature, request.truncation)
        faults = RowFaults(n)
        context_rows = await self.runs.context_rows(model, request.context, faults, deadline)
        at_once = rows_at_once(manifest.dimensions)

        async def piece(start: int) -> Arrays:
            rows = min(at_once, n - start)
            numbers = rows * manifest.dimensions
            z, member = await run(numbers, draw, rows, deadline=deadline)
            part = None if context_rows is None else context_rows[start : start + rows]
            arrays: Arrays = await patiently(
                start,
                partial(self.runs.run_decode, model, z, part, RowFaults(rows), deadline, member),
            )
            if request.quantize:
                arrays["x"] = await run(
                    numbers, noise.quantized, manifest, arrays["x"], deadline=deadline
                )
            if member is not None:
                arrays["member"] = member
            return arrays

        numbers = min(n, at_once) * (manifest.dimensions + 1)
        return AnswerPieces(n, seed, numbers, begun_ahead(piece, range(0, max(n, 1), at_once)))

    async def interpolate(
        self, model: Model, request: InterpolateRequest, deadline: float
    ) -> Answer:
        """Data, latents and log-density along a path between two rows."""
        ends = {"start": request.start, "end": request.end}
        interpolation.check_path(self.runs, model, request, ends)
        for name, row in ends.items():
            await self.threads.run(
                row.size, check_inside, row[None], model, name, RowFaults(1), deadline=deadline
            )
        x = np.stack([request.start, request.end])
        return await interpolation.along_path(self.runs, model, request, x, deadline)

    async def _noisy_log_prob(
        self,
        model: Model,
        x: Floats,
        context_rows: Floats | None,
        faults: RowFaults,
        copies: int,
        seed: int,
        deadline: float,
    ) -> Floats:
        """Log of the mean density over noisy copies of each row."""
        if model.manifest.dequantization is None:
            raise InvalidInputError("dequantize: this model's columns are not whole numbers")
        total = copies * len(x)
        if total > self.runs.max_rows:
            raise TooLargeError(
                f"{copies} copies of {len(x)} rows are more than the {self.runs.max_rows} allowed"
            )
        noisy, run = noise.NoisyCopies(model.density, x, seed), self.threads.run
        each = np.full(total, np.nan, np.float32)
        at_once = rows_at_once(model.manifest.dimensions)
        for start in range(0, total, at_once):
            stop = min(total, start + at_once)
            numbers = (stop - start) * model.manifest.dimensions
            rows = await run(numbers, noisy.draw, start, stop, deadline=deadline)
            numbers_of_rows = np.arange(start, stop) % len(x)
            part = None if context_rows is None else context_rows[numbers_of_rows]
            sound = faults.are_sound(numbers_of_rows)
            if sound is not None:
                rows, part = rows[sound], None if part is None else part[sound]
            each[start:stop][slice(None) if sound is None else sound] = await patiently(
                start, partial(self.runs.unchecked_log_prob, model, rows, part, deadline)
            )
        await run(total, self.runs.check_log_prob, model, each, copies, faults, deadline=deadline)
        return await run(total, _log_mean, each, copies, deadline=deadline)


def _put(whole: Arrays, part: Arrays, start: int) -> None:
    """Copy some rows of every array to their places."""
    for name, values in part.items():
        whole[name][start : start + len(values)] = values


def _log_mean(each: Floats, copies: int) -> Floats:
    """Log of the mean of densities, of which the logs are given copy after copy."""
    sums = np.logaddexp.reduce(each.reshape(copies, -1).astype(np.float64), axis=0)
    mean: Floats = (sums - math.log(copies)).astype(np.float32)
    return mean


def _scores(model: Model, log_prob: Floats) -> dict[str, Floats]:
    arrays = {"log_prob": log_prob}
    if model.density.has_bits_per_dim:
        bits = -log_prob.astype(np.float64) / (model.manifest.dimensions * math.log(2))
        arrays["bits_per_dim"] = bits.astype(np.float32)
    return arrays

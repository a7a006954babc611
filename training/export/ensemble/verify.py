"""Comparing the graphs of an ensemble with the mixture of its flows in float64."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.bundle import SelfTest
from training.errors import ExportError
from training.export.reference import Feed, Float64, Reference
from training.export.served_graph import ServedGraph
from training.export.verify import Errors, refuse_misses
from training.progress import say_where

# Rows of each member that are decoded, and the fewest of those whose encoding costs much: each row
# that comes of them is encoded by every member in float64.
DECODED_ROWS, MIN_DECODED_ROWS = 64, 8
# Floating-point operations of these encodings, beyond which rows are fewer.
MAX_DECODED_FLOPS = 2**36


class Graphs(NamedTuple):
    """The graphs of an ensemble as a server runs them."""

    encode: ServedGraph
    decode: ServedGraph


class MixtureReference:
    """The mixture in float64: its answers to held-out rows, and to latents of its members.

    Args:
        references: of the members, by the same data.
        weights: of the members.
        flops: of the encodings of a row by all members together.
    """

    def __init__(self, references: Sequence[Reference], weights: Sequence[float], flops: int):
        self._references = references
        with np.errstate(divide="ignore"):
            self._log_weights = np.log(np.asarray(weights, np.float64))
        fewest = min((r.held_out for r in references), key=len)
        self.rows: Feed = fewest.feed
        """Held-out rows, and the context of each."""
        answers = [self._answers(k, self.rows) for k in range(len(references))]
        self.z = np.stack([z.reshape(len(z), -1) for z, _ in answers], axis=1)
        """Their latents in each member, N × members × dimensions."""
        self.member_log_prob = np.stack([log_prob for _, log_prob in answers], axis=1)
        """Their log-density under each member, N × members, in nats."""
        k = len(references)
        fitting = MAX_DECODED_FLOPS // max(1, flops * k)
        count = int(np.clip(fitting, MIN_DECODED_ROWS, DECODED_ROWS))
        feeds, values = zip(*[self._decoded(i, count) for i in range(k)], strict=True)
        # the members take turns, so that the first few rows are of all
        turns = np.argsort(
            np.concatenate([np.arange(len(x)) * k + i for i, x in enumerate(values)])
        )
        self.latents = {name: np.concatenate([f[name] for f in feeds])[turns] for name in feeds[0]}
        """Latents, the member that each is of, and the context of each."""
        self.decoded: Float64 = np.concatenate(values)[turns]
        """The row that each is."""

    def mixed(self, member_log_prob: Float64) -> Float64:
        """Log-density of the mixture, N × members → N, in nats."""
        mixed: Float64 = np.logaddexp.reduce(member_log_prob + self._log_weights, axis=1)
        return mixed

    def log_prob(self, rows: Feed) -> Float64:
        """Log-density of rows by the flows in float64, N, in nats."""
        each = [self._answers(k, rows)[1] for k in range(len(self._references))]
        return self.mixed(np.stack(each, axis=1))

    def self_test(self) -> SelfTest:
        """The row of median log_prob, with which a server checks its graphs."""
        log_prob = self.mixed(self.member_log_prob)
        middle = int(np.argsort(log_prob)[len(log_prob) // 2])
        row = {name: values[middle].ravel().tolist() for name, values in self.rows.items()}
        return SelfTest(x=row["x"], context=row.get("context"), log_prob=float(log_prob[middle]))

    def responsibility_gap(self, rows: slice, member: NDArray[np.int64]) -> Float64:
        """By how much the largest w_k p_k of held-out rows is above that of a member, in nats."""
        weighted = self.member_log_prob[rows] + self._log_weights
        gap: Float64 = weighted.max(1) - np.take_along_axis(weighted, member[:, None], 1)[:, 0]
        return gap

    def _answers(self, k: int, rows: Feed) -> tuple[Float64, Float64]:
        """Latents and log-density of rows by a member in float64, which may have them already."""
        held_out = self._references[k].held_out
        n = len(rows["x"])
        if n <= len(held_out) and np.array_equal(held_out.feed["x"][:n], rows["x"]):
            return held_out.value[:n], held_out.log_prob[:n]
        assert held_out.answer is not None
        return held_out.answer(rows)

    def _decoded(self, k: int, count: int) -> tuple[Feed, Float64]:
        """Latents of a member of which the rows are known exactly, and these."""
        expected = self._references[k].expected["decode"]
        every = np.arange(len(expected))
        exact = every[~expected.near(every)][:count]
        feed = expected.rows(exact)
        z = {"z": feed["z"], "member": np.full(len(exact), k)}
        return {**z, **{name: v for name, v in feed.items() if name == "context"}}, expected.value[
            exact
        ]


def verify_ensemble(graphs: Graphs, reference: MixtureReference) -> tuple[Errors, Errors]:
    """Measure how far both graphs are from the mixture in float64, at each of their batch sizes.

    log_prob of decoding is compared with that of the row as the graph has answered it.

    Raises:
        ExportError: a difference is above its bar; all are named.
    """
    encode = _encode_errors(graphs.encode, reference)
    refuse_misses("encode", encode)
    decode = _decode_errors(graphs.decode, reference)
    refuse_misses("decode", decode)
    return encode, decode


def _encode_errors(graph: ServedGraph, reference: MixtureReference) -> Errors:
    x = reference.rows["x"]
    dimensions, expected = x[0].size, reference.mixed(reference.member_log_prob)
    scale = np.maximum(np.ptp(reference.z, axis=0), 1)  # members × dimensions
    relative, per_dim = [0.0], list[Float64]()
    for rows, (z, log_prob, member, member_log_prob, member_z) in graph.at_each_size(
        reference.rows
    ):
        n = len(z)
        if not np.array_equal(z, member_z[np.arange(n), member]):
            raise ExportError("the graph to encode answers the latents of another member")
        off = np.abs(member_z.reshape(n, -1, dimensions) - reference.z[rows]) / scale
        relative.append(float(_largest(off)))
        each = _difference(member_log_prob, reference.member_log_prob[rows]).max(1)
        gap = reference.responsibility_gap(rows, member)
        errors = np.maximum(_difference(log_prob, expected[rows]), each)
        per_dim.append(np.maximum(errors, gap) / dimensions)
        say_where(f"encode, up to row {rows.stop}")
    return Errors(max(relative), np.concatenate(per_dim), graph.batch_sizes)


def _decode_errors(graph: ServedGraph, reference: MixtureReference) -> Errors:
    expected, dimensions = reference.decoded, reference.decoded[0].size
    span = np.ptp(expected, axis=0)
    scale = np.where(span > 0, span, 1)
    relative, answered = [0.0], list[tuple[Feed, Float64]]()
    for rows, (x, log_prob) in graph.at_each_size(reference.latents):
        relative.append(float(_largest(np.abs(x - expected[rows]) / scale)))
        context = {k: v[rows] for k, v in reference.latents.items() if k == "context"}
        answered.append(({"x": x, **context}, log_prob))
        say_where(f"decode, up to row {rows.stop}")
    feed = {name: np.concatenate([f[name] for f, _ in answered]) for name in answered[0][0]}
    log_prob = np.concatenate([each for _, each in answered])
    off = _difference(log_prob, reference.log_prob(feed))
    return Errors(max(relative), off / dimensions, graph.batch_sizes)


def _difference(answer: Float64, expected: Float64) -> Float64:
    """Absolute differences: zero where both are the same infinity, infinite where one is NaN."""
    with np.errstate(invalid="ignore"):
        off = np.abs(np.asarray(answer, np.float64) - expected)
    return np.where(answer == expected, 0.0, np.where(np.isnan(off), np.inf, off))


def _largest(off: Float64) -> float:
    """The largest difference; infinite where one is NaN."""
    return float(np.where(np.isnan(off), np.inf, off).max(initial=0))

"""What a client asks a server, free of I/O: arrays to requests, answers to arrays.

A new question is a method of `Questions`, and an entry in each of the classes of `methods`.
"""

from collections.abc import Mapping
from operator import index
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from bijecta_client import bodies, native, remarks, tables
from bijecta_client.answers import (
    Decoded,
    Encoded,
    Interpolated,
    Layered,
    Numbers,
    Placed,
    RowError,
    Sampled,
    Scored,
)
from bijecta_client.asking import Question
from bijecta_client.exchange import Steps
from bijecta_client.holdings import EnsembleQuestions

# Of a request for reasons: each row is scored again for each value of each of its columns.
REASONED_ROWS = 32

Path = Literal["linear", "normalized", "geodesic"]


class Questions(EnsembleQuestions):
    """The questions of a client, each as steps that end in its answer.

    Every question may name another `model` and `version` than the client's; a version that is
    left out is the one that the name means. All raise `BijectaError`, of the kind that says what
    was wrong, and `TypeError` for arrays that hold no numbers. Rows by name, of models of tables,
    are a sequence of mappings, a mapping of columns, an Arrow table or record batch, or a data
    frame of pandas or polars.
    """

    @overload
    def log_prob(
        self,
        x: ArrayLike | tables.Named,
        context: ArrayLike | None = None,
        dequantize: int | None = None,
        seed: int | None = None,
        *,
        quantile: Literal[False] = False,
        failures: list[RowError] | None = None,
        model: str | None = None,
        version: int | None = None,
    ) -> Steps[Numbers]: ...
    @overload
    def log_prob(
        self,
        x: ArrayLike | tables.Named,
        context: ArrayLike | None = None,
        dequantize: int | None = None,
        seed: int | None = None,
        *,
        quantile: Literal[True],
        failures: list[RowError] | None = None,
        model: str | None = None,
        version: int | None = None,
    ) -> Steps[Placed]: ...
    def log_prob(
        self,
        x: ArrayLike | tables.Named,
        context: ArrayLike | None = None,
        dequantize: int | None = None,
        seed: int | None = None,
        *,
        quantile: bool = False,
        failures: list[RowError] | None = None,
        model: str | None = None,
        version: int | None = None,
    ) -> Steps[Numbers | Placed]:
        """Log-density of each row in nats, −inf outside a bounded support.

        Args:
            x: N × event shape, or rows by name.
            context: of a conditional model: N × columns, or one row for all; of one column N
                values, or one. Numbers and classes.
            dequantize: answer the log of the mean density over so many noisy copies of whole
                numbers.
            seed: of their noise; all rows then go in one request, for they share its stream.
            quantile: answer where each row lies among held-out ones, too.
            failures: rows without an answer are added to it and have NaN; without it they refuse
                the question.
            model, version: others than the client's.

        Returns:
            N numbers; with `quantile` two of N.
        """
        options = {"dequantize": dequantize, "seed": seed, "quantile": quantile or None}
        most = self._rows if seed is None else None
        if most is not None and dequantize is not None:
            most = most // max(dequantize, 1)  # the server's limit is one of copies
        outputs = Placed._fields if quantile else ("log_prob",)
        question = Question(outputs, options, most, model, version, failures)
        answer = yield from self._of_x("/log_prob", x, context, question)
        log_prob: Numbers = answer["log_prob"]
        return Placed(log_prob, answer["quantile"]) if quantile else log_prob

    def score(
        self,
        x: ArrayLike | tables.Named,
        context: ArrayLike | None = None,
        *,
        alpha: float | None = None,
        fdr: float | None = None,
        seed: int | None = None,
        reasons: int | None = None,
        failures: list[RowError] | None = None,
        model: str | None = None,
        version: int | None = None,
    ) -> Steps[Scored]:
        """Score, p-value and log-density of each row by a detector, and whether it is an anomaly.

        Args:
            x: N × event shape, or rows by name.
            context, failures, model, version: as of `log_prob`.
            alpha: a row is an anomaly whose p-value is at most this; 0.05 where left out.
            fdr: in place of alpha: the expected share of normal rows among the anomalies. It is of
                all rows together, which go in one request, or are refused.
            seed: draws the places of rows among calibration rows of the same score; all rows then
                go in one request, for they share its stream.
            reasons: answer of each row so many columns at most that raise its score.
        """
        options = {"alpha": alpha, "fdr": fdr, "seed": seed, "reasons": reasons}
        most = self._rows if reasons is None else min(self._rows, REASONED_ROWS)
        whole = fdr is not None or seed is not None
        outputs = ("score", "p_value", "anomaly", "log_prob")
        question = Question(outputs, options, None if whole else most, model, version, failures)
        found = yield from self._of_x("/score", x, context, question, ".score")
        # JSON has no infinity: its null is a row outside the support, or one without an answer
        found["score"][np.isneginf(found["log_prob"])] = np.inf
        return Scored(
            found["score"],
            found["p_value"],
            found["anomaly"] == 1,  # NaN, of a row without an answer, is none
            found["log_prob"],
            found.get("reasons"),
        )

    def encode(
        self,
        x: ArrayLike | tables.Named,
        context: ArrayLike | None = None,
        seed: int | None = None,
        *,
        failures: list[RowError] | None = None,
        model: str | None = None,
        version: int | None = None,
    ) -> Steps[Encoded]:
        """Latents and log-density of rows x, refused outside the support.

        Args:
            x: N × event shape, or rows by name.
            context, failures, model, version: as of `log_prob`.
            seed: of a table: draws where in its cell a discrete value is taken, in place of the
                middle; all rows then go in one request.
        """
        most = self._rows if seed is None else None
        outputs = Encoded._fields
        question = Question(outputs, {"seed": seed}, most, model, version, failures)
        return Encoded(**(yield from self._of_x("/encode", x, context, question)))

    def decode(
        self,
        z: ArrayLike,
        context: ArrayLike | None = None,
        *,
        member: ArrayLike | None = None,
        records: bool = False,
        failures: list[RowError] | None = None,
        model: str | None = None,
        version: int | None = None,
    ) -> Steps[Decoded]:
        """Rows and log-density of latents z, N × latent shape.

        Args:
            z: N × latent shape.
            context, failures, model, version: as of `log_prob`.
            member: of an ensemble, whose latents they are: the number of a member, or one for each
                row, as `encode_by_members` says it.
            records: of a table: x is a list of dicts, values of each column's own kind.
        """
        due = self._due()
        if records:
            rows = bodies.numbers("z", z)
            options, outputs = {"records": True}, ("rows", "log_prob")
            question = Question(outputs, options, self._rows, model, version, failures)
            answer = yield from self._native("/decode", "z", rows, context, question, due)
            return Decoded(answer["rows"], answer["log_prob"])
        question = Question(Decoded._fields, {}, self._rows, model, version, failures)
        return (yield from self._decode_arrays(z, context, member, question, due))

    def layers(
        self,
        z: ArrayLike,
        context: ArrayLike | None = None,
        *,
        model: str | None = None,
        version: int | None = None,
    ) -> Steps[Layered]:
        """States and log-densities of latents as they pass the layers, to the data.

        Args:
            z: N × latent shape, as many as the server allows in a request.
            context: as of `log_prob`.
            model, version: others than the client's; a bundle exported with `--layers`.
        """
        due, rows = self._due(), bodies.numbers("z", z)
        name, version = yield from self._target(model, version, due)
        head = {"model": name, "version": version}
        body = native.Body(head, "z", rows, context)
        said = yield from self._post("/layers", body.part(0, body.n), due)
        answer = native.arrays(said, Layered._fields, np.float32)
        bodies.check_rows(answer, body.n)
        return Layered(**answer)

    def sample(
        self,
        n: int,
        seed: int | None = None,
        temperature: float = 1.0,
        truncation: float | None = None,
        quantize: bool = False,
        context: ArrayLike | None = None,
        *,
        records: bool = False,
        model: str | None = None,
        version: int | None = None,
    ) -> Steps[Sampled]:
        """Rows drawn from the flow, with the log-density of each.

        They come in one request whatever their number, for they are the first n of their seed.

        Args:
            n: rows, as many as the server allows in a request.
            seed: the same one draws the same rows; chosen by the server where left out.
            temperature: the noise is multiplied by it.
            truncation: of a normal base: no noise beyond so many standard deviations.
            quantize: round whole-number columns; log_prob is that of the row before rounding.
            context: of a conditional model: n × columns, or one row for all.
            records: of a table: x is a list of dicts, values of each column's own kind.
            model, version: others than the client's.
        """
        due, n = self._due(), index(n)
        target = yield from self._target(model, version, due)
        options: dict[str, Any] = {"seed": seed, "truncation": truncation}
        options = {key: value for key, value in options.items() if value is not None}
        options |= {"temperature": temperature, "quantize": quantize}
        if records:
            return (yield from self._sampled_records(target, n, options, context, due))
        inputs = bodies.inputs({"n": np.array([n], np.int64), "context": context})
        outputs = ("x", "log_prob")
        head, answer = yield from self._infer(".sample", target, inputs, outputs, options, n, due)
        return Sampled(**answer, seed=remarks.seed(head.get("parameters")))

    def _sampled_records(
        self,
        target: tuple[str, int | None],
        n: int,
        options: Mapping[str, Any],
        context: ArrayLike | None,
        due: float,
    ) -> Steps[Sampled]:
        body = {"model": target[0], "version": target[1], "n": n, **options, "records": True}
        if context is not None:
            body["context"] = native.plain_context(context)
        said = yield from self._post("/sample", bodies.to_json(body), due)
        answer = native.arrays(said, ("rows", "log_prob"), np.float64)
        bodies.check_rows(answer, n)
        return Sampled(answer["rows"], answer["log_prob"], remarks.seed(said))

    def interpolate(
        self,
        start: ArrayLike | Mapping[str, Any],
        end: ArrayLike | Mapping[str, Any],
        steps: int = 10,
        path: Path = "linear",
        context: ArrayLike | None = None,
        *,
        model: str | None = None,
        version: int | None = None,
    ) -> Steps[Interpolated]:
        """Rows, log-density and latents along a path between two rows.

        Args:
            start, end: event shape each, or values by name: then x is a list of dicts.
            steps: points on the path, both ends included.
            path: `linear`, `normalized` or `geodesic`, between the latents.
            context: of a conditional model: one row, for the whole path.
            model, version: others than the client's.
        """
        due = self._due()
        name, version = yield from self._target(model, version, due)
        body: dict[str, Any] = {"model": name, "version": version, "steps": steps, "path": path}
        body |= {"start": native.end("start", start), "end": native.end("end", end)}
        if context is not None:
            body["context"] = native.plain_context(context)
        said = yield from self._post("/interpolate", bodies.to_json(body), due)
        outputs = ("rows" if "rows" in said else "x", "log_prob", "z")
        answer = native.arrays(said, outputs, np.float64)
        bodies.check_rows(answer, steps)
        remarks.warn(remarks.inexact_rows(said, 0))
        if "rows" in said:
            return Interpolated(answer["rows"], answer["log_prob"], answer["z"])
        if not (yield from self._is_wide(name, version, due)):
            answer = {key: values.astype(np.float32) for key, values in answer.items()}
        return Interpolated(**answer)

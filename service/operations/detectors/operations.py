"""What a detector answers."""

from collections.abc import Awaitable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle import DetectorManifest
from service.conformal import Calibration, benjamini_hochberg, tie_breakers
from service.errors import InvalidInputError
from service.operations.answer import NUMBERS_PER_P_VALUE, Answer
from service.operations.checked_runs import CheckedRuns
from service.operations.context import classes_of
from service.operations.detectors.reasons import ReasonedRows, check_reasons, reasons_of
from service.operations.operations import Operations
from service.operations.rows.faults import RowFaults
from service.operations.rows.support import outside_support
from service.operations.typed.operations import log_prob_by
from service.operations.typed.requests import ALPHA, LogProbOfTable, ScoreRequest
from service.operations.typed.settled import kept_impossible, settled_request
from service.store import Model
from service.types import Arrays, Floats

SCORED = ("score", "log_prob")


async def score(
    operations: Operations, model: Model, request: ScoreRequest, deadline: float
) -> Answer:
    """Score, p-value and log-density of each row, and whether it is an anomaly."""
    runs = operations.runs
    calibration = _calibration(model, request)
    if request.reasons is not None:
        check_reasons(model, request.x.values)
    settled, context_rows, faults = await settled_request(
        runs, model, request, "answered", deadline
    )
    x, context_rows = await runs.sound_rows(settled.values, context_rows, faults, deadline)
    impossible, outside = await kept_impossible(runs, settled, faults, deadline)
    scored = await _run(runs, model, x, context_rows, SCORED, deadline)
    arrays = {
        "score": np.where(outside, np.inf, scored["score"]),
        "log_prob": np.where(outside, -np.inf, scored["log_prob"]),
    }
    await runs.threads.run(
        len(x), check_scores, runs, model, arrays, outside, faults, deadline=deadline
    )
    ties = None
    if request.seed is not None:
        # by the number of the row: rows without an answer change nothing of the others
        ties = faults.kept(tie_breakers(request.seed, len(settled.values)))
    classes = classes_of(model, context_rows)
    arrays["p_value"] = await runs.threads.run(
        NUMBERS_PER_P_VALUE * len(x),
        calibration.p_values,
        arrays["score"],
        ties,
        classes,
        deadline=deadline,
    )
    if model.watch is not None and len(x):
        await model.watch.saw_log_prob(arrays["log_prob"])
        rows = np.asarray(x, np.float64)
        await model.watch.saw_scores(arrays["p_value"], arrays["score"], classes, rows)
    answer = await runs.answer(arrays, faults, deadline, request.seed)
    answer = await _decided(runs, answer, request, deadline)
    answer.remarks.update(outside_support(model, answer.arrays["log_prob"]))
    answer.remarks.update(request.x.remarks)
    if request.reasons is not None:
        reasoned = ReasonedRows(
            x,
            faults.kept(request.x.values),
            impossible,
            context_rows,
            scored["score"],
            faults.kept(np.arange(len(settled.values))),
            request.x.unfamiliar,
        )
        found = await reasons_of(runs, model, reasoned, request.reasons, deadline)
        answer.remarks["reasons"] = faults.spread(found)
    return answer


async def log_prob(
    operations: Operations, model: Model, request: LogProbOfTable, deadline: float
) -> Answer:
    """Log-density of each row in nats; −inf where a value has no probability."""

    def run(x: Floats, context_rows: Floats | None) -> Awaitable[Arrays]:
        return _run(operations.runs, model, x, context_rows, ("log_prob",), deadline)

    return await log_prob_by(run, operations, model, request, deadline)


def _calibration(model: Model, request: ScoreRequest) -> Calibration:
    """The calibration that a request is answered by.

    Raises:
        InvalidInputError: there is none, or the request asks for two decisions.
    """
    if request.alpha is not None and request.fdr is not None:
        raise InvalidInputError(
            "alpha and fdr: expected one of them: alpha bounds the share of normal rows that raise "
            "an alarm, fdr the share of normal rows among the alarms"
        )
    if model.calibration is None:
        assert model.detector is not None
        raise InvalidInputError(f"{no_calibration(model.detector)}; /log_prob answers without")
    return model.calibration


def no_calibration(detector: DetectorManifest) -> str:
    """Why a detector gives no p-values, and the command that makes a version which does."""
    return (
        f"{detector.name} version {detector.version} has no calibration, which p-values need: "
        f"`bijecta calibrate STORE/{detector.name} ROWS` makes a version with one from normal rows"
    )


async def _run(
    runs: CheckedRuns,
    model: Model,
    x: Floats,
    context_rows: Floats | None,
    outputs: tuple[str, ...],
    deadline: float,
) -> Arrays:
    """Outputs of the graph, as they come; of no rows without running it."""
    if len(x) == 0:
        return {name: np.empty(0) for name in outputs}
    if context_rows is not None:
        context_rows = await runs.written_out(context_rows, deadline)
    return await model.engine.score(x, context_rows, outputs, deadline)


def check_scores(
    runs: CheckedRuns, model: Model, arrays: Arrays, outside: NDArray[Any], faults: RowFaults
) -> None:
    """Find rows inside the support without a score, or without log_prob."""
    score = np.where(outside, 0.0, arrays["score"])
    log_prob = np.where(np.isneginf(arrays["log_prob"]), 0.0, arrays["log_prob"])
    runs.check_finite(model, faults, score, log_prob)


async def _decided(
    runs: CheckedRuns, answer: Answer, request: ScoreRequest, deadline: float
) -> Answer:
    """An answer with the decisions, and by what they were taken."""
    p = answer.arrays["p_value"]
    if request.fdr is None:
        rule, rate = "alpha", ALPHA if request.alpha is None else request.alpha
        anomaly = p <= rate
    else:
        rule, rate = "fdr", request.fdr
        anomaly = await runs.threads.run(
            NUMBERS_PER_P_VALUE * len(p), benjamini_hochberg, p, rate, deadline=deadline
        )
    found = answer.arrays
    arrays = {"score": found["score"], "p_value": p, "anomaly": anomaly}
    arrays["log_prob"] = found["log_prob"]
    return Answer(arrays, answer.seed, {rule: rate, **answer.remarks})

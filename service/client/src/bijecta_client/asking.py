"""How a question becomes requests, and their answers one answer; free of I/O."""

import math
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bijecta_client import bodies, remarks
from bijecta_client.answers import Float32, RowError
from bijecta_client.exchange import (
    Ask,
    BijectaError,
    Patience,
    Steps,
    UnreadableError,
    exchange,
    json_of,
)


class Asking:
    """What all questions of a client share.

    Args:
        model: asked where a question names none, NAME or NAME@ALIAS; None for the server's
            default, or its only one.
        version: of that model; None for the one that the name means.
        timeout: seconds of a whole question, however often it is sent; None for no limit.
        patience: how often at most a request is sent again, or for how long.
        rows_per_request: questions of more rows are sent in parts.
    """

    def __init__(
        self,
        model: str | None,
        version: int | None,
        timeout: float | None,
        patience: Patience,
        rows_per_request: int,
    ) -> None:
        self._model = model
        self._version = version
        self._timeout = timeout
        self._patience = patience
        self._rows = rows_per_request

    def _due(self) -> float:
        """When a question that is put now is of no more use."""
        return math.inf if self._timeout is None else monotonic() + self._timeout

    def _get(self, path: str, due: float) -> Steps[dict[str, Any]]:
        return json_of((yield from exchange(Ask("GET", path), self._patience, due)))

    def _post(
        self, endpoint: str, body: Mapping[str, Any], outputs: Sequence[str], n: int, due: float
    ) -> Steps[dict[str, Float32]]:
        """The outputs of a native endpoint, of n rows each, by JSON."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        ask = Ask("POST", endpoint, bodies.to_json(body), headers)
        answer = json_of((yield from exchange(ask, self._patience, due)))
        try:
            arrays = {name: np.array(answer[name], np.float32) for name in outputs}
        except (KeyError, TypeError, ValueError) as error:
            raise UnreadableError(f"the answer to {endpoint} is none: {error!r}", 200) from None
        check_rows(arrays, n)
        remarks.warn(remarks.inexact_rows(answer, 0))
        return arrays

    def _target(
        self, model: str | None, version: int | None, due: float
    ) -> Steps[tuple[str, int | None]]:
        """The model and version of a question; who names none is told by the server, once."""
        if model is not None:
            return model, version  # the client's version is one of the client's model
        if self._model is None:
            listed = yield from self._get("/models", due)
            self._model = _default(listed)
        return self._model, self._version if version is None else version

    def _infer_path(
        self, graph: str, model: str | None, version: int | None, due: float
    ) -> Steps[str]:
        name, version = yield from self._target(model, version, due)
        chosen = "" if version is None else f"/versions/{version}"
        return f"/v2/models/{quote(name, safe='')}{graph}{chosen}/infer"

    def _of_rows(
        self,
        graph: str,
        arrays: Mapping[str, ArrayLike | None],
        outputs: Sequence[str],
        options: Mapping[str, Any],
        most: int | None,
        model: str | None,
        version: int | None,
        failures: list[RowError] | None = None,
    ) -> Steps[dict[str, Float32]]:
        """The outputs of rows, asked for in parts of at most so many.

        Rows without an answer are added to `failures`; where that is None they are refused.
        """
        due = self._due()
        if failures is not None:
            options = {**options, "partial": True}
        inexact: list[int] = []
        path = yield from self._infer_path(graph, model, version, due)
        answers = []
        for first, n, inputs in bodies.parts(bodies.inputs(arrays), most):
            try:
                head, answer = yield from self._infer(path, inputs, outputs, options, n, due)
            except BijectaError as error:
                error.begins_at(first)
                raise
            answers.append(answer)
            inexact += remarks.inexact_rows(head.get("parameters"), first)
            if failures is not None:
                failures += remarks.row_errors(head.get("parameters"), answer["log_prob"], first)
        remarks.warn(inexact)
        if len(answers) == 1:
            return answers[0]
        return {key: np.concatenate([answer[key] for answer in answers]) for key in outputs}

    def _infer(
        self,
        path: str,
        inputs: Mapping[str, NDArray[Any]],
        outputs: Sequence[str],
        options: Mapping[str, Any],
        n: int,
        due: float,
    ) -> Steps[tuple[dict[str, Any], dict[str, Float32]]]:
        """One request: the head of its answer, and the outputs of n rows."""
        parameters = {key: value for key, value in options.items() if value is not None}
        content, length = bodies.pack(inputs, outputs, parameters)
        headers = {"Content-Type": "application/octet-stream", bodies.LENGTH: str(length)}
        ask = Ask("POST", path, content, headers)
        answer = yield from exchange(ask, self._patience, due)
        try:
            head, arrays = bodies.unpack(answer.content, int(answer.headers[bodies.LENGTH]))
            values = {name: arrays[name] for name in outputs}
        except (KeyError, TypeError, ValueError) as error:
            wrong = f"the answer is not one of the Open Inference Protocol: {error!r}"
            raise UnreadableError(wrong, answer.status) from None
        check_rows(values, n)
        return head, values


def check_rows(arrays: Mapping[str, Float32], n: int) -> None:
    """See that an answer has as many rows as were asked for."""
    for name, values in arrays.items():
        if values.shape[:1] != (n,):
            raise UnreadableError(f"{name}: expected {n} rows, got shape {values.shape}", 200)


def _default(listed: Mapping[str, Any]) -> str:
    """The model that a server answers with where none is named."""
    names = [str(model["name"]) for model in listed.get("models", ())]
    name = listed.get("default") or (names[0] if len(names) == 1 else None)
    if name is None:
        raise BijectaError(f"say which model: one of {', '.join(names)}")
    return str(name)

"""What a client asks a server, free of I/O: arrays to requests, answers to arrays."""

import math
from collections.abc import Mapping, Sequence
from operator import index
from time import monotonic
from typing import Any, Literal
from urllib.parse import quote, urlencode

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bijecta_client import bodies
from bijecta_client.answers import Decoded, Encoded, Float32, Interpolated, Sampled
from bijecta_client.exchange import (
    Ask,
    BijectaError,
    Steps,
    TimedOutError,
    UnavailableError,
    UnreachableError,
    UnreadableError,
    exchange,
    json_of,
)

Path = Literal["linear", "normalized", "geodesic"]


class Questions:
    """The questions of a client, each as steps that end in its answer.

    Every question may name another `model` and `version` than the client's; a version that is
    left out is the newest. All raise `BijectaError`, of the kind that says what was wrong, and
    `TypeError` for arrays that hold no numbers.

    Args:
        model: asked where a question names none; None for the server's default, or its only one.
        version: of that model; None for the newest.
        timeout: seconds of a whole question, however often it is sent; None for no limit.
        retries: how often at most a request is sent again.
        rows_per_request: questions of more rows are sent in parts.
    """

    def __init__(
        self,
        model: str | None,
        version: int | None,
        timeout: float | None,
        retries: int,
        rows_per_request: int,
    ) -> None:
        self._model = model
        self._version = version
        self._timeout = timeout
        self._retries = retries
        self._rows = rows_per_request

    def log_prob(
        self,
        x: ArrayLike,
        context: ArrayLike | None = None,
        dequantize: int | None = None,
        seed: int | None = None,
        *,
        model: str | None = None,
        version: int | None = None,
    ) -> Steps[Float32]:
        """Log-density of each row in nats, −inf outside a bounded support.

        Args:
            x: N × event shape.
            context: of a conditional model: N × columns, or one row for all; numbers and classes.
            dequantize: answer the log of the mean density over so many noisy copies of whole
                numbers.
            seed: of their noise; all rows then go in one request, for they share its stream.
            model, version: others than the client's.

        Returns:
            N numbers.
        """
        options = {"dequantize": dequantize, "seed": seed}
        most = self._rows if seed is None else None
        if most is not None and dequantize is not None:
            most = most // max(dequantize, 1)  # the server's limit is one of copies
        answer = yield from self._of_rows(
            "", {"x": x, "context": context}, ("log_prob",), options, most, model, version
        )
        return answer["log_prob"]

    def encode(
        self,
        x: ArrayLike,
        context: ArrayLike | None = None,
        *,
        model: str | None = None,
        version: int | None = None,
    ) -> Steps[Encoded]:
        """Latents and log-density of rows x, N × event shape; refused outside the support."""
        answer = yield from self._of_rows(
            "", {"x": x, "context": context}, Encoded._fields, {}, self._rows, model, version
        )
        return Encoded(**answer)

    def decode(
        self,
        z: ArrayLike,
        context: ArrayLike | None = None,
        *,
        model: str | None = None,
        version: int | None = None,
    ) -> Steps[Decoded]:
        """Rows and log-density of latents z, N × latent shape."""
        answer = yield from self._of_rows(
            ".decode", {"z": z, "context": context}, Decoded._fields, {}, self._rows, model, version
        )
        return Decoded(**answer)

    def sample(
        self,
        n: int,
        seed: int | None = None,
        temperature: float = 1.0,
        truncation: float | None = None,
        quantize: bool = False,
        context: ArrayLike | None = None,
        *,
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
            model, version: others than the client's.
        """
        due = self._due()
        path = yield from self._infer_path(".sample", model, version, due)
        inputs = bodies.inputs({"n": np.array([index(n)], np.int64), "context": context})
        options = {"seed": seed, "temperature": temperature, "quantize": quantize}
        options |= {"truncation": truncation}
        head, answer = yield from self._infer(path, inputs, ("x", "log_prob"), options, n, due)
        try:
            return Sampled(**answer, seed=head["parameters"]["seed"])
        except (KeyError, TypeError):
            raise UnreadableError("there is no seed in the answer", 200) from None

    def interpolate(
        self,
        start: ArrayLike,
        end: ArrayLike,
        steps: int = 10,
        path: Path = "linear",
        context: ArrayLike | None = None,
        *,
        model: str | None = None,
        version: int | None = None,
    ) -> Steps[Interpolated]:
        """Rows, log-density and latents along a path between two rows.

        Args:
            start, end: event shape each.
            steps: points on the path, both ends included.
            path: `linear`, `normalized` or `geodesic`, between the latents.
            context: of a conditional model: one row, for the whole path.
            model, version: others than the client's.
        """
        due = self._due()
        name, chosen = yield from self._target(model, version, due)
        body: dict[str, Any] = {"model": name, "version": chosen, "steps": steps, "path": path}
        body |= {"start": bodies.numbers("start", start), "end": bodies.numbers("end", end)}
        if context is not None:
            body["context"] = np.asarray(context, object).tolist()
        content = bodies.to_json(body)
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        ask = Ask("POST", "/interpolate", content, headers)
        answer = json_of((yield from exchange(ask, self._retries, due)))
        try:
            found = {name: np.array(answer[name], np.float32) for name in Interpolated._fields}
        except (KeyError, TypeError, ValueError) as error:
            raise UnreadableError(f"the answer is no interpolation: {error!r}", 200) from None
        _check_rows(found, steps)
        return Interpolated(**found)

    def models(self) -> Steps[dict[str, Any]]:
        """What the server holds: `default`, `models` and `refused`."""
        return self._get("/models", self._due())

    def model(self, name: str | None = None, version: int | None = None) -> Steps[dict[str, Any]]:
        """The manifest of a model, the client's where none is named."""
        due = self._due()
        name, version = yield from self._target(name, version, due)
        query = "" if version is None else f"?{urlencode({'version': version})}"
        return (yield from self._get(f"/models/{quote(name, safe='')}{query}", due))

    def ready(self) -> Steps[bool]:
        """Whether the server would answer questions now; False where nothing is there."""
        try:
            yield from exchange(Ask("GET", "/health/ready"), 0, self._due())
        except (UnavailableError, UnreachableError, TimedOutError):
            return False
        return True

    def _due(self) -> float:
        """When a question that is put now is of no more use."""
        return math.inf if self._timeout is None else monotonic() + self._timeout

    def _get(self, path: str, due: float) -> Steps[dict[str, Any]]:
        return json_of((yield from exchange(Ask("GET", path), self._retries, due)))

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
        given: Mapping[str, ArrayLike | None],
        outputs: Sequence[str],
        options: Mapping[str, Any],
        most: int | None,
        model: str | None,
        version: int | None,
    ) -> Steps[dict[str, Float32]]:
        """The outputs of rows, asked for in parts of at most so many."""
        due = self._due()
        path = yield from self._infer_path(graph, model, version, due)
        answers = []
        for first, n, inputs in bodies.parts(bodies.inputs(given), most):
            try:
                _, answer = yield from self._infer(path, inputs, outputs, options, n, due)
            except BijectaError as error:
                error.begins_at(first)
                raise
            answers.append(answer)
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
        given = {key: value for key, value in options.items() if value is not None}
        content, length = bodies.pack(inputs, outputs, given)
        headers = {"Content-Type": "application/octet-stream", bodies.LENGTH: str(length)}
        ask = Ask("POST", path, content, headers)
        answer = yield from exchange(ask, self._retries, due)
        try:
            head, arrays = bodies.unpack(answer.content, int(answer.headers[bodies.LENGTH]))
            found = {name: arrays[name] for name in outputs}
        except (KeyError, TypeError, ValueError) as error:
            wrong = f"the answer is not one of the Open Inference Protocol: {error!r}"
            raise UnreadableError(wrong, answer.status) from None
        _check_rows(found, n)
        return head, found


def _check_rows(arrays: Mapping[str, Float32], n: int) -> None:
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

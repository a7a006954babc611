"""JSON bodies and answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pydantic_core

from service.bundle import AnyManifest
from service.codecs.base import FORM_TYPE, JSON_TYPE, NO_REMARKS, Codec, all_or_picked
from service.codecs.fields import NUMBERS_PER_WORD, PendingRequest, R, schema_for, target, validated
from service.codecs.json_writer import Records, all_records, json_pieces, writable
from service.codecs.npy import MAGIC
from service.errors import InvalidInputError, MalformedBodyError, TooLargeError, few
from service.inflight import Reading
from service.operations import (
    FORMS,
    NAMED,
    NUMBER_DTYPES,
    WIDE_DTYPES,
    Answer,
    FlowRequest,
    check_has_rows,
    check_named,
    count_booleans,
    described_value,
    named_rows,
    number_array,
)

# What fewer bytes are parsed to, for a moment on the event loop, is not worth counting.
UNCOUNTED_BYTES = 2**18

# Bytes that fit a CPU's cache.
COUNTED_AT_ONCE = 2**17

# Larger bodies are parsed in a thread. 16 KiB take about a millisecond: 64 callers who each send
# as much at once keep the others waiting that often.
QUICK_BYTES = 2**14

# Of the values in JSON, a part that may have keys: each costs four times as much, and a request has
# a few.
MAX_KEYS_SHARE = 8

# Of what Python holds for a value: an object, its entry in the list, and arrays made of it.
BYTES_PER_VALUE = 100


class JsonCodec(Codec):
    """JSON: every field in the body, every array in the answer."""

    media_type = JSON_TYPE
    body_types = (JSON_TYPE, "", FORM_TYPE)

    def parse(
        self, schema: type[R], body: bytes, query: Mapping[str, str], reading: Reading
    ) -> R | PendingRequest:
        """A request from a JSON object, which holds all of its fields."""
        if body.startswith(MAGIC):
            raise InvalidInputError(
                "the body is an npy file: say so with Content-Type: application/x-npy"
            )
        # of another body it is said what it seems to be
        if query and body[:100].lstrip()[:1] in (b"", b"{", b"["):
            raise InvalidInputError(
                f"with a JSON body, {few(sorted(query))} belongs into it, not into the URL"
            )
        check_json_size(body, len(body), reading)
        if reading.has_tables:
            return JsonRequest.of(schema, body, reading)
        return validated(schema, read_object(body), strict=True)

    def dump(self, manifest: AnyManifest, answer: Answer, output: str | None) -> bytes:
        """An object with model, version, the arrays, what is said of rows, and the seed if any."""
        return write_object(_content(manifest, answer, output))

    def pieces(
        self, manifest: AnyManifest, answer: Answer, output: str | None
    ) -> tuple[int | None, Iterator[bytes]]:
        """The same bytes; how many, only their end tells."""
        return None, json_pieces(_content(manifest, answer, output))

    def headers(
        self, manifest: AnyManifest, seed: int | None, remarks: Mapping[str, Any] = NO_REMARKS
    ) -> dict[str, str] | None:
        """None: the body says it all."""
        return None


def check_json_size(body: bytes, length: int, reading: Reading) -> None:
    """Check how much JSON there is, and charge what it is parsed to, before it is parsed.

    Args:
        body: begins with JSON.
        length: bytes of it.
        reading: limits.

    Raises:
        TakesLongError: on the event loop, more than a little.
        TooLargeError: too many bytes or values.
        MemoryFullError: more memory than the other requests leave.
    """
    limits = reading.limits
    if length > limits.json_bytes:
        raise TooLargeError(
            f"a request may have {limits.json_bytes} bytes of JSON, this one has {length}: send "
            "numbers as npy, Arrow or binary tensors"
        )
    reading.check_quick(length <= QUICK_BYTES)
    if length <= min(limits.json_values, UNCOUNTED_BYTES):
        return  # it has no more values than bytes
    # each value follows a comma, or is the first of a list or an object
    commas, lists, objects, keys = occurrences(body, length, b",[{:")
    values = 1 + commas + lists + objects
    if values > limits.json_values:
        raise TooLargeError(
            f"a request may have {limits.json_values} values in JSON, this one has {values} commas "
            "and brackets: send numbers as npy, Arrow or binary tensors"
        )
    if keys > limits.json_values // MAX_KEYS_SHARE:
        raise TooLargeError(
            f"a request may have {limits.json_values // MAX_KEYS_SHARE} keys in JSON, this one has "
            f"{keys} colons"
        )
    # a character beyond ASCII makes each of its string take up to four bytes
    reading.share.charge(BYTES_PER_VALUE * values + length * (1 if body.isascii() else 4))


def occurrences(body: bytes, length: int, marks: bytes) -> list[int]:
    """How often each of these bytes stands in so many of a body.

    Less than half of the time of `bytes.count` where they are many, and other threads go on.
    """
    text, counts = np.frombuffer(body, np.uint8, length), [0] * len(marks)
    for start in range(0, length, COUNTED_AT_ONCE):
        piece = text[start : start + COUNTED_AT_ONCE]
        for i, mark in enumerate(marks):
            counts[i] += int(np.count_nonzero(piece == mark))
    return counts


def read_object(body: bytes) -> dict[str, Any]:
    """A JSON object; lists of numbers, of whatever depth, are arrays already.

    Raises:
        MalformedBodyError: the body is not JSON, or not an object.
    """
    content = _unpacked(body)
    return packed(content, NUMBER_DTYPES) if count_booleans(body, len(body)) == 0 else content


def packed(content: dict[str, Any], dtypes: Sequence[np.dtype[Any]]) -> dict[str, Any]:
    """The same object, in which lists of numbers are arrays; there is no true or false in it."""
    for key, value in content.items():
        if type(value) is list and (array := number_array(value, dtypes)) is not None:
            content[key] = array
    return content


def _unpacked(body: bytes, advice: str = "") -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except ValueError:
        content = _parse_slowly(body)
    if not isinstance(content, dict):
        raise MalformedBodyError(f"expected a JSON object, got {described_value(content)}{advice}")
    return content


@dataclass(frozen=True)
class JsonRequest(PendingRequest):
    """A request in JSON, where there are models of typed columns.

    Args:
        schema: of the request to a flow.
        fields: of the object, in which lists are lists.
        may_hold_booleans: whether true or false may be among them.
        size: its `numbers`.
        model, version: which model is asked.
    """

    schema: type[FlowRequest]
    fields: dict[str, Any]
    may_hold_booleans: bool
    size: int
    model: str | None
    version: int | None

    @property
    def numbers(self) -> int:
        """In the body, where a value by name counts as many."""
        return self.size

    @classmethod
    def of(cls, schema: type[FlowRequest], body: bytes, reading: Reading) -> "JsonRequest":
        """A request of a body.

        Raises:
            MalformedBodyError: the body is not JSON, or not an object.
            InvalidInputError: a model or version that is none, or rows by name that are none.
            TooLargeError: too many rows by name.
        """
        is_of_rows = schema.npy_fields == ("x",)
        fields = _unpacked(body, f"; rows of a table are {FORMS}" * is_of_rows)
        values = check_named(fields, reading.limits.rows)
        # each number has a comma or bracket before it
        numbers = max(len(body) // 2, NUMBERS_PER_WORD * values)
        booleans = count_booleans(body, len(body)) != 0
        return cls(schema, fields, booleans, numbers, *target(fields))

    def resolved(self, manifest: AnyManifest) -> FlowRequest:
        """The request, with numbers of the type of the model's, and rows by name in its order."""
        fields = self.fields
        dtypes: Sequence[np.dtype[Any]] = NUMBER_DTYPES
        if manifest.dtype == "float64":
            dtypes = WIDE_DTYPES
        if manifest.typed is not None:
            if self.schema.npy_fields == ("x",):
                check_has_rows(fields, manifest.typed)
            fields = named_rows(fields, manifest.typed)
        elif named := [name for name in NAMED if name in fields]:
            raise InvalidInputError(
                f"{named[0]}: {manifest.name} is no model of typed columns: send numbers as x"
            )
        if not self.may_hold_booleans:
            fields = packed(fields, dtypes)
        return validated(schema_for(self.schema, manifest), fields, strict=True)


def write_object(content: Mapping[str, Any]) -> bytes:
    """JSON in which each float has its shortest exact digits, and is null if it is not finite."""
    return orjson.dumps(
        {k: writable(v) if isinstance(v, np.ndarray) else v for k, v in content.items()},
        option=orjson.OPT_SERIALIZE_NUMPY,
        default=all_records,
    )


def _content(manifest: AnyManifest, answer: Answer, output: str | None) -> dict[str, Any]:
    content: dict[str, Any] = {"model": manifest.name, "version": manifest.version}
    content |= all_or_picked(answer.arrays, output)
    if answer.columns is not None and "x" in content:
        rows = Records(content["x"], answer.columns)
        content = {("rows" if k == "x" else k): rows if k == "x" else v for k, v in content.items()}
    content |= answer.remarks
    if answer.seed is not None:
        content["seed"] = answer.seed
    return content


def _parse_slowly(body: bytes) -> Any:
    """JSON with NaN, which is refused where it stands; or an error that says what is wrong."""
    try:
        return pydantic_core.from_json(body)
    except ValueError as error:
        raise MalformedBodyError(f"the body is not JSON: {error}") from None

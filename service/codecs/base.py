"""What a codec is: the contract between requests and answers and the bodies they travel in."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, chain
from types import MappingProxyType
from typing import Any, ClassVar

from numpy.typing import NDArray

from service.bundle import AnyManifest
from service.codecs.fields import PendingRequest, R
from service.codecs.rows import row_slices
from service.errors import InvalidInputError, UnsupportedMediaTypeError, shown
from service.inflight import Reading
from service.operations import Answer, FlowRequest
from service.types import Arrays

JSON_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"
NPY_TYPE = "application/x-npy"
ARROW_TYPE = "application/vnd.apache.arrow.stream"
ARROW_FILE_TYPE = "application/vnd.apache.arrow.file"
PARQUET_TYPE = "application/vnd.apache.parquet"
CSV_TYPE = "text/csv"
WAV_TYPE = "audio/wav"
PNG_TYPE = "image/png"
BYTES_TYPE = "application/octet-stream"
# What curl -d sends unless told otherwise; its body is JSON all the same.
FORM_TYPE = "application/x-www-form-urlencoded"

REASONS = "reasons"
"""The remark that says of each row which columns raise its score."""

NO_REMARKS: Mapping[str, Any] = MappingProxyType({})
# A header must be short; the rest of the rows are those with NaN, or are told in JSON and Arrow.
MAX_ROWS_IN_HEADER = 500
MAX_CHARACTERS_IN_HEADER = 4000


class AnswerStream(ABC):
    """Writes one answer that comes a piece at a time, each piece some rows of every array."""

    @abstractmethod
    def begin(self, first: Arrays, rows: int, seed: int | None) -> int | None:
        """Prepare for pieces like the first; to be called once, before `piece`.

        Args:
            first: the first piece, not written yet.
            rows: how many there will be in all.
            seed: of the sample.

        Returns:
            Bytes of the whole body; None where only its end tells.

        Raises:
            NotAcceptableError: this type cannot hold such arrays.
        """

    @abstractmethod
    def piece(self, arrays: Arrays) -> bytes:
        """The bytes of the next rows; the first piece begins with what precedes all rows."""

    def end(self) -> bytes:
        """The bytes that follow the last rows."""
        return b""


class Codec(ABC):
    """One media type: how a body of it becomes a request, and an answer a body of it.

    A codec has no state. A new one is a file in this folder and an entry of `CODECS`.
    """

    media_type: ClassVar[str]
    """Of its answers."""

    has_reasons: ClassVar[bool] = True
    """Whether its answers have room for the reasons of a score."""

    body_types: ClassVar[tuple[str, ...]] = ()
    """Content types of the bodies that it reads; none where it only writes."""

    def parse(
        self, schema: type[R], body: bytes, query: Mapping[str, str], reading: Reading
    ) -> R | PendingRequest:
        """A request from a body that is not empty and the query string.

        Args:
            schema: of the request.
            body: not empty.
            query: the query string.
            reading: limits; what they forbid is refused, and memory charged, before it is taken.

        Raises:
            TooLargeError, MemoryFullError: more than the limits allow.
            TakesLongError: on the event loop, a body that is to be parsed in a thread.
            MalformedBodyError: the body is not of this type.
            InvalidInputError: values that the schema refuses.
            UnsupportedMediaTypeError: this type is only written, or its library is not installed.
        """
        raise UnsupportedMediaTypeError(f"bodies of {self.media_type} are not read")

    def refusal(
        self, schema: type[FlowRequest], manifest: AnyManifest, output: str | None
    ) -> str | None:
        """Why this type cannot hold an answer, as far as the request tells; None where it can.

        Args:
            schema: of the request.
            manifest: of the model that is to answer.
            output: the one array picked; None for the default.
        """
        return None

    def too_large(self, manifest: AnyManifest, request: FlowRequest) -> str | None:
        """Why an answer is too large for this type, before it is made; None where it is not.

        Args:
            manifest: of the model that is to answer.
            request: checked by its schema alone.
        """
        return None

    @abstractmethod
    def dump(self, manifest: AnyManifest, answer: Answer, output: str | None) -> bytes:
        """The body of an answer.

        Args:
            manifest: of the model that answered.
            answer: arrays of numbers, booleans or text, and a seed.
            output: the one array picked; None for the default of this type.

        Raises:
            InvalidInputError: there is no array of the name picked.
            NotAcceptableError: this type cannot hold these arrays.
        """

    def pieces(
        self, manifest: AnyManifest, answer: Answer, output: str | None
    ) -> tuple[int | None, Iterator[bytes]]:
        """The same body of a large answer, some rows at a time, as nobody must wait for all.

        Returns:
            Bytes of the whole body, None where only its end tells; and its pieces, of which each
            is made when it is asked for. The first raises what `dump` does.
        """
        stream = self.stream(manifest, output, answer.remarks)
        is_text = any(array.dtype.kind in "UT" for array in answer.arrays.values())
        if stream is None or is_text:
            return None, (self.dump(manifest, answer, output) for _ in range(1))
        check_output(output, answer.arrays)
        rows = len(next(iter(answer.arrays.values())))
        length = stream.begin(answer.arrays, rows, answer.seed)
        each = (stream.piece(part) for part in row_slices(answer.arrays))
        return length, chain(each, (stream.end() for _ in range(1)))

    def headers(
        self, manifest: AnyManifest, seed: int | None, remarks: Mapping[str, Any] = NO_REMARKS
    ) -> dict[str, str] | None:
        """What the body of an answer has no room for, as headers; None where it says it all.

        Args:
            manifest: of the model that answers.
            seed: of the answer.
            remarks: of the answer: `errors` become `X-Bijecta-Errors`, the numbers of the rows, and
                `unknown_classes` become `X-Bijecta-Unknown-Classes`, JSON in ASCII; reasons have no
                header.
        """
        named = {"X-Bijecta-Model": manifest.name, "X-Bijecta-Version": str(manifest.version)}
        if seed is not None:
            named["X-Bijecta-Seed"] = str(seed)
        for name, said in remarks.items():
            if name != REASONS:  # they are in the body
                named[f"X-Bijecta-{name.replace('_', '-').title()}"] = in_a_line(said)
        return named

    def stream(
        self, manifest: AnyManifest, output: str | None, remarks: Mapping[str, Any] = NO_REMARKS
    ) -> AnswerStream | None:
        """A writer of an answer of any length; None where this type is written all at once.

        Args:
            manifest: of the model that answers.
            output: the one array picked; None for the default of this type.
            remarks: of the answer, for formats with room for them.
        """
        return None


def in_a_line(said: Any) -> str:
    """A remark of an answer: the first of its rows by number, the number it is, or its values."""
    if not isinstance(said, list):
        return str(said)
    if isinstance(said[0], dict) and "row" not in said[0]:
        return _values_in_a_line(said)
    rows = [str(one["row"] if isinstance(one, dict) else one) for one in said[:MAX_ROWS_IN_HEADER]]
    return ",".join(rows) + (",..." if len(said) > len(rows) else "")


def _values_in_a_line(said: list[dict[str, Any]]) -> str:
    """The first values as JSON in ASCII, without the numbers of their rows."""
    texts = [json.dumps({k: v for k, v in one.items() if k != "rows"}) for one in said]
    lengths = accumulate(len(text) + 1 for text in texts)
    shown = [
        text for text, end in zip(texts, lengths, strict=True) if end <= MAX_CHARACTERS_IN_HEADER
    ]
    return f"[{','.join(shown)}]"


def check_output(output: str | None, names: Iterable[str]) -> None:
    """See that an answer has the array that is picked.

    Raises:
        InvalidInputError: it has none of that name; says which it has.
    """
    if output is not None and output not in names:
        raise InvalidInputError(f"output: there is no {shown(output)}, only {', '.join(names)}")


def all_or_picked(arrays: Arrays, output: str | None) -> Arrays:
    """All arrays, or the one picked.

    Raises:
        InvalidInputError: there is none of that name.
    """
    if output is None:
        return arrays
    check_output(output, arrays)
    return {output: arrays[output]}


def first_or_picked(arrays: Arrays, output: str | None) -> NDArray[Any]:
    """The question's own array, which is the first, or the one picked.

    Raises:
        InvalidInputError: there is none of that name.
    """
    check_output(output, arrays)
    return arrays[next(iter(arrays)) if output is None else output]

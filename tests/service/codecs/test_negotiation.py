"""Laws of `Accept` (RFC 9110, section 12.5.1), without HTTP."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.bundle import Picture
from service.codecs import CODECS, choose_codec
from service.codecs.negotiation import CACHED_CHARACTERS, MAX_CHARACTERS, _ranked
from service.errors import NotAcceptableError
from service.operations import LogProbRequest, SampleRequest
from tests.helpers.http import ARROW, NPY

JSON, WAV, PNG, CSV = "application/json", "audio/wav", "image/png", "text/csv"
PARQUET = "application/vnd.apache.parquet"
TYPES = [codec.media_type for codec in CODECS]
SHAPES = {"event_shape": [2], "latent_shape": [2], "column_names": None}
PICTURE = Picture((1, 4, 4), 0.0, 255.0, is_whole=True)
ROWS: Any = SimpleNamespace(name="rows", sound=None, picture=None, **SHAPES)
# both, so that every type can hold them
SOUNDS: Any = SimpleNamespace(name="sounds", sound=object(), picture=PICTURE, **SHAPES)


def chosen(accept: str, content_type: str = JSON, manifest: Any = SOUNDS) -> str:
    """The type of an answer with x; empty where none is acceptable."""
    try:
        return choose_codec(accept, content_type, SampleRequest, manifest, None).media_type
    except NotAcceptableError:
        return ""


# Accept, type of the request's body, type of the answer
CASES = [
    # nothing, or nothing that can be read: the request's own type where it is binary, else JSON
    ("", JSON, JSON),
    ("", NPY, NPY),
    ("", ARROW, ARROW),
    ("", "application/x-www-form-urlencoded", JSON),
    ("", "text/tab-separated-values", JSON),
    ("", CSV, CSV),
    ("", PARQUET, PARQUET),
    (" , ,", NPY, NPY),
    ("json", NPY, NPY),
    ("*/json, /, a/, ;q=1, =, \x00", NPY, NPY),
    # wildcards
    ("*/*", JSON, JSON),
    ("*/*", ARROW, ARROW),
    ("*", NPY, NPY),
    ("application/*", NPY, NPY),
    ("audio/*", NPY, WAV),
    ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", JSON, JSON),
    ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", JSON, JSON),
    # one type, whatever the body
    (JSON, NPY, JSON),
    (NPY, JSON, NPY),
    (ARROW, JSON, ARROW),
    (WAV, NPY, WAV),
    (PNG, NPY, PNG),
    ("image/avif, image/webp, image/*;q=0.8", JSON, PNG),
    (NPY.upper(), JSON, NPY),
    # weights
    (f"{JSON};q=0.5, {NPY}", JSON, NPY),
    (f"{JSON}, {NPY};q=0.5", NPY, JSON),
    (f"{JSON};q=0.001, {ARROW};q=0.002", JSON, ARROW),
    (f"{JSON} ; Q=0.5\t,\t{NPY} ; q=0.6", JSON, NPY),
    (f"{NPY};q=1, {ARROW};q=1.000", ARROW, ARROW),
    (f"{NPY}, {ARROW}", JSON, NPY),
    (f"{JSON};q=0.2, */*;q=0.1", NPY, JSON),
    # refusals
    (f"{JSON};q=0", JSON, ""),
    ("*/*;q=0", JSON, ""),
    (f"{NPY};q=0, */*", NPY, JSON),
    (f"{JSON};q=0, */*", JSON, NPY),
    (f"{JSON};q=0.0, application/*;q=0.3, audio/*;q=0.2", JSON, NPY),
    (f"application/*;q=0, {NPY}", JSON, NPY),
    ("application/*;q=0, */*", JSON, WAV),
    ("text/html", JSON, ""),
    ("application/xml, text/*", NPY, CSV),
    # the most specific range weighs a type, wherever it stands
    (f"*/*, application/*;q=0.4, {NPY};q=0.2, audio/*;q=0.1", NPY, CSV),
    (f"{NPY};q=0.2, application/*;q=0.4, audio/*;q=0.1, */*", NPY, CSV),
    ("application/*;q=0.3, */*;q=0.9", JSON, WAV),
    # parameters name a variant, of which there is none
    (f"{JSON};charset=utf-8", NPY, JSON),
    (f"{NPY};version=1;q=0.5, {JSON};q=0.4", JSON, NPY),
    (f"{NPY};version=1;q=0, {NPY}", JSON, NPY),
    (f"{NPY};version=1;q=0, */*", NPY, NPY),
    (f"{NPY};version=1, {NPY};q=0", NPY, ""),
    (f'{NPY};a="x, {JSON};q=1, y";q=0.5, {ARROW};q=0.4', JSON, NPY),
    (f'{NPY};a="\\", {JSON}, ";q=0.5, {ARROW};q=0.6', JSON, ARROW),
    (f"{NPY};q=0.5;q=0.1, {ARROW};q=0.3", JSON, NPY),
    (f"{NPY};q=0;a=1, {ARROW};q=0.3", JSON, ARROW),
    # weights that are none
    (f"{NPY};q=much", JSON, NPY),
    (f"{NPY};q=", JSON, NPY),
    (f"{NPY};q", JSON, NPY),
    (f"{NPY};q=nan", JSON, NPY),
    (f"{NPY};q=7, {ARROW};q=0.9", ARROW, NPY),
    (f"{NPY};q=-1", JSON, ""),
    (f'{JSON};a="', NPY, JSON),
    (f'{JSON};a="\\', NPY, JSON),
]


@pytest.mark.parametrize(("accept", "content_type", "answer"), CASES)
def test_the_type_of_an_answer(accept: str, content_type: str, answer: str) -> None:
    assert chosen(accept, content_type) == answer


def test_a_type_that_cannot_hold_the_answer_gives_way_to_the_next() -> None:
    assert chosen(f"{WAV}, {JSON};q=0.5", manifest=ROWS) == JSON
    assert chosen("*/*", manifest=ROWS) == JSON
    assert chosen("application/*;q=0, */*", manifest=ROWS) == CSV
    assert chosen("application/*;q=0, text/*;q=0, */*", manifest=ROWS) == ""
    with pytest.raises(NotAcceptableError, match="rows of rows are no sounds") as caught:
        choose_codec(WAV, JSON, SampleRequest, ROWS, None)
    assert caught.value.extra == {"offered": [JSON, NPY, ARROW, CSV, PARQUET]}
    with pytest.raises(NotAcceptableError, match="rows of rows are no pictures"):
        choose_codec(PNG, JSON, SampleRequest, ROWS, None)
    for schema, output in ((LogProbRequest, None), (SampleRequest, "log_prob")):
        for accept in (WAV, PNG):
            with pytest.raises(NotAcceptableError, match="holds x"):
                choose_codec(accept, JSON, schema, SOUNDS, output)
    with pytest.raises(
        NotAcceptableError, match=r"text/html.*offered: application/json, "
    ) as caught:
        choose_codec("text/html", JSON, SampleRequest, SOUNDS, None)
    assert caught.value.extra == {"offered": TYPES}


def test_an_install_without_pyarrow_offers_no_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.codecs.arrow.table.HAS_PYARROW", False)
    monkeypatch.setattr("service.codecs.parquet.codec.HAS_PYARROW", False)
    assert chosen(f"{ARROW}, {NPY};q=0.1") == NPY
    with pytest.raises(NotAcceptableError, match="pip install 'bijecta") as caught:
        choose_codec(ARROW, JSON, SampleRequest, SOUNDS, None)
    assert caught.value.extra == {"offered": [JSON, NPY, WAV, CSV, PNG]}


WEIGHTS = st.integers(0, 1000).map(lambda n: f"{n / 1000:.3f}")
RANGES = st.sampled_from([*TYPES, "application/*", "audio/*", "image/*", "*/*", "text/html"])
MEMBERS = st.tuples(RANGES, WEIGHTS)
SPACE = st.sampled_from(["", " ", "\t", "  "])


@given(st.lists(MEMBERS, min_size=1, max_size=6, unique_by=lambda m: m[0]), st.data())
def test_order_spaces_case_and_empty_members_mean_nothing(
    members: list[tuple[str, str]], data: st.DataObject
) -> None:
    plain = ",".join(f"{name};q={weight}" for name, weight in members)
    decorated = [
        data.draw(SPACE).join([name.swapcase(), ";", f"Q={weight}"]) if weight != "1.000" else name
        for name, weight in data.draw(st.permutations(members))
    ]
    separator = data.draw(SPACE) + "," + data.draw(SPACE) + data.draw(st.sampled_from(["", ", ,"]))
    assert chosen(separator.join(decorated)) == chosen(plain)


@given(st.lists(MEMBERS, min_size=1, max_size=6, unique_by=lambda m: m[0]))
def test_the_answer_is_one_of_the_heaviest(members: list[tuple[str, str]]) -> None:
    by_range = {name: float(weight) for name, weight in members}

    def weight(media_type: str) -> float:
        for name in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
            if name in by_range:
                return by_range[name]
        return 0.0

    answer = chosen(",".join(f"{name};q={weight}" for name, weight in members))
    heaviest = max(map(weight, TYPES))
    assert weight(answer) == heaviest if heaviest else answer == ""


@given(st.text(st.characters(max_codepoint=255), max_size=80))
def test_no_header_breaks_the_reading(accept: str) -> None:
    assert chosen(accept) in ("", *TYPES)


@given(st.lists(st.sampled_from([*TYPES, "*/*", '"', "\\", ";", ",", "q=", "0", ".5", "="])))
def test_no_nearly_right_header_breaks_the_reading(pieces: list[str]) -> None:
    assert chosen("".join(pieces)) in ("", *TYPES)


@pytest.mark.parametrize("pattern", ["a/b,", ";", '"', '"\\', "\\", ",", 'a="b",', f"{JSON};q=1,"])
def test_a_header_of_any_length_is_read_in_little_time(pattern: str) -> None:
    accept = pattern * (2**20 // len(pattern))
    before = _ranked.cache_info().misses
    started = time.process_time()
    chosen(accept)
    assert time.process_time() - started < 0.2
    assert _ranked.cache_info().misses == before


@given(st.integers(1, 3000))
def test_what_is_remembered_is_bounded(n: int) -> None:
    assume(n > CACHED_CHARACTERS)
    before = _ranked.cache_info().misses
    padded = f"{NPY};a={'b' * min(n, MAX_CHARACTERS - 100)}"
    assert chosen(padded) == NPY
    assert _ranked.cache_info().misses == before

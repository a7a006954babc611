"""Which codec writes an answer: the request's `Accept` as RFC 9110, section 12.5.1, reads it.

`Accept` is a list of media ranges, each with a weight `q` from 0 (refused) to 1 (the default). Of
the ranges that cover a media type the most specific one weighs it: the type itself before `type/*`
before `*/*`. A range with parameters, such as `application/json;version=1`, names a variant. None
is offered here, so that it weighs its type where nothing names the type alone, and refuses nothing.

Members that cannot be read are passed over, and a weight that cannot be read is 1: a header of them
alone is as good as none.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from service.bundle import AnyManifest
from service.codecs.base import Codec
from service.codecs.registry import CODECS, JSON, body_codec
from service.errors import NotAcceptableError
from service.operations import FlowRequest

# Callers send the same few headers again and again; a long one is not worth its room in the cache.
CACHED_HEADERS = 256
CACHED_CHARACTERS = 256
# What follows is not read: no caller has so many preferences.
MAX_CHARACTERS = 8192

# Between commas, or semicolons, that are in no quoted string. Possessive: no input makes the search
# go back.
MEMBERS = re.compile(r'(?:[^,"]++|"(?:\\.|[^"\\])*+(?:"|\\?$))++', re.DOTALL)
PARTS = re.compile(r'(?:[^;"]++|"(?:\\.|[^"\\])*+(?:"|\\?$))++', re.DOTALL)
TOKEN = r"[!#$%&'*+.^_`|~0-9a-z-]+"
MEDIA_RANGE = re.compile(rf"\*/\*|({TOKEN})/({TOKEN})")


class MediaRange(NamedTuple):
    """A member of `Accept`: `type/subtype`, `type/*` or `*/*`, in lower case."""

    media_range: str
    has_parameters: bool
    weight: float


def choose_codec(
    accept: str,
    content_type: str,
    schema: type[FlowRequest],
    manifest: AnyManifest,
    output: str | None,
) -> Codec:
    """The codec of an answer: the most preferred of those that can hold it.

    Args:
        accept: the request's `Accept`, its repetitions joined by commas; empty where there is none.
        content_type: the request's `Content-Type`: among equals a binary type is answered in kind,
            and any other in JSON.
        schema: of the request.
        manifest: of the model that is to answer.
        output: the one array picked, if any.

    Raises:
        NotAcceptableError: no codec is accepted, or none of the accepted ones can hold the answer.
    """
    ranked = _ranked if len(accept) <= CACHED_CHARACTERS else _ranked.__wrapped__
    reason = None
    for codec in ranked(accept, body_codec(content_type) or JSON):
        refusal = codec.refusal(schema, manifest, output)
        if refusal is None:
            return codec
        reason = reason or refusal
    able = [c.media_type for c in CODECS if c.refusal(schema, manifest, output) is None]
    reason = reason or f"nothing that Accept names is offered: {accept:.200}"
    raise NotAcceptableError(f"{reason}; offered: {', '.join(able)}", offered=able)


@lru_cache(CACHED_HEADERS)
def _ranked(accept: str, own: Codec) -> tuple[Codec, ...]:
    """The accepted codecs, the most preferred first; among equals that of the request's body."""
    ranges = _media_ranges(accept[:MAX_CHARACTERS]) or [MediaRange("*/*", False, 1.0)]
    in_order = sorted(CODECS, key=lambda codec: codec is not own)
    weights = {codec: _weight(codec.media_type, ranges) for codec in in_order}
    return tuple(sorted((c for c in in_order if weights[c] > 0), key=lambda c: -weights[c]))


def _weight(media_type: str, ranges: list[MediaRange]) -> float:
    """The weight of a media type; 0 where it is not accepted."""
    by_specificity = (
        [r.weight for r in ranges if r.media_range == media_type and not r.has_parameters],
        [r.weight for r in ranges if r.media_range == media_type and r.weight > 0],
        [r.weight for r in ranges if r.media_range == f"{media_type.partition('/')[0]}/*"],
        [r.weight for r in ranges if r.media_range == "*/*"],
    )
    return next((max(weights) for weights in by_specificity if weights), 0.0)


def _media_ranges(accept: str) -> list[MediaRange]:
    """The members of `Accept` that can be read."""
    ranges = []
    for member in MEMBERS.findall(accept.lower()):
        media_range, *parameters = [part.strip() for part in PARTS.findall(member)] or [""]
        if media_range == "*":  # Java's HttpURLConnection
            media_range = "*/*"
        if not MEDIA_RANGE.fullmatch(media_range) or media_range.startswith("*/") != (
            media_range == "*/*"
        ):
            continue
        names = [parameter.partition("=")[0].strip() for parameter in parameters]
        # what follows the weight belongs to no media type
        place = names.index("q") if "q" in names else len(names)
        weight = _quality(parameters[place].partition("=")[2]) if place < len(names) else 1.0
        ranges.append(MediaRange(media_range, any(names[:place]), weight))
    return ranges


def _quality(text: str) -> float:
    """A weight from 0 to 1; 1 where it cannot be read."""
    try:
        weight = float(text)
    except ValueError:
        return 1.0
    return min(max(weight, 0.0), 1.0) if weight == weight else 1.0

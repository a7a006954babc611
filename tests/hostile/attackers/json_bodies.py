"""JSON whose values cost more than their bytes, up to the largest body."""

from tests.hostile.attacker import REFUSED, Make, body_attacker

LIMIT = 64 * 2**20
ANSWERED = REFUSED | {200}


def filled(start: bytes, piece: bytes, end: bytes, scale: float, limit: int = LIMIT) -> bytes:
    """A body just below the limit: a start, a piece again and again, an end."""
    room = int(limit * scale) - len(start) - len(end) - 1
    return start + piece * max(1, room // len(piece)) + end


def empty_lists(scale: float) -> bytes:
    return filled(b'{"model":"tiny","x":[[]', b",[]", b"]}", scale)


def deep_lists(scale: float) -> bytes:
    return filled(b'{"model":"tiny","x":', b"[", b"", scale)


def deep_objects(scale: float) -> bytes:
    return filled(b'{"model":"tiny","x":', b'{"a":', b"1", scale)


def closed_depth(_: float) -> bytes:
    return b'{"model":"tiny","x":' + b"[" * 900 + b"]" * 900 + b"}"


def one_wide_row(scale: float) -> bytes:
    return filled(b'{"model":"tiny","x":[[0', b",1", b"]]}", scale)


def many_rows(scale: float) -> bytes:
    return filled(b'{"model":"tiny","x":[[0,0]', b",[1,2]", b"]}", scale)


def ragged_at_the_end(scale: float) -> bytes:
    return filled(b'{"model":"tiny","x":[[0,0]', b",[1,2]", b',[1,"a"]]}', scale)


def strings(scale: float) -> bytes:
    return filled(b'{"model":"tiny","x":[""', b',"a"', b"]}", scale)


def true_and_false(scale: float) -> bytes:
    return filled(b'{"model":"tiny","x":[[true,false]', b",[true,false]", b"]}", scale)


def long_number(scale: float) -> bytes:
    return filled(b'{"model":"tiny","x":[[1', b"0", b",2]]}", scale)


def long_fraction(scale: float) -> bytes:
    return filled(b'{"model":"tiny","x":[[0.', b"1234567890", b",2]]}", scale)


def long_string(scale: float) -> bytes:
    return filled(b'{"model":"', b"\\u00e9", b'","x":[[1,2]]}', scale)


def spaces(scale: float) -> bytes:
    return filled(b'{"model":"tiny","x":[[0.5,-2.0]]', b" ", b"}", scale)


def invalid_at_the_end(scale: float) -> bytes:
    return filled(b'{"model":"tiny","x":[[0,0]', b",[1,2]", b",\xff]}", scale)


def numbered(template: bytes, count: int, scale: float) -> bytes:
    """Members with names of their own."""
    return b",".join([template % number for number in range(max(1, int(count * scale)))])


def unknown_keys(scale: float) -> bytes:
    return b'{"model":"tiny","x":[[1,2]],' + numbered(b'"k%d":0', 1_000_000, scale) + b"}"


def one_key_again(scale: float) -> bytes:
    return filled(b'{"model":"tiny"', b',"x":[[1,2]]', b"}", scale)


def objects_as_rows(scale: float) -> bytes:
    return b'{"model":"tiny","x":[' + numbered(b'{"a%d":{}}', 3_000_000, scale) + b"]}"


def context_of_names(scale: float) -> bytes:
    rows = max(1, int(60_000 * scale))
    x = b"[" + b",".join([b"[0,0]"] * rows) + b"]"
    context = b"[" + numbered(b'[0,"no such class %d"]', rows, 1) + b"]"
    return b'{"model":"maf-context","x":' + x + b',"context":' + context + b"}"


# The limits of JSON, by default: an attacker who knows them stays just below.
JSON_BYTES = 16 * 2**20
JSON_VALUES = 524_288


def counted(start: bytes, piece: bytes, end: bytes) -> Make:
    """As many pieces as JSON may have values, counted as the server does: commas and brackets."""
    each = piece.count(b",") + piece.count(b"[")
    return lambda scale: start + piece * int((JSON_VALUES - 40) * scale / each) + end


def sized(start: bytes, piece: bytes, end: bytes) -> Make:
    """As many pieces as JSON may have bytes."""
    return lambda scale: filled(start, piece, end, scale, JSON_BYTES)


X = b'{"model":"tiny","x":'
MANY_VALUES = (
    counted(X + b"[[]", b",[]", b"]}"),
    counted(X + b"[[0", b",1", b"]]}"),
    counted(X + b"[[0", b",1.2345678901234567e-100", b"]]}"),
    counted(X + b'[""', b',"a"', b"]}"),
    counted(X + b"[[0,0]", b",[1,2]", b',[1,"a"]]}'),
    counted(X + b"[", b"[", b""),
)
MANY_BYTES = (
    sized(X + b"[[1", b"0", b",2]]}"),
    sized(X + b"[[0.", b"1234567890", b",2]]}"),
    sized(b'{"model":"', b"\\u00e9", b'","x":[[1,2]]}'),
    sized(X + b"[[0.5,-2.0]]", b" ", b"}"),
    sized(b'{"model":"tiny","x":[["', b"a", b'"]]}'),
)


for name, line, guards, *make in (
    (
        "json-empty-lists",
        "B5",
        "22 million empty lists are refused while they are read",
        empty_lists,
    ),
    (
        "json-nested",
        "B5",
        "lists and objects in each other are refused at their first depths",
        deep_lists,
        deep_objects,
        closed_depth,
    ),
    (
        "json-numbers",
        "B5",
        "more numbers than a request may hold are refused",
        one_wide_row,
        many_rows,
        ragged_at_the_end,
    ),
    (
        "json-texts",
        "B5",
        "millions of texts, of true and of false are refused",
        strings,
        true_and_false,
    ),
    (
        "json-long-values",
        "vii",
        "a number or a text of 60 MB is refused, and not shown",
        long_number,
        long_fraction,
        long_string,
    ),
    (
        "json-padding",
        "vii",
        "64 MiB of blanks, and an error behind 64 MiB, hold nobody up",
        spaces,
        invalid_at_the_end,
    ),
    (
        "json-unknown-keys",
        "B10",
        "of a million unknown keys a few are named",
        unknown_keys,
        one_key_again,
    ),
    ("json-objects", "B5", "millions of objects are refused", objects_as_rows),
    ("json-values-of-limit", "vii", "as many values as JSON may have, without pause", *MANY_VALUES),
    ("json-bytes-of-limit", "vii", "as many bytes as JSON may have, without pause", *MANY_BYTES),
    ("json-context-of-names", "vii", "60,000 classes that do not exist", context_of_names),
):
    body_attacker(name, line, guards, *make, expected=ANSWERED)

"""Bodies of the Open Inference Protocol: binary tensors, lengths, names and parameters."""

import json
from typing import Any

import numpy as np

from tests.hostile.attacker import REFUSED, Target, attacker, body_attacker
from tests.hostile.attackers.json_bodies import counted, filled, numbered
from tests.hostile.wire import request

INFER = "/v2/models/tiny/infer"
LENGTH = "Inference-Header-Content-Length"
ANSWERED = REFUSED | {200}
ROWS = 65_536


def tensor(rows: int, **more: Any) -> dict[str, Any]:
    return {"name": "x", "shape": [rows, 2], "datatype": "FP32", **more}


def parts(inputs: list[dict[str, Any]], **more: Any) -> bytes:
    return json.dumps({"inputs": inputs, **more}).encode()


def flat_data(scale: float) -> bytes:
    start = b'{"inputs":[{"name":"x","shape":[16000000,2],"datatype":"FP32","data":[0'
    return filled(start, b",1", b"]}]}", scale)


def nested_data(scale: float) -> bytes:
    start = b'{"inputs":[{"name":"x","shape":[10,2],"datatype":"FP32","data":[[0,0]'
    return filled(start, b",[1,2]", b"]}]}", scale)


def bytes_data(scale: float) -> bytes:
    start = b'{"inputs":[{"name":"x","shape":[10,2],"datatype":"BYTES","data":["a"'
    return filled(start, b',"b"', b"]}]}", scale)


def many_inputs(scale: float) -> bytes:
    one = b'{"name":"x%d","shape":[1,2],"datatype":"FP32","data":[0,0]}'
    return b'{"inputs":[' + numbered(one, 900_000, scale) + b"]}"


def many_outputs(scale: float) -> bytes:
    names = numbered(b'{"name":"o%d"}', 3_000_000, scale)
    return parts([tensor(1, data=[0, 0])])[:-1] + b',"outputs":[' + names + b"]}"


def many_parameters(scale: float) -> bytes:
    names = numbered(b'"p%d":0', 4_000_000, scale)
    return parts([tensor(1, data=[0, 0])])[:-1] + b',"parameters":{' + names + b"}}"


def long_id(scale: float) -> bytes:
    return filled(parts([tensor(1, data=[0, 0])])[:-1] + b',"id":"', b"\\u00e9", b'"}', scale)


def large_shape(_: float) -> bytes:
    return parts([tensor(2**62, data=[0, 0])])


def many_sides(scale: float) -> bytes:
    start = b'{"inputs":[{"name":"x","shape":[1'
    return filled(start, b",1", b'],"datatype":"FP32","data":[0]}]}', scale)


def long_integers(scale: float) -> bytes:
    start = b'{"inputs":[{"name":"n","shape":[1],"datatype":"INT64","data":[1'
    return filled(start, b"0", b"]}]}", scale)


FLAT = b'{"inputs":[{"name":"x","shape":[240000,2],"datatype":"%s","data":[%s'
AT_LIMIT = (
    counted(FLAT % (b"FP32", b"0"), b",1", b"]}]}"),
    counted(FLAT % (b"BYTES", b'"a"'), b',"b"', b"]}]}"),
    counted(FLAT % (b"FP32", b"[]"), b",[]", b"]}]}"),
)

for name, line, guards, *make in (
    (
        "v2-values",
        "B5",
        "millions of values in JSON are refused",
        flat_data,
        nested_data,
        bytes_data,
    ),
    ("v2-values-of-limit", "vii", "as many values as JSON may have, without pause", *AT_LIMIT),
    (
        "v2-many",
        "B5",
        "of a million inputs, outputs, parameters or sides a few are looked at",
        many_inputs,
        many_outputs,
        many_parameters,
        many_sides,
    ),
    (
        "v2-long",
        "vii",
        "an id or a number of 60 MB, and a shape without its data",
        long_id,
        long_integers,
        large_shape,
    ),
):
    body_attacker(name, line, guards, *make, path=INFER, expected=ANSWERED)


def raw_rows(scale: float) -> bytes:
    """The bytes of as many rows as one request may have, and no JSON."""
    return bytes(8 * max(1, int(ROWS * scale)))


def raw_of_limit(scale: float) -> bytes:
    return bytes(int(2**26 * scale) // 8 * 8)


body_attacker(
    "v2-raw",
    "vii",
    "raw bodies of the most rows, and of 64 MiB",
    raw_rows,
    raw_of_limit,
    path=INFER,
    kind="application/octet-stream",
    expected=ANSWERED,
    Inference_Header_Content_Length="0",
)


@attacker("vii", "binary tensors of the most rows, without pause", connections=8, expected=ANSWERED)
async def v2_binary(target: Target) -> None:
    values = np.zeros((target.count(ROWS), 2), "<f4").tobytes()
    start = parts([tensor(len(values) // 8, parameters={"binary_data_size": len(values)})])
    data = request(INFER, start + values, **{LENGTH: str(len(start))})
    async with target.connection() as connection:
        while target.goes_on:
            await connection.send(data)
            await target.reply(connection)
            if target.once:
                return


async def _lengths(target: Target) -> None:
    body = parts([tensor(1, data=[0, 0])])
    for length in ("-1", "9" * 5000, "1e9", str(2**63), "１", "", "3", "00", "+5"):
        data = request(INFER, body, **{LENGTH: length}) if length.isascii() else b""
        if data:
            async with target.connection() as connection:
                await connection.send(data)
                await target.reply(connection)


async def _sizes(target: Target) -> None:
    for size in (-1, 2**63, 2**40, 0, 7, True, "16", 1e30, [16], None):
        start = parts([tensor(2, parameters={"binary_data_size": size})])
        data = start + bytes(16)
        await target.ask(INFER, data, **{LENGTH: str(len(start))})


@attacker(
    "B18",
    "optional fields that are null, and numbers that are none",
    connections=8,
    expected=ANSWERED,
)
async def v2_nulls(target: Target) -> None:
    row = tensor(1, data=[0, 0])
    for more in (b"null", b"NaN", b"[]", b"-Infinity", b'{"a":null}', b"{}" * 100):
        body = parts([row])[:-1] + b',"parameters":' + more + b',"outputs":' + more + b"}"
        await target.ask(INFER, body)


@attacker(
    "xii", "lengths, sizes and fields that cannot be are refused", connections=8, expected=ANSWERED
)
async def v2_nonsense(target: Target) -> None:
    await _lengths(target)
    await _sizes(target)


@attacker(
    "B17", "pages of the protocol by every method", connections=8, expected=ANSWERED | {403, 405}
)
async def v2_pages(target: Target) -> None:
    paths = (
        "/v2",
        "/v2/health/live",
        "/v2/models/tiny",
        "/v2/models/tiny/config",
        "/v2/models/tiny/versions/" + "9" * 4000,
        "/v2/models/stats",
        "/v2/repository/index",
        "/v2/repository/models/tiny/load",
    )
    for path in paths:
        for method in ("GET", "POST", "PUT"):
            async with target.connection() as connection:
                await connection.send(request(path, b"{}", method=method))
                await target.reply(connection)

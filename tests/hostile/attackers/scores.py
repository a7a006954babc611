"""Scores: reasons of as many rows as there may be, of callers who leave, and decisions over all."""

import io

import numpy as np

from tests.helpers.typed import FIRST_DAY
from tests.hostile.attacker import Target, attacker
from tests.hostile.attackers.work import ANSWERED, NPY, again, body
from tests.hostile.wire import request

CSV = "text/csv"
HEADER = b"amount,count,country,seen\n"
LINE = b"%d.5,0.3,FR,2024-03-01\n"
FAR = [[1e308, 0, 3, FIRST_DAY]]
REASONED_ROWS = 2**13
"""Rows of four columns, with two values in place of each, of which reasons may be asked."""


def lines(rows: int) -> bytes:
    return HEADER + b"".join([LINE % (i % 1000) for i in range(rows)])


@attacker(
    "x",
    "reasons of as many rows as there may be, and of more",
    connections=4,
    expected=ANSWERED | {504},
)
async def reasons(target: Target) -> None:
    rows = target.count(REASONED_ROWS)
    path = "/score?model=detector&reasons=4"
    await again(
        target,
        request(path, lines(rows), CSV),
        request(path, lines(rows), CSV, X_Request_Timeout="0.05"),
        request(path, lines(rows + target.count(REASONED_ROWS)), CSV),
        request("/score", body(model="detector", x=FAR * 100, reasons=10**9)),
    )


@attacker("x", "callers who ask for reasons and leave", connections=16, expected=ANSWERED)
async def abandoned_reasons(target: Target) -> None:
    data = request("/score?model=detector&reasons=4", lines(target.count(REASONED_ROWS)), CSV)
    while target.goes_on:
        async with target.connection() as connection:
            await connection.send(data)
            await target.pause(0.2)
        if target.once:
            return


@attacker("vi", "decisions over the most rows of one request", connections=4, expected=ANSWERED)
async def discoveries(target: Target) -> None:
    file = io.BytesIO()
    rows = np.tile([2.5, 0.3, 1.0, FIRST_DAY], (target.count(65_536), 1))
    rows[:, 0] *= np.random.default_rng(0).random(len(rows))
    np.save(file, rows)
    path = "/score?model=detector&fdr=0.1&seed=1"
    outputs = ("p_value", "anomaly", "score")
    await again(target, *(request(f"{path}&output={o}", file.getvalue(), NPY) for o in outputs))

"""Good clients, who attack nothing: what they get under a mixed load is to be right."""

import io
import json
from dataclasses import dataclass

import numpy as np

from tests.hostile.attacker import Attacker, Target
from tests.hostile.wire import Connection, request

NPY = "application/x-npy"
ROWS = np.random.default_rng(0).normal(size=(100, 2)).astype("<f4")


@dataclass(frozen=True)
class Question:
    """A request, and the one array that is the right answer to it.

    Args:
        data: the request.
        answer: rows; None where it is what the first answer says.
    """

    data: bytes
    answer: np.ndarray | None


def questions() -> list[Question]:
    """Rows to score and to encode, and samples of a seed, of which each is to be the same.

    The samples are of another model than the attackers': who shares one with a caller who fills its
    queue is told so by 429.
    """
    file = io.BytesIO()
    np.lib.format.write_array(file, ROWS)
    scored = json.dumps({"model": "tiny", "x": ROWS[:8].tolist()}).encode()
    return [
        Question(request("/log_prob", scored, Accept=NPY), ROWS[:8].sum(1)),
        Question(request("/encode?model=tiny", file.getvalue(), NPY, Accept=NPY), ROWS),
        Question(request("/sample?model=nice&n=50&seed=7", Accept=NPY), None),
    ]


async def good_clients(target: Target) -> None:
    """Questions in turn on one connection, without a pause, and each answer checked."""
    asked = questions()
    async with target.connection() as connection:
        while target.goes_on:
            for place, question in enumerate(asked):
                asked[place] = await _checked(target, connection, question)


async def _checked(target: Target, connection: Connection, question: Question) -> Question:
    await connection.send(question.data)
    reply = await target.reply(connection)
    if reply.status != 200:
        target.wrong.append(f"a good request was answered {reply.status} {reply.body!r:.100}")
        return question
    array = np.lib.format.read_array(io.BytesIO(reply.body))
    if question.answer is None:
        return Question(question.data, array)
    if array.shape != question.answer.shape or not np.allclose(array, question.answer, atol=1e-4):
        target.wrong.append(f"a wrong answer: {array[:2]}, not {question.answer[:2]}")
    return question


GOOD = Attacker(
    "good-clients",
    "x",
    "good clients are answered right, and at once",
    good_clients,
    connections=4,
    expected=frozenset({200}),
)

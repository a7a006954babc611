"""The numbers that processes share, in one process."""

import math
import os

from service.processes import Board, State
from service.processes.board import EVEN_PART


def test_rows_are_of_their_workers_and_sums_of_all() -> None:
    board = Board(3)
    assert board.states == 3 * [State.ABSENT]
    for worker in range(3):
        board.hold(worker, 10**worker)
        board.began(worker, 100 + worker)
        board.beat(worker, State.LISTENING)
    assert board.held_by_all() == 111
    assert board.processes == [os.getpid(), 100, 101, 102]
    board.ended(1)
    assert board.held_by_all() == 101
    assert board.processes == [os.getpid(), 100, 102]
    assert board.states == [State.LISTENING, State.ABSENT, State.LISTENING]
    assert board.last_beat(0) > board.last_beat(1) == 0
    board.leave(0)
    assert (board.state(0), board.last_beat(0)) == (State.MADE, 0)
    board.restarted()
    board.stop()
    assert (board.restarts, board.is_stopping) == (1, True)
    assert board.held_by_all() == 101  # the row of the parent is no worker's


def test_workers_take_connections_so_that_all_have_as_many() -> None:
    board = Board(3)
    for worker, count in enumerate((12, 9, 16)):
        board.set_connections(worker, count)
    assert board.room(0) == board.room(0, is_late=True) == math.inf  # the others take none
    board.beat(1, State.READY)
    assert board.room(0) == 9 + 1 - 12
    assert board.room(0, is_late=True) == 1
    board.beat(2, State.MADE)
    assert board.room(1) == math.inf
    board.beat(2, State.LISTENING)
    assert board.room(1) == board.room(1, is_late=True) == 16 + 16 // EVEN_PART - 9
    board.beat(0, State.LISTENING)
    assert board.room(1) == 12 + 1 - 9
    assert board.room(2) == 9 + 1 - 16
    assert board.room(2, is_late=True) == 16 // EVEN_PART


def test_another_process_sees_what_one_writes() -> None:
    board = Board(1)
    if (process := os.fork()) == 0:
        board.hold(0, 2**40)
        os._exit(0)
    os.waitpid(process, 0)
    assert board.held_by_all() == 2**40

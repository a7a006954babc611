"""The memory that requests in progress hold together."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import MemoryFullError, TooLargeError
from service.inflight import InflightBudget, MemoryShare, SharedInflightBudget
from service.processes import Board
from tests.helpers.examples import examples

LIMIT = 100


def take_steps(
    steps: list[tuple[int, int, bool]], shares: list[MemoryShare], held: Callable[[], int]
) -> None:
    """Charge and keep as the steps say; what is held is what the shares hold after each."""
    for which, size, charges in steps:
        share, before = shares[which], held()
        if charges:
            if before + size <= LIMIT:
                share.charge(size)
            else:
                alone = share.held + size > LIMIT
                with pytest.raises(TooLargeError if alone else MemoryFullError):
                    share.charge(size)
        else:
            share.keep(size)
        assert held() == sum(s.held for s in shares) <= LIMIT


@examples(50)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 70), st.booleans()), max_size=30))
def test_the_budget_holds_what_its_shares_hold_and_never_more_than_its_limit(
    steps: list[tuple[int, int, bool]],
) -> None:
    budget = InflightBudget(LIMIT)
    shares = [budget.share() for _ in range(3)]
    take_steps(steps, shares, lambda: budget.held)
    for share in shares:
        share.__exit__(None, None, None)
    assert budget.held == 0


def test_what_a_request_holds_is_given_back_however_it_ends() -> None:
    budget = InflightBudget(LIMIT)
    share = budget.share()
    with suppress(KeyError), share:
        share.charge(LIMIT)
        raise KeyError
    assert budget.held == 0
    with pytest.raises(MemoryFullError):
        share.charge(1)  # a thread that has outlived its request
    assert budget.held == 0


def test_a_full_budget_says_when_to_come_again() -> None:
    budget = InflightBudget(LIMIT)
    with budget.share() as first, budget.share() as second:
        first.charge(LIMIT)
        with pytest.raises(MemoryFullError, match="hold 100 of the 100 bytes") as refused:
            second.charge(1)
    assert refused.value.headers == {"Retry-After": "1"}
    assert refused.value.status == 429


@examples(50)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 70), st.booleans()), max_size=30))
def test_the_budgets_of_workers_hold_no_more_together_than_the_limit(
    steps: list[tuple[int, int, bool]],
) -> None:
    board = Board(3)
    budgets = [
        SharedInflightBudget(LIMIT, partial(board.hold, number), board.held_by_all)
        for number in range(3)
    ]
    shares = [budget.share() for budget in budgets]
    take_steps(steps, shares, board.held_by_all)
    board.ended(0)  # what a killed worker held is free
    assert board.held_by_all() == shares[1].held + shares[2].held

"""Figures of these tests are drawn as the command draws them."""

from collections.abc import Iterator

import pytest

from training.plots.style import styled


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with styled():
        yield

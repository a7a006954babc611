"""What holds of every parser: it reads its seeds, and refuses what is cut off or damaged."""

import random

import pytest

from tests.helpers.parsers import PARSERS

CUTS = 40
DAMAGES = 200


@pytest.mark.parametrize("name", PARSERS)
def test_seeds_are_read(name: str) -> None:
    for seed in PARSERS[name].seeds:
        PARSERS[name].parse(seed)


@pytest.mark.parametrize("name", PARSERS)
def test_what_is_cut_off_or_damaged_is_read_or_refused(name: str) -> None:
    chance = random.Random(name)
    for seed in PARSERS[name].seeds:
        for cut in range(0, len(seed), max(1, len(seed) // CUTS)):
            PARSERS[name].accepts(seed[:cut])
        for _ in range(DAMAGES if seed else 0):
            damaged = bytearray(seed)
            for _ in range(chance.choice((1, 1, 2, 4))):
                damaged[chance.randrange(len(seed))] = chance.choice((0, 1, 0x7F, 0xFF, 34, 45, 91))
            PARSERS[name].accepts(bytes(damaged))

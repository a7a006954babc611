"""How many random examples a test sees, and whether they are new each time.

Two profiles of hypothesis. `repeatable`, which `make test` and CI run, draws the same examples on
every machine and in every run: what passes once passes always. `deep`, of `make test-deep`
(`HYPOTHESIS_PROFILE=deep` or pytest's `--hypothesis-profile=deep`), draws new ones, 50 times as
many, and prints how to repeat each failure. Failures stay in `.hypothesis/`, and the next deep run
tries them first.

The repeatable profile draws no numbers that stand in the sources of modules, as hypothesis does of
those that have been imported: which these are depends on the tests that ran before in the process.
"""

import os

from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.internal.conjecture import providers

# Of a test that names no number. Each profile counts in this unit.
USUAL = 100
DEEPER = 50


def register_profiles() -> None:
    """Register both, and load the one that the environment names."""
    # on a machine that does other work too, slow examples say nothing of the test
    unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile(
        "repeatable", unhurried, max_examples=USUAL, derandomize=True, database=None
    )
    # hypothesis' own default neither draws at random nor keeps failures where CI is set
    settings.register_profile(
        "deep",
        unhurried,
        max_examples=USUAL * DEEPER,
        derandomize=False,
        database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
        print_blob=True,
    )
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
    of_modules, none = providers._get_local_constants, providers._local_constants
    providers._get_local_constants = lambda: none if settings().derandomize else of_modules()


def examples(count: int) -> settings:
    """Decorate a test that sees `count` examples in the repeatable profile, and more in the deep.

    A number in `hypothesis.settings` itself would be the same in both.
    """
    return settings(max_examples=count * settings().max_examples // USUAL)

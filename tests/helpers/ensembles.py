"""Ensembles of the session's runs, and of others of the same recipes with another seed."""

from pathlib import Path

from tests.helpers.recipes import call_bijecta, recipe_text, write_lifted_moons

AGAIN = ("moons-context", "digits-nice")
"""Recipes that are trained again with another seed."""

ENSEMBLES = {
    "moons-mixture": (["moons-maf", "moons-iaf"], "2,3"),
    "context-mixture": (["moons-context", "moons-context-2"], "3,1"),
    "digits-mixture": (["digits-nice", "digits-nice-2"], "fitted"),
}
"""Runs and weights by the name of the bundle: autoregressive ones both ways, a context, a box."""


def train_again(runs: Path, folder: Path) -> None:
    """Train the recipes of `AGAIN` with seed 1 to folder/NAME-2, and link the other runs there."""
    write_lifted_moons(folder)
    for name in AGAIN:
        text = recipe_text(name) + "seed = 1\n"
        (folder / f"{name}-2.toml").write_text(text)
        done = call_bijecta("train", f"{name}-2.toml", "--out", f"{name}-2", cwd=folder)
        assert done.returncode == 0, done.stderr
    for run in runs.iterdir():
        if run.is_dir() and not (folder / run.name).exists():
            (folder / run.name).symlink_to(run)


def export_ensembles(folder: Path, store: Path) -> None:
    """Export every ensemble to folder/store, beside the bundles of a store."""
    for name, (members, weights) in ENSEMBLES.items():
        given = ["--store", "store", "--name", name, "--weights", weights]
        done = call_bijecta("ensemble", *members, *given, cwd=folder)
        assert done.returncode == 0, done.stderr
    for bundle in store.iterdir():
        if bundle.is_dir():
            (folder / "store" / bundle.name).symlink_to(bundle)

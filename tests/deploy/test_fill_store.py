"""What fills a store with example models, with stubs for `bijecta` and Python."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "fill_store.sh"

# `bijecta train R`, `distill T R`: a run; `export runs/R --store S`, `fit T --name M --store S`: a
# bundle. FAILS is the name of a model that cannot be exported.
BIJECTA = """#!/bin/sh
echo "bijecta $*" >>calls
case $1 in
    train) mkdir -p "runs/$2" ;;
    distill) mkdir -p "runs/$3" ;;
    export) test "$2" != "runs/$FAILS" && bundle=$4/${2#runs/}/1 || exit 1 ;;
    fit*) bundle=$6/$4/1 ;;
esac
if test "$bundle"; then mkdir -p "$bundle" && touch "$bundle/manifest.json"; fi
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an empty store and, in bin, the stubs."""
    (tmp_path / "store").mkdir()
    (tmp_path / "bin").mkdir()
    for name, content in {"bijecta": BIJECTA, "python": "#!/bin/sh\n"}.items():
        path = tmp_path / "bin" / name
        path.write_text(content)
        path.chmod(0o755)
    return tmp_path


def fill(
    folder: Path, *arguments: str, **variables: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """What the script ends with, and the models that were trained or fitted."""
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", SCRIPT, *arguments],
        cwd=folder,
        env={"PATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    calls = folder / "calls"
    words = [line.split() for line in calls.read_text().splitlines()] if calls.exists() else []
    return done, [
        w[w.index("--device") - 1] if "--device" in w else w[4] for w in words if w[1] != "export"
    ]


def add(folder: Path, model: str) -> None:
    bundle = folder / "store" / model / "1"
    bundle.mkdir(parents=True)
    (bundle / "manifest.json").touch()


def test_an_empty_store_gets_every_example_and_a_second_call_does_nothing(folder: Path) -> None:
    done, models = fill(folder, "--if-empty")
    assert done.returncode == 0, done.stderr
    assert len(models) == 8
    assert {path.name for path in (folder / "store").iterdir()} == set(models)
    (folder / "calls").unlink()
    done, models = fill(folder, "--if-empty")
    assert (done.returncode, models) == (0, [])


def test_a_store_that_was_filled_in_part_gets_the_rest(folder: Path) -> None:
    add(folder, "wine")
    _, models = fill(folder, "--if-empty", MODELS="moons-maf wine digits-student")
    # the student's teacher has no run
    assert models == ["moons-maf", "digits-maf", "digits-student"]


def test_a_store_of_other_models_stays_as_it_is_where_that_is_asked_for(folder: Path) -> None:
    add(folder, "payments")
    done, models = fill(folder, "--if-empty", MODELS="wine")
    assert (done.returncode, models) == (0, [])
    assert "the store holds payments" in done.stdout
    assert fill(folder, MODELS="wine")[1] == ["wine"]


def test_a_store_that_may_not_be_written_to_says_so(folder: Path) -> None:
    done, models = fill(folder, "--if-empty", BIJECTA_STORE="/proc/store")
    assert (done.returncode, models) == (1, [])
    assert "may not write to /proc/store" in done.stderr


def test_flows_of_two_numbers_are_exported_with_their_layers(folder: Path) -> None:
    fill(folder, MODELS="moons-maf digits-maf")
    exports = [
        line.split()[2:]
        for line in (folder / "calls").read_text().splitlines()
        if line.startswith("bijecta export")
    ]
    assert sorted(exports) == [
        ["runs/digits-maf", "--store", "store"],
        ["runs/moons-maf", "--store", "store", "--layers"],
    ]


def test_an_export_that_fails_is_a_failure_at_the_end(folder: Path) -> None:
    done, models = fill(folder, MODELS="moons-maf moons-iaf", FAILS="moons-maf")
    assert done.returncode == 1
    assert models == ["moons-maf", "moons-iaf"]
    assert (folder / "store" / "moons-iaf").exists()

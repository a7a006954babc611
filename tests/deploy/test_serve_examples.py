"""`make serve` serves while the store fills, and Ctrl-C ends both; with a stub for `bijecta`."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "serve_examples.py"

# `serve` notes its arguments and the signal that ends it, or ends at once where BUSY is set;
# `train` goes on until it is ended, or fails where FAILS is set. A file of each holds its number.
BIJECTA = """#!/bin/sh
echo $$ >"$1.part"
mv "$1.part" "$1"
case $1 in
    serve)
        test -z "$BUSY" || exit 3
        trap 'echo INT >>signals; exit 0' INT
        trap 'echo TERM >>signals; exit 0' TERM
        echo "$* poll $BIJECTA_POLL_SECONDS" >arguments.part
        mv arguments.part arguments
        while :; do sleep 0.02; done ;;
    train) test -z "$FAILS" || exit 1; exec sleep 60 ;;
esac
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start the script in an empty folder, in a group of its own as a terminal does."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "bijecta"
    program.write_text(BIJECTA)
    program.chmod(0o755)
    started: list[subprocess.Popen[str]] = []

    def start(**variables: str) -> "subprocess.Popen[str]":
        environment = {"PATH": f"{program.parent}:{os.environ['PATH']}", "MODELS": "digits-nice"}
        started.append(
            subprocess.Popen(
                [sys.executable, SCRIPT, "--port", "1"],
                cwd=tmp_path,
                env=environment | variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    yield start
    for each in started:
        if each.poll() is None:
            each.send_signal(signal.SIGTERM)
        each.communicate()


def wait_for(path: Path) -> str:
    """What a file holds, once it is there."""
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end, path
        time.sleep(0.01)
    return path.read_text()


def has_ended(number: str) -> bool:
    """Whether a process has ended; a zombie has."""
    status = Path("/proc") / number.strip() / "status"
    try:
        return "\nState:\tZ" in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_server_and_training(
    start: Callable[..., "subprocess.Popen[str]"], tmp_path: Path, name: signal.Signals
) -> None:
    script = start()
    training, serving = wait_for(tmp_path / "train"), wait_for(tmp_path / "serve")
    assert wait_for(tmp_path / "arguments") == "serve --store store --port 1 poll 2\n"
    assert (tmp_path / "store").is_dir()
    os.killpg(script.pid, name)
    assert script.wait(30) == 0
    assert (tmp_path / "signals").read_text() == f"{name.name[3:]}\n"  # once
    assert has_ended(serving)
    end = time.monotonic() + 30
    while not has_ended(training):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_server_that_ends_ends_training_and_its_code_is_passed_on(
    start: Callable[..., "subprocess.Popen[str]"],
) -> None:
    script = start(BUSY="yes")
    assert script.wait(30) == 3


def test_a_training_that_fails_is_said_and_the_server_goes_on(
    start: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    script = start(FAILS="yes")
    assert script.stderr is not None
    said = iter(script.stderr.readline, "")
    assert any("training has failed; the server goes on" in line for line in said)
    assert not has_ended(wait_for(tmp_path / "serve"))

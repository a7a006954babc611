"""Serve a store while the example models that it lacks are trained: `make serve`.

    STORE=./store python deploy/serve_examples.py --port 8000

The server begins at once and takes up each model as soon as it is there. Ctrl-C ends both; next
time training goes on where it was. Arguments are those of `bijecta serve`, and variables those of
fill_store.sh.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

FILL = Path(__file__).parent / "fill_store.sh"

# A full store is found to be full within this time.
FILLED_SECONDS = 1.0

POLL_SECONDS = "2"

EXPECT = (
    "serve: models that {store} lacks are trained meanwhile, all of them in about six minutes on "
    "two cores; each answers as soon as it is there. Ctrl-C ends both."
)
FAILED = "serve: training has failed; the server goes on, and `make store` tries again"


def main(arguments: list[str]) -> int:
    """Serve until a signal comes or the server ends.

    Args:
        arguments: for `bijecta serve`, whose store is that of the variable STORE.

    Returns:
        What the server ends with.
    """
    store = os.environ.get("STORE") or "store"
    Path(store).mkdir(parents=True, exist_ok=True)
    environment = {"BIJECTA_POLL_SECONDS": POLL_SECONDS, **os.environ}
    server: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, _: object) -> None:
        if server is None:  # it is being started
            early.append(number)
        else:
            _send(server, number)

    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, pass_on)
    # sessions of their own: what a terminal sends to its programs comes here, and once to each
    server = subprocess.Popen(
        ["bijecta", "serve", "--store", store, *arguments], env=environment, start_new_session=True
    )
    for number in early:
        _send(server, number)
    filler = subprocess.Popen(["sh", FILL], start_new_session=True)
    try:
        _say_how_it_goes(server, filler, store)
        return server.wait()
    finally:
        _end_with_children(filler)


def _say_how_it_goes(
    server: "subprocess.Popen[bytes]", filler: "subprocess.Popen[bytes]", store: str
) -> None:
    """Say that there is training, and whether it has failed, until it or the server has ended."""
    is_said = False
    while server.poll() is None:
        try:
            code = filler.wait(FILLED_SECONDS)
        except subprocess.TimeoutExpired:
            if not is_said:
                print(EXPECT.format(store=store), flush=True)
            is_said = True
        else:
            if code:
                print(FAILED, file=sys.stderr, flush=True)
            return


def _send(server: "subprocess.Popen[bytes]", number: int) -> None:
    """Pass a signal on; a terminal that is closed ends the server as SIGTERM does."""
    server.send_signal(signal.SIGTERM if number == signal.SIGHUP else number)


def _end_with_children(process: "subprocess.Popen[bytes]") -> None:
    """End a process and those that it has started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

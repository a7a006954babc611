"""Our server beside other servers, in rounds that visit every one, by wrk.

    make bench-peers

drives run.py of ../shared/bench/serving (or of the folder BIJECTA_SERVING_BENCH), which starts a
server, checks its answers, loads it and stops it. The servers' virtual environments are in the
folder SERVING_PEERS, where `make peers` puts them: `raw` runs run.py itself and onnxruntime's own
loop. Options that are not known here are run.py's: a trial in a minute is

    python -m tests.benchmarks.serving.peers --models FOLDER --rounds 1 --dimensions 43 \
        --duration 1 --warmup 1 --single 1 --quiet 1 --redo 0

Writes results/serving_peers.json and the page results/serving_peers.md; exits with 1 where a bar
is missed. What run.py says is kept in runs/bench-serving, and `--page-only` makes the page of it
again. Needs wrk, and a machine that does nothing else: two cores, an hour for three rounds.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import onnxruntime
from tqdm import tqdm

from tests.benchmarks.common.bar import add_results_option, publish
from tests.benchmarks.common.checkout import ROOT, environment
from tests.benchmarks.common.machine import cpu_name
from tests.benchmarks.serving.peers_page import page
from tests.benchmarks.serving.peers_result import OURS, OURS_V2, PEERS, Line, Result, bars
from tests.benchmarks.serving.server import Served
from tests.helpers.waiting import free_port

FOLDER = Path("runs/bench-serving")
# seconds; run.py begins no case after its deadline, and ends the last within two minutes
DEADLINE = 3000


class Rounds:
    """What run.py is called with.

    Args:
        bench: folder of run.py.
        peers: folder of the virtual environments.
        served: the model.
        arguments: further ones of run.py.
    """

    def __init__(self, bench: Path, peers: Path, served: Served, arguments: list[str]) -> None:
        self._served = served
        self._command = [
            *(str(peers / "raw" / "bin" / "python"), str(bench / "run.py"), "--rounds", "1"),
            *("--model", str(served.dimensions), "--model-path", str(served.graph.resolve())),
            *arguments,
        ]
        self._environment = environment() | {"SERVING_PEERS": str(peers)}

    def one(self, number: int) -> list[Line]:
        """A round: the peers and our own routes, then our server by the Open Inference Protocol."""
        peers = ["--peers", ",".join(PEERS)]
        own = self._run([*peers, *self._ours(OURS, "/log_prob", "json,npy")], number)
        v2 = self._run(self._ours(OURS_V2, "/v2/models/maf/infer", "v2bin"), number)
        return [*own, *v2]

    def _ours(self, name: str, path: str, protocols: str) -> list[str]:
        port = free_port()
        command = shlex.join(self._served.command(port))
        url = f"http://127.0.0.1:{port}{path}"
        return ["--name", name, "--cmd", command, "--url", url, "--proto", protocols]

    def _run(self, arguments: list[str], number: int) -> list[Line]:
        command = [*self._command, *arguments]
        lines: list[Line] = []
        with subprocess.Popen(
            command, cwd=ROOT, env=self._environment, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for text in process.stdout:
                line = json.loads(text) | {"round": number}
                lines.append(line)
                tqdm.write(f"{self._served.dimensions}-D, round {number}: {_progress(line)}")
        if process.returncode:
            raise RuntimeError(f"{shlex.join(command)} ended with {process.returncode}")
        return lines


def _progress(line: Line) -> str:
    if "error" in line:
        return f"{line['peer']}: {line['error']}"
    if "proto" not in line:
        return f"{line['peer']}, batch {line['batch']}: {line['rows_s']:,.0f} rows/s"
    return (
        f"{line['peer']}, {line['proto']}, {line['rows']} rows, {line['conns']} connections: "
        f"{line['req_s']:,.0f} requests/s, p99 {line['p99_ms']:.3g} ms"
    )


def collect(options: argparse.Namespace, arguments: list[str], folder: Path) -> None:
    """Run all rounds and keep their lines in folder/peers-<D>.jsonl; models take turns."""
    default = ROOT.parent / "shared" / "bench" / "serving"
    bench = Path(os.environ.get("BIJECTA_SERVING_BENCH", default)).resolve()
    peers = Path(os.environ.get("SERVING_PEERS", FOLDER)).resolve()
    for needed in (bench / "run.py", peers / "raw" / "bin" / "python"):
        if not needed.exists():
            sys.exit(f"{needed} is missing: see BIJECTA_SERVING_BENCH, and `make peers`")
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: apt-get install wrk")
    rounds = {
        dimensions: Rounds(bench, peers, Served(options.models, dimensions), arguments)
        for dimensions in options.dimensions
    }
    files = {dimensions: folder / f"peers-{dimensions}.jsonl" for dimensions in rounds}
    for file in files.values():
        file.write_text("")
    for number in range(1, options.rounds + 1):
        for dimensions, one in rounds.items():
            lines = one.one(number)
            with files[dimensions].open("a") as kept:
                kept.writelines(json.dumps(line) + "\n" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare our server with others.")
    parser.add_argument("--models", type=Path, default=FOLDER, help=f"({FOLDER})")
    parser.add_argument("--dimensions", type=_numbers, default=(43, 784), help="(43,784)")
    parser.add_argument("--rounds", type=int, default=3, help="(3)")
    parser.add_argument("--page-only", action="store_true", help="of the lines of the last time")
    add_results_option(parser)
    options, arguments = parser.parse_known_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not options.page_only:
        collect(options, ["--deadline", str(DEADLINE), *arguments], FOLDER)
    results = []
    for dimensions in options.dimensions:
        text = (FOLDER / f"peers-{dimensions}.jsonl").read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        results.append(Result(dimensions, Served(options.models, dimensions).bytes, lines))
    reached = [bar for result in results for bar in bars(result)]
    made = f"{cpu_name()}, with onnxruntime {onnxruntime.__version__}, uvicorn {version('uvicorn')}"
    found = page(results, reached, made)
    content = {
        "made": made,
        "models": [asdict(result) for result in results],
    }
    return publish(options.results, "serving_peers", content, found, reached)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


if __name__ == "__main__":
    sys.exit(main())

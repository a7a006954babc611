"""A server of an S3 bucket: many new versions under load, and a cold start.

    python -m tests.benchmarks.remote_store --versions 1000

moto's server is the S3, on this machine. Versions appear one after another, and the oldest go when
there are `KEPT`; a client asks without a pause. A cold start, to the first answer, is timed beside
that of the same bundle in a folder, and beside a plain download of it; it has a file of 50 MB.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from service import bundle
from tests.benchmarks.common.machine import cpu_name, memory
from tests.helpers.http import metric
from tests.helpers.s3 import BODY, BUCKET, S3, Asker, environment, s3_server
from tests.helpers.stores import edit
from tests.helpers.tiny import write_tiny_bundle

PAGE = Path(__file__).parent / "results" / "remote_store.md"
NAME, KEPT, BALLAST_BYTES, STARTS = "tiny", 20, 50 * 10**6, 5
FILES = ("manifest.json", "encode.onnx", "decode.onnx")


class Serving:
    """`bijecta serve` with options, until it is ended."""

    def __init__(self, *options: str) -> None:
        self.started = time.monotonic()
        command = [sys.executable, "-m", "service.cli", "serve", "--port", "0", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if "running on " in line:
                url = line.partition("running on ")[2].split()[0]
                break
        self.client = httpx.Client(base_url=url, timeout=60)

    def first_answer(self) -> float:
        """Seconds from the start of the process to the first answer."""
        while self.client.post("/log_prob", json=BODY).status_code != 200:
            time.sleep(0.01)
        return time.monotonic() - self.started

    def end(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.communicate(timeout=60)


def taken_up(s3: S3, folder: Path, count: int) -> dict[str, Any]:
    """Have versions appear under load; what became of requests, and how long each version took."""
    first = write_tiny_bundle(folder, NAME, 1)
    s3.upload(first, f"many/{NAME}/1")
    options = ("--cache", str(folder / "cache"), "--poll-seconds", "0.5", "--threads", "1")
    serving = Serving("--store", f"s3://{BUCKET}/many", *options)
    serving.first_answer()
    delays: list[float] = []
    appeared: dict[int, float] = {}
    asker, started = Asker(serving.client.base_url), time.monotonic()
    for version in range(2, count + 2):
        edit(first, version=version, made_with={"by": str(version)})
        s3.upload(first, f"many/{NAME}/{version}")
        appeared[version] = time.monotonic()
        for file in FILES if version > KEPT else ():
            s3.client.delete_object(Bucket=BUCKET, Key=f"many/{NAME}/{version - KEPT}/{file}")
        # the server has all but a few, or none of them would be asked for before it is gone
        while len(appeared) > (0 if version > count else KEPT // 2):
            newest = asker.versions[-1] if asker.versions else 0
            now, there = time.monotonic(), [v for v in appeared if v <= newest]
            delays += [now - appeared.pop(v) for v in there]
            time.sleep(0.005)
    seconds = time.monotonic() - started
    asker.end()
    loaded = metric(serving.client, "bijecta_loads_total", outcome="loaded")
    peak = memory(serving.process.pid, "VmHWM")
    serving.end()
    assert asker.failures == [], asker.failures[:3]
    return {
        "versions": count,
        "seconds": seconds,
        "requests": len(asker.seconds),
        "loaded": loaded,
        "median_ms": 1000 * statistics.median(asker.seconds),
        "p99_ms": 1000 * float(np.quantile(asker.seconds, 0.99)),
        "delay": statistics.median(delays),
        "longest_delay": max(delays),
        "peak_mb": peak / 1e6,
    }


def cold_starts(s3: S3, folder: Path) -> dict[str, list[float]]:
    """Seconds to the first answer from a folder and from S3, and of the plain download."""
    path = write_tiny_bundle(folder / "near", NAME, 1)
    (path / "ballast.bin").write_bytes(np.random.default_rng(0).bytes(BALLAST_BYTES))
    files = json.loads((path / "manifest.json").read_text())["files"]
    edit(path, files=files | {"ballast.bin": bundle.sha256(path / "ballast.bin")})
    s3.upload(path, f"cold/{NAME}/1")
    found: dict[str, list[float]] = {"folder": [], "s3": [], "download": []}
    for turn in range(STARTS):
        for kind, store in (("folder", str(folder / "near")), ("s3", f"s3://{BUCKET}/cold")):
            cache = ("--cache", str(folder / f"cold-{turn}")) if kind == "s3" else ()
            serving = Serving("--store", store, "--poll-seconds", "10", *cache)
            found[kind].append(serving.first_answer())
            serving.end()
        begun = time.monotonic()
        s3.client.download_file(BUCKET, f"cold/{NAME}/1/ballast.bin", str(folder / "plain"))
        found["download"].append(time.monotonic() - begun)
    return found


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--versions", type=int, default=1000)
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        s3_server() as s3,
        environment(s3.environment),
    ):
        many = taken_up(s3, Path(folder) / "many", arguments.versions)
        cold = cold_starts(s3, Path(folder) / "cold")
    medians = {kind: statistics.median(seconds) for kind, seconds in cold.items()}
    arguments.page.write_text(page(many, medians))
    print(page(many, medians))


def page(many: dict[str, Any], medians: dict[str, float]) -> str:
    """The page, in Markdown."""
    beyond = medians["s3"] - medians["folder"] - medians["download"]
    return f"""# A server of an S3 bucket

`python -m tests.benchmarks.remote_store --versions {many["versions"]}`, {cpu_name()}. The S3 is
moto's server on the same machine, which shares its CPUs with the server and the client.

{many["versions"]:,} new versions of a small model appeared within {many["seconds"]:.0f} s, and the
oldest went when there were {KEPT}. {many["requests"]:,} requests were asked meanwhile, one after
another: all were answered, in {many["median_ms"]:.1f} ms (median; p99 {many["p99_ms"]:.1f} ms),
while {many["loaded"]:.0f} versions were loaded. From the end of a version's upload to the first
answer of it or of a newer one: {many["delay"]:.1f} s (median; at most
{many["longest_delay"]:.1f} s), with a look each 0.5 s. The server's largest memory was
{many["peak_mb"]:.0f} MB.

Cold start to the first answer, medians of {STARTS}, of a bundle of {BALLAST_BYTES / 1e6:.0f} MB:

| from | seconds |
|---|---|
| a folder | {medians["folder"]:.2f} |
| S3, without a cache | {medians["s3"]:.2f} |
| a plain download of the bundle | {medians["download"]:.2f} |
| S3 beyond folder and download | {beyond:.2f} |
"""


if __name__ == "__main__":
    main()

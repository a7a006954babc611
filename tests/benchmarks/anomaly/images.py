"""Images: a detector of clothes is fitted, exported, served, and asked about digits.

    python -m tests.benchmarks.anomaly.images

`bijecta fit-detector` trains on the published training images of Fashion-MNIST, with its default
score; `/score` is asked about the test images of Fashion-MNIST, which are normal, and of MNIST.
"""

import argparse
import gzip
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bijecta_client import Client
from service.conformal import placements
from tests.benchmarks.anomaly.false_alarms import LEVELS
from tests.benchmarks.anomaly.served import served
from tests.benchmarks.common.bar import Bar, add_results_option, publish
from tests.helpers.shared_data import SHARED

TRAIN = SHARED / "fashion_mnist" / "train-images-idx3-ubyte.gz"
TESTS = {
    "Fashion-MNIST": SHARED / "fashion_mnist" / "t10k-images-idx3-ubyte.gz",
    "MNIST": SHARED / "mnist" / "t10k-images-idx3-ubyte.gz",
}
HEADER_BYTES = 16

MIN_AUROC, MAX_MINUTES = 0.95, 60.0

Result = dict[str, Any]


def main() -> int:
    """Measure and write the page; the exit code says whether a bar fell."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.anomaly.images")
    add_results_option(parser)
    arguments = parser.parse_args()
    if missing := [path for path in (TRAIN, *TESTS.values()) if not path.exists()]:
        raise SystemExit(f"{missing[0]} is missing: BIJECTA_SHARED_DATA says where shared data is")
    result = measured()
    return publish(arguments.results, "anomaly_images", result, page(result), bars(result))


def measured() -> Result:
    """Fit, export, serve and ask."""
    with tempfile.TemporaryDirectory() as folder:
        store, began = Path(folder) / "store", time.monotonic()
        command = [sys.executable, "-m", "service.cli", "fit-detector", str(TRAIN)]
        command += ["--name", "table", "--store", str(store), "--out", f"{folder}/run"]
        subprocess.run(command, check=True)
        seconds = time.monotonic() - began
        size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
        with served(store) as url, Client(url, "table", timeout=600) as client:
            answers = {name: client.score(images(path), seed=0) for name, path in TESTS.items()}
            calibration = client.model()["calibration"]["rows"]
    normal, odd = (answers[name] for name in TESTS)
    return {
        "seconds": seconds,
        "calibration": calibration,
        "normal": len(normal.score),
        "odd": len(odd.score),
        "megabytes": size / 1e6,
        "auroc": _auroc(normal.score, odd.score),
        "auroc_log_prob": _auroc(-normal.log_prob, -odd.log_prob),
        "alarms": {f"{level:g}": float((normal.p_value <= level).mean()) for level in LEVELS},
        "recall": {f"{level:g}": float((odd.p_value <= level).mean()) for level in LEVELS},
    }


def images(path: Path) -> NDArray[np.float64]:
    """The images of a published file: N × 28 × 28."""
    content = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=HEADER_BYTES)
    return content.reshape(-1, 28, 28).astype(np.float64)


def _auroc(normal: NDArray[Any], odd: NDArray[Any]) -> float:
    return placements(np.asarray(normal, np.float64), np.asarray(odd, np.float64)).auroc


def bars(result: Result) -> list[Bar]:
    """What the score of images must tell apart, and how long the command may take."""
    return [
        Bar("AUROC of MNIST", result["auroc"], MIN_AUROC, floor=True),
        Bar("minutes of bijecta fit-detector", result["seconds"] / 60, MAX_MINUTES),
    ]


def page(result: Result) -> str:
    """The figures."""
    alarms, recall = (
        ", ".join(f"{100 * v:.2f} % at {100 * float(k):g} %" for k, v in result[name].items())
        for name in ("alarms", "recall")
    )
    return "\n".join(
        [
            "# A detector of clothes and images of digits",
            "",
            f"`bijecta fit-detector` on the {result['calibration']} training images of",
            f"Fashion-MNIST, and `/score` of {result['normal']} other images of it and of",
            f"{result['odd']} of MNIST, by the default score.",
            "",
            "| | |",
            "|---|---|",
            f"| AUROC of the score | {result['auroc']:.4f} |",
            f"| AUROC of −log_prob | {result['auroc_log_prob']:.4f} |",
            f"| clothes that raise an alarm | {alarms} |",
            f"| digits that raise an alarm | {recall} |",
            f"| `bijecta fit-detector`, calibration and export included | "
            f"{result['seconds'] / 60:.1f} minutes |",
            f"| bundle | {result['megabytes']:.0f} MB |",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())

"""The picture of the README: what a server of the store of `make serve` draws and scores.

    python -m tests.benchmarks.pictures [STORE]

Asks the application itself, as a client would, and writes results/pictures/store.png.
"""

import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from fastapi.testclient import TestClient
from matplotlib.axes import Axes

from bijecta_client import Client
from service.http.app import create_app
from service.server import Server
from service.settings import Settings
from tests.benchmarks.common.bar import RESULTS

SECONDS_TO_LOAD = 60.0
DIGITS_A_SIDE = 6
GRID_POINTS = 240


def draw_digits(axes: Axes, client: Client) -> None:
    """Digits drawn by the student in one pass each, in a square."""
    drawn = client.sample(DIGITS_A_SIDE**2, seed=7, quantize=True, model="digits-student").x
    padded = np.pad(drawn.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    sheet = padded.reshape(DIGITS_A_SIDE, DIGITS_A_SIDE, 10, 10).transpose(0, 2, 1, 3)
    axes.imshow(sheet.reshape(10 * DIGITS_A_SIDE, -1), cmap="gray_r", vmin=0, vmax=16)
    axes.set_title("digits-student draws", fontsize=9)
    axes.axis("off")


def draw_density(axes: Axes, client: Client) -> None:
    """The density of two moons, and samples of it."""
    x, y = np.linspace(-1.6, 2.6, GRID_POINTS), np.linspace(-1.1, 1.6, GRID_POINTS)
    grid = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    density = np.exp(client.log_prob(grid, model="moons-maf")).reshape(len(y), len(x))
    axes.imshow(density, origin="lower", extent=(x[0], x[-1], y[0], y[-1]), cmap="Blues")
    drawn = client.sample(150, seed=7, model="moons-maf").x
    axes.plot(*drawn.T, ".", markersize=2.5, color="#d1495b")
    axes.set_title("moons-maf: density and samples", fontsize=9)
    axes.axis("off")


def main(store: Path) -> None:
    """Write the picture."""
    server = Server(Settings(store=store, device="cpu"))
    with TestClient(create_app(server)) as http:
        end = time.monotonic() + SECONDS_TO_LOAD
        while not server.ready and time.monotonic() < end:
            time.sleep(0.05)
        client = Client("http://testserver", http=http)
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(7, 2.9), layout="constrained", width_ratios=[1, 1.5]
        )
        draw_digits(left, client)
        draw_density(right, client)
        folder = RESULTS / "pictures"
        folder.mkdir(exist_ok=True)
        figure.savefig(folder / "store.png", dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "store"))

"""Bundles loaded in this process, and the rows that they are asked about."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from service.metrics import Metrics
from service.operations.noise import Latents
from service.runtime import Cancellation, Device
from service.settings import ModelSettings
from service.store.loader import Loader, Model
from service.types import Arrays

Direction = str
OUTPUTS = {"encode": ("z", "log_prob"), "decode": ("x", "log_prob")}


@contextmanager
def loaded(folder: Path, device: str, **settings: object) -> Iterator[Model]:
    """A bundle, loaded as the server loads it.

    Args:
        folder: store/<name>/<version>.
        device: as of `bijecta serve`.
        settings: of the model.
    """
    chosen = ModelSettings.model_validate(settings)
    loader = Loader(Device.choose(device), lambda _: chosen, Metrics())
    model = loader.load(folder, Cancellation())
    try:
        yield model
    finally:
        model.engine.close()


def latents(model: Model, rows: int) -> Arrays:
    """Rows of the base density with their context, for decode."""
    manifest = model.manifest
    return {"z": Latents(manifest, 0, 1.0).draw(rows)} | _context(model, rows)  # type: ignore[arg-type]


def data(model: Model, rows: int) -> Arrays:
    """What the bundle makes of such rows, with their context, for encode."""
    found = ask(model, "decode", latents(model, rows), runs=1)
    return {"x": found["x"]} | _context(model, rows)


def _context(model: Model, rows: int) -> Arrays:
    context = model.manifest.example_context
    return {} if context is None else {"context": np.repeat(context, rows, axis=0)}


def ask(model: Model, direction: Direction, feeds: Arrays, runs: int) -> Arrays:
    """What requests for these rows are answered, the last of so many one after another."""
    rows, context = feeds["x" if direction == "encode" else "z"], feeds.get("context")
    outputs = OUTPUTS[direction]

    async def work() -> Arrays:
        for _ in range(runs):
            method = model.engine.encode if direction == "encode" else model.engine.decode
            found = await method(rows, context, outputs, math.inf)
        return found

    return asyncio.run(work())

"""What made this folder: run once, with the code of commit bde3c8a, and kept to say how.

    PYTHONPATH=. python tests/stored/format_1/make.py

It reads the recipes beside it and writes everything else. It stands on the names of that code, so
no linter looks at it and no test imports it. Do not run it with later code: the files are worth
having because older code wrote them. A later format gets a folder and a script of its own.
"""

import csv
import gzip
import io
import itertools
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import wave
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import scipy.io
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from service.cli import main
from training import fidelity, fit, gaussianize, recipe
from training.checkpoint import Run

FORMAT_1 = Path(__file__).parent

# what stands in the files for the folder that they were made in
STORED_AT = "/stored"

STUDENTS = {
    "student-any": "maf-one",
    "student-conditional": "maf-one",
    "student-layers": "maf-context",
    "student-sounds": "wavenet",
}

SHIPPED_STUDENTS = {
    "bsds300-student": "bsds300",
    "digits-student": "digits-maf",
    "fsdd-student": "fsdd-wavenet",
    "mnist-student": "mnist-maf",
}

# cases without a bundle: they are about what is read
WITHOUT_BUNDLE = {"power", "gas", "hepmass", "miniboone", "cifar10"}

EXPORT_OPTIONS = {
    "maf-digits": ["--inverse", "jacobi", "--tolerance", "1e-6"],
    "wavenet-spline": ["--inverse", "ordered"],
    "maf-image": ["--inverse", "jacobi"],
}

Rows = NDArray[Any]


def make_data(folder: Path) -> None:
    """Small files of every kind that is read."""
    rng = np.random.default_rng(20_261)

    def bent(n: int, d: int = 3) -> Rows:
        z = rng.standard_normal((n, d))
        z[:, 1] += 0.5 * z[:, 0] ** 2
        z[:, -1] = np.sinh(0.7 * z[:, -1]) + 0.4 * z[:, 0]
        return z

    def images(n: int, *shape: int, top: int) -> NDArray[np.uint8]:
        glow = rng.random((n, *[1] * len(shape))) + 0.3 * rng.standard_normal((n, *shape))
        return np.clip(np.rint(top * glow), 0, top).astype(np.uint8)

    n = 240
    plane, lift = bent(n, 2), rng.uniform(-2, 2, n)
    kind, grade = rng.choice(["blue", "green", "red"], n), rng.choice([1, 2, 5], n)
    plane[:, 0] += (kind == "red") + 0.5 * grade
    plane[:, 1] += lift
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "x", "y", "count", "lift", "kind", "grade"])
        for i in range(n):
            x, y = plane[i]
            writer.writerow(
                [i, f"{x:.5f}", f"{y:.5f}", rng.poisson(6), f"{lift[i]:.4f}", kind[i], grade[i]]
            )
    rows = bent(n)
    table = pa.table({"u": rows[:, 0], "v": rows[:, 1], "w": pa.array(rows[:, 2], pa.float32())})
    pyarrow.parquet.write_table(table, folder / "table.parquet")
    lines = ["a\tb\tc", *("\t".join(f"{v:.5f}" for v in row) for row in bent(n))]
    (folder / "table.tsv").write_text("\n".join(lines) + "\n")
    np.save(folder / "rows.npy", bent(n).astype(np.float32))
    np.savez_compressed(
        folder / "rows.npz", rows=bent(n, 4), kind=kind, unused=np.arange(3, dtype=np.int64)
    )
    np.save(folder / "images.npy", images(n, 4, 4, top=200))
    np.save(folder / "images-held.npy", images(30, 4, 4, top=200))

    def idx(values: NDArray[np.uint8]) -> bytes:
        sizes = np.array(values.shape, ">u4").tobytes()
        return bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes()

    content = gzip.compress(idx(images(n, 4, 4, top=16)), mtime=0)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(content)
    (folder / "test-images.idx").write_bytes(idx(images(40, 4, 4, top=16)))
    for name, i in itertools.product(("bright", "dark"), range(12)):
        (folder / "pictures" / name).mkdir(parents=True, exist_ok=True)
        pixels = images(1, 4, 4, 3, top=255 if name == "bright" else 128)[0]
        PIL.Image.fromarray(pixels).save(folder / "pictures" / name / f"{i:02}.png")
    digits = {"X": images(60, 4, 4, 3, top=255).transpose(1, 2, 3, 0)}
    digits["y"] = 1 + np.arange(60, dtype=np.uint8)[:, None] % 10
    with patch("time.asctime", lambda: "today"):
        scipy.io.savemat(folder / "svhn.mat", digits, do_compression=True)
    # flat fields, which take little room
    fields = np.repeat(np.repeat(images(24, 3, 2, 2, top=255), 16, 2), 16, 3).reshape(24, -1)
    labels = np.arange(24, dtype=np.uint8)[:, None] % 3
    (folder / "cifar.bin").write_bytes(np.concatenate([labels, fields], 1).tobytes())

    def sound(length: int) -> bytes:
        t = np.arange(length)
        tone = np.sin(rng.uniform(0.2, 0.6) * t + rng.uniform(0, 6))
        samples = np.rint(3000 * tone + 200 * rng.standard_normal(length)).astype("<i2")
        file = io.BytesIO()
        with wave.open(file, "wb") as opened:
            opened.setnchannels(1)
            opened.setsampwidth(2)
            opened.setframerate(8000)
            opened.writeframes(samples.tobytes())
        return file.getvalue()

    for name, i in itertools.product(("high", "low"), range(2)):
        (folder / "sounds" / name).mkdir(parents=True, exist_ok=True)
        (folder / "sounds" / name / f"{i}.wav").write_bytes(sound(12 * 12 + 5))
    with zipfile.ZipFile(folder / "sounds.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, i in itertools.product(("one", "two"), range(30)):
            entry = zipfile.ZipInfo(f"{name}_{i}.wav")
            archive.writestr(entry, sound(int(rng.integers(25, 60))))

    (folder / "bsds300").mkdir()
    for part, count in (("train", 160), ("validation", 30), ("test", 40)):
        np.save(folder / "bsds300" / f"{part}.npy", images(count, 8, 8, top=255).reshape(count, 64))
    np.save(folder / "power.npy", np.round(rng.gamma(2.0, 1.0, (120, 8)), 3))
    np.save(folder / "gas.npy", np.round(np.exp(rng.standard_normal((120, 16))), 4))
    (folder / "hepmass").mkdir()
    for part, count, extra in (("train", 150, 0), ("test", 60, 1)):
        head = "# label" + "".join(f",f{i}" for i in range(5))
        body = [
            [float(i % 2), *np.round(row, 4), *[1000] * extra]
            for i, row in enumerate(rng.standard_normal((count, 5)))
        ]
        text = "\n".join([head, *(",".join(map(str, line)) for line in body)]) + "\n"
        name = f"1000_{part}.csv.gz"
        (folder / "hepmass" / name).write_bytes(gzip.compress(text.encode(), mtime=0))
    particles = np.round(rng.standard_normal((90, 50)), 3)
    particles[:70, 7] = 0.5  # a value that is repeated
    steep = rng.standard_normal((n, 2))
    steep[:, 1] = steep[:, 0] + 3e-4 * steep[:, 1]
    np.save(folder / "steep.npy", steep.astype(np.float32))
    lines = [" 80 10", *(" ".join(f"{v:g}" for v in row) for row in particles)]
    (folder / "MiniBooNE_PID.txt").write_text("\n".join(lines) + "\n")


def bijecta(*arguments: str | Path, code: int = 0) -> None:
    """Run the command here."""
    ended = main([str(argument) for argument in arguments])
    assert ended == code, (arguments, ended)


@contextmanager
def counting(stop_at: int | None) -> Iterator[Callable[[], int]]:
    """Count steps and, at one of them, interrupt."""
    seen = 0

    def count() -> None:
        nonlocal seen
        seen += 1
        if seen == stop_at:
            raise KeyboardInterrupt

    step, log = torch.optim.AdamW.step, Run.log

    def counted_step(self: torch.optim.AdamW, *rest: Any) -> Any:
        count()
        return step(self, *rest)

    def counted_log(self: Run, line: Any) -> None:
        if "step" in line:  # of a fit without gradients
            count()
        log(self, line)

    with (
        patch.object(torch.optim.AdamW, "step", counted_step),
        patch.object(Run, "log", counted_log),
        patch.object(fit, "SECONDS_BETWEEN_SAVES", 0.0 if stop_at else 1e9),
        patch.object(gaussianize, "SECONDS_BETWEEN_SAVES", 0.0 if stop_at else 1e9),
    ):
        yield lambda: seen


def train(case: str, work: Path) -> None:
    """A run to its end, and one of the same recipe that was interrupted two steps before that."""
    path = work / "recipes" / "own" / f"{case}.toml"
    command = ["train", path]
    if case in STUDENTS:
        command = ["distill", work / "runs" / STUDENTS[case], path]
    whole, paused, resumed = (work / part / case for part in ("runs", "paused", "resumed"))
    with counting(None) as steps:
        bijecta(*command, "--out", whole)
    # toy densities have other last digits, and another checksum, on other processors
    if steps() > 2 and not case.startswith("toy-"):
        with counting(steps() - 1):
            bijecta(*command, "--out", paused, code=130)
        shutil.copytree(paused, resumed)
        bijecta(*command, "--out", resumed)
        one, other = (load_file(run / "weights.safetensors") for run in (whole, resumed))
        assert all(torch.equal(one[key], other[key]) for key in one | other), case
    bijecta("evaluate", whole, "--scores", work / "scores" / f"{case}.parquet")


def ask(client: httpx.Client, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
    """A question and its answer, as they are kept."""
    answer = client.get(path) if body is None else client.post(path, json=body)
    return {"path": path, "body": body, "status": answer.status_code, "answer": answer.json()}


def conversation(client: httpx.Client, name: str) -> list[dict[str, Any]]:
    """What a model was asked, and answered."""
    manifest = client.get(f"/models/{name}").json()
    shape, columns = manifest["event_shape"], manifest["context"] or []
    n = 3 if np.prod(shape) <= 16 else 2
    context = [
        [
            (c["labels"] or c["classes"])[i % len(c["classes"])]
            if c["classes"]
            else round((c["mean"], c["low"], c["high"])[i % 3], 2)
            for c in columns
        ]
        for i in range(n)
    ]
    asked = {"model": name} | ({"context": context} if columns else {})
    one = {"model": name} | ({"context": context[0]} if columns else {})
    said: list[dict[str, Any]] = []

    def put(path: str, body: dict[str, Any]) -> dict[str, Any]:
        said.append(ask(client, path, body))
        return said[-1]["answer"]  # type: ignore[no-any-return]

    drawn = put("/sample", asked | {"n": n, "seed": 7})["x"]
    x = [np.reshape(manifest["self_test"]["x"], shape).tolist(), *drawn[1:]]
    put("/log_prob", asked | {"x": x})
    z = put("/encode", asked | {"x": x})["z"]
    put("/decode", asked | {"z": [(0.5 * np.array(row)).tolist() for row in z]})
    put("/sample", one | {"n": 2, "seed": 8, "temperature": 0.7})
    put("/sample", one | {"n": 2, "seed": 8, "truncation": 1.5})
    if manifest["dequantization"] is not None:
        put("/log_prob", asked | {"x": x, "dequantize": 3, "seed": 5})
        # values that lie well within their cell, on any processor
        for seed in range(100):
            plain = ask(client, "/sample", one | {"n": 1, "seed": seed})["answer"]["x"]
            if np.abs(np.abs(np.array(plain) % 1 - 0.5)).min() > 2e-3:
                put("/sample", one | {"n": 1, "seed": seed, "quantize": True})
                break
    if manifest["support"] is not None:
        outside = [(np.array(x[0]) + 1000).tolist(), *x[1:]]
        put("/log_prob", asked | {"x": outside})
        put("/encode", asked | {"x": outside})
    for path in ("linear", "normalized", "geodesic"):
        put("/interpolate", one | {"start": x[0], "end": x[1], "steps": 3, "path": path})
    rows = {"name": "x", "shape": [n, *shape], "datatype": "FP32", "data": np.ravel(x).tolist()}
    latents = rows | {"name": "z", "shape": np.shape(z), "data": np.ravel(z).tolist()}
    beside = []
    if columns:
        codes = [
            [
                float((c["labels"] or c["classes"]).index(v)) if c["labels"] else float(v)
                for c, v in zip(columns, row, strict=True)
            ]
            for row in context
        ]
        beside = [rows | {"name": "context", "shape": np.shape(codes), "data": sum(codes, [])}]
    draws = {"name": "n", "shape": [1], "datatype": "INT64", "data": [n]}
    put(f"/v2/models/{name}/infer", {"inputs": [rows, *beside]})
    put(f"/v2/models/{name}.decode/infer", {"inputs": [latents, *beside]})
    put(
        f"/v2/models/{name}.sample/infer",
        {"inputs": [draws, *beside], "parameters": {"seed": 7}},
    )
    return said


@contextmanager
def serving(store: Path) -> Iterator[httpx.Client]:
    """A server of a store, in a process of its own."""
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0", "--device", "cpu"]
    with subprocess.Popen(
        [*command, "--store", str(store)], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        found = (re.search(r"running on (http://\S+)", line) for line in process.stderr)
        url = next(match[1] for match in found if match)
        with httpx.Client(base_url=url, timeout=60) as client:
            while client.get("/health/ready").status_code != 200:
                pass
            yield client
        process.terminate()


def teacher_of(path: Path) -> Path | None:
    """The recipe of the teacher of a student's recipe."""
    name = (STUDENTS | SHIPPED_STUDENTS).get(path.stem)
    return None if name is None else path.with_name(f"{name}.toml")


def flattened(values: Any, name: str = "") -> dict[str, Any]:
    """Nested tables as one, its keys joined by points."""
    if isinstance(values, Mapping):
        inner = [(f"{name}.{key}".lstrip("."), value) for key, value in values.items()]
    elif isinstance(values, list) and any(isinstance(value, Mapping) for value in values):
        inner = [(f"{name}.{i}", value) for i, value in enumerate(values)]
    else:
        return {name: list(values) if isinstance(values, tuple) else values}
    return {key: value for part in inner for key, value in flattened(part[1], part[0]).items()}


def said_by(path: Path, data: Path) -> dict[str, Any]:
    """What a recipe says, defaults included, by section and key.

    Of the data, only what the recipe says itself: of the other keys, those of another kind of
    source say nothing.
    """
    there = data if 'protocol = "bsds300"' in path.read_text() else None
    teacher = teacher_of(path)
    if teacher is None:
        read, source = recipe.load(str(path), there), path
    else:
        there = data if 'protocol = "bsds300"' in teacher.read_text() else None
        read, source = recipe.load_student(str(path), recipe.load(str(teacher), there)), teacher
    named = flattened(tomllib.loads(source.read_text()))
    return {
        key: value
        for key, value in flattened(read.model_dump()).items()
        if not key.startswith("data.") or key in named
    }


def recipes(work: Path) -> dict[str, Any]:
    """What each recipe says."""
    return {
        f"{path.parent.name}/{path.stem}": said_by(path, work / "data" / "bsds300")
        for path in sorted((work / "recipes").glob("*/*.toml"))
    }


def made() -> None:
    """Make everything in a folder elsewhere, then put it here."""
    with tempfile.TemporaryDirectory() as name, patch.object(fidelity, "ROWS", 200):
        work = Path(name).resolve()
        shutil.copytree(FORMAT_1 / "recipes", work / "recipes")
        for part in ("data", "scores", "paused", "runs"):
            (work / part).mkdir()
        make_data(work / "data")
        cases = [path.stem for path in sorted((work / "recipes" / "own").glob("*.toml"))]
        for case in sorted(cases, key=lambda case: case in STUDENTS):
            train(case, work)
        for case in sorted(cases, key=lambda case: case in STUDENTS):
            if case not in WITHOUT_BUNDLE and not case.startswith("toy-"):
                options = EXPORT_OPTIONS.get(case, [])
                bijecta("export", work / "runs" / case, "--store", work / "store", *options)
        (work / "answers").mkdir()
        with serving(work / "store") as client:
            for bundle in sorted((work / "store").iterdir()):
                said = conversation(client, bundle.name)
                text = ",\n".join(json.dumps(line) for line in said)
                (work / "answers" / f"{bundle.name}.json").write_text(f"[\n{text}\n]\n")
        scores = {
            path.stem: pyarrow.parquet.read_table(path)["log_prob"].to_pylist()
            for path in sorted((work / "scores").iterdir())
        }
        (work / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
        (work / "recipes.json").write_text(json.dumps(recipes(work), indent=1) + "\n")
        for path in (work / "recipes.json", *work.glob("*/*/run.json")):
            path.write_text(path.read_text().replace(str(work), STORED_AT))
        for part in ("data", "runs", "paused", "store", "answers", "scores.json", "recipes.json"):
            if (old := FORMAT_1 / part).is_dir():
                shutil.rmtree(old)
            shutil.move(work / part, FORMAT_1 / part)


if __name__ == "__main__":
    torch.set_num_threads(1)
    made()

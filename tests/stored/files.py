"""What is stored, where it lies, and the few names of today's code that its tests need.

The tests ask the command and the HTTP application. Where code moves, and where a key, a value or a
parameter gets another name, this file says so once.
"""

import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from safetensors.numpy import load_file

from service.http.app import create_app
from service.server import Server
from service.settings import Settings
from tests.helpers.recipes import call_bijecta
from training.config import load_recipe, load_student
from training.distill import fidelity
from training.runs import Run

FORMAT_1 = Path(__file__).parent / "format_1"

# what stands in the files for the folder that they were made in
STORED_AT = "/stored"

BUNDLES = sorted(path.name for path in (FORMAT_1 / "store").iterdir())
RUNS = sorted(path.name for path in (FORMAT_1 / "runs").iterdir())
PAUSED = sorted(path.name for path in (FORMAT_1 / "paused").iterdir())

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

# Keys of recipes that have other names now: the one in the files, without the numbers of lists, and
# those that say the same today.
RENAMED_KEYS: dict[str, tuple[str, ...]] = {
    "flow.places": ("flow.positional_bias",),
    "fit.record": ("fit.cuda_graph",),
    **{
        f"distill.terms.{key}": (f"distill.losses.{key}",)
        for key in ("kind", "weight", "start", "end")
    },
}

# Values that have other names now, by today's key and the value in the files.
RENAMED_VALUES: dict[tuple[str, Any], Any] = {
    ("distill.losses.kind", "layers"): "teacher_path",
    ("distill.losses.kind", "own-layers"): "student_path",
}

RENAMED_PARAMETER = re.compile(r"\bplaces$")

Arrays = dict[str, NDArray[Any]]


def unpack(case: str, folder: Path, part: str = "runs") -> Path:
    """A run as it lay there, with its teacher and its data, in a folder that may be written to.

    Args:
        case: its name.
        folder: where to put it.
        part: `runs`, those that have ended; or `paused`, those that go on.
    """
    for shared in ("data", "recipes"):
        (folder / shared).symlink_to(FORMAT_1 / shared)
    runs = {case: part} | ({STUDENTS[case]: "runs"} if case in STUDENTS else {})
    for name, lies in runs.items():
        shutil.copytree(FORMAT_1 / lies / name, folder / "runs" / name)
        path = folder / "runs" / name / "run.json"
        path.write_text(path.read_text().replace(STORED_AT, str(folder)))
    return folder / "runs" / case


def bijecta(*arguments: str | Path, cwd: Path) -> str:
    """What the command says; it must succeed."""
    done = call_bijecta(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def train(case: str, run: Path) -> str:
    """Let a run go on, by its recipe, to its end."""
    own = FORMAT_1 / "recipes" / "own" / f"{case}.toml"
    command: list[str | Path] = ["train", own]
    if case in STUDENTS:
        command = ["distill", run.with_name(STUDENTS[case]), own]
    return bijecta(*command, "--out", run, cwd=run.parent)


def scores(run: Path, *options: str | Path) -> NDArray[np.float64]:
    """The log_prob of each held-out row, from the run's best weights in torch."""
    bijecta("evaluate", run, "--scores", run / "scores.parquet", *options, cwd=run.parent)
    column = pyarrow.parquet.read_table(run / "scores.parquet")["log_prob"]
    return column.to_numpy()  # type: ignore[no-any-return]


def weights(run: Path) -> Arrays:
    """A run's best weights by the names that they have today."""
    tensors: Arrays = load_file(run / "weights.safetensors")
    return {RENAMED_PARAMETER.sub("positional_bias", name): t for name, t in tensors.items()}


def draw_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let students be compared by as few draws as when the files were made."""
    monkeypatch.setattr(fidelity, "ROWS", 200)


def recipe_says(path: Path) -> dict[str, Any]:
    """What a recipe's text means today, defaults included, as `recipes.json` has it."""
    teacher = (STUDENTS | SHIPPED_STUDENTS).get(path.stem)
    source = path if teacher is None else path.with_name(f"{teacher}.toml")
    # which a protocol must be told, of the recipes that come along
    data = FORMAT_1 / "data" / "bsds300" if "bsds300" in path.stem else None
    read = load_recipe(str(source), data)
    if teacher is not None:
        read = load_student(str(path), read)
    return _flat(read.model_dump())


def run_says(folder: Path) -> dict[str, Any]:
    """What the recipe in a run's run.json means today."""
    return _flat(Run.open(folder).file.recipe.model_dump())


def in_words_of_today(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What `recipes.json` says of a recipe, by the keys and values of today."""
    said: dict[str, Any] = {}
    for key, value in stored.items():
        plain = re.sub(r"\.\d+\b", "", key)
        for name in RENAMED_KEYS.get(plain, (plain,)):
            today = RENAMED_VALUES.get((name, _hashable(value)), value)
            said[key if name == plain else _numbered(name, key)] = today
    if stored["flow.preprocessing"] == "normal-marginals":  # `places` steered these as well
        said["flow.per_pixel_marginals"] = stored.get("flow.places", False)
    return said


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _numbered(name: str, key: str) -> str:
    """A new key with the numbers of lists that the old one had."""
    numbers = re.findall(r"\.(\d+)\b", key)
    head, _, last = name.rpartition(".")
    return ".".join([head, *numbers, last])


def _flat(values: Any, name: str = "") -> dict[str, Any]:
    """Nested tables as one, its keys joined by points; paths as they are in the files."""
    if isinstance(values, Mapping):
        inner = [(f"{name}.{key}".lstrip("."), value) for key, value in values.items()]
    elif isinstance(values, list) and any(isinstance(value, Mapping) for value in values):
        inner = [(f"{name}.{i}", value) for i, value in enumerate(values)]
    else:
        value = list(values) if isinstance(values, tuple) else values
        if isinstance(value, str):
            value = value.replace(str(FORMAT_1), STORED_AT)
        return {name: value}
    return {key: value for part in inner for key, value in _flat(part[1], part[0]).items()}


@contextmanager
def app(store: Path, **options: Any) -> Iterator[TestClient]:
    """A client of the application over a store, when it is ready."""
    settings = Settings.model_validate({"store": store, "device": "cpu"} | options)
    with TestClient(create_app(Server(settings))) as client:
        deadline = time.monotonic() + 60
        while client.get("/health/ready").status_code != 200:
            refused = client.get("/models").json()["refused"]
            assert len(refused) < len(list(store.glob("*/*"))), refused
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield client

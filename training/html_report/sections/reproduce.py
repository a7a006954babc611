"""The commands that make the model again, and serve it."""

import json
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from service.bundle import METHODS, Manifest, TableManifest
from training.html_report.blocks import Block, Code, Note
from training.html_report.reported import OfBundle, OfRun, Reported
from training.html_report.section import Section

if TYPE_CHECKING:
    from training.detectors import DetectorRun

STORE = "store"
"""A folder of bundles, where no bundle says where it lies."""


def write_reproduce(reported: Reported) -> list[Block]:
    """Commands with the arguments of this model."""
    exported = reported.bundle
    store = STORE if exported is None else str(exported.folder.parent.parent)
    blocks: list[Block] = []
    if reported.trained is not None:
        recipe = f"{reported.trained.run.file.name}.toml"
        blocks.append(Note(f"Save the recipe, which stands under Training, as {recipe}."))
        if reported.trained.selection is not None:
            blocks.append(Note("`bijecta fit` chose this recipe, and `bijecta train` repeats it."))
        commands = _of_run(reported.trained, recipe, store, exported)
    elif reported.detector is not None:
        blocks.append(
            Note(
                "A run does not keep where its data lay, nor --keep and --kind: the columns "
                "as they are modelled stand under Data."
            )
        )
        commands = [_fit_detector(reported.detector, store)]
    else:
        blocks.append(
            Note(
                "How the model was trained is in its run: `bijecta report RUN --bundle` with this "
                "bundle says it too."
            )
        )
        commands = []
    if commands:
        blocks.append(Code("Train and export", _lines(commands)))
    blocks.append(Code("Serve and ask", "\n".join(_asked(reported, store))))
    return blocks


def _of_run(learned: OfRun, recipe: str, store: str, exported: OfBundle | None) -> list[list[str]]:
    """What trains, evaluates and exports."""
    file, folder = learned.run.file, str(learned.run.folder)
    begins = ["train", recipe]
    if file.teacher is not None:
        begins = ["distill", file.teacher.folder, recipe]
    device = learned.progress.device
    on = ["--device", "cpu" if device.startswith("CPU") else "cuda"] if device else []
    export = ["export", folder, "--store", store]
    if exported is not None:
        export += ["--name", exported.manifest.name, *_export_options(exported)]
    return [
        [*begins, "--out", folder, "--name", file.name, *on],
        ["evaluate", folder],
        export,
    ]


def _export_options(exported: OfBundle) -> list[str]:
    """Options by which an export makes the graphs of this bundle, whatever is fastest there."""
    manifest = exported.manifest
    if isinstance(manifest, TableManifest):
        return ["--no-values"] * (manifest.self_test is None)
    options: list[str] = []
    if isinstance(manifest, Manifest):
        inverses = list(manifest.inverse.values())
        if len({inverse.method for inverse in inverses}) == 1:
            options += ["--inverse", METHODS[inverses[0].method]]
        if inverses and (tolerance := max(inverse.tolerance for inverse in inverses)):
            options += ["--tolerance", f"{tolerance:g}"]
        for sweeps in manifest.sweeps.values():
            if sweeps.guess is not None:
                options += ["--guess", f"runs/{sweeps.guess.student}"]
        options += ["--layers"] * (manifest.layers is not None)
    return options


def _fit_detector(run: "DetectorRun", store: str) -> list[str]:
    """What fits a detector anew."""
    file, recipe = run.file, run.file.recipe
    source = dict(recipe.source)
    command = ["fit-detector", file.data_name, "--name", file.name, "--store", store]
    command += ["--out", str(run.folder), "--seed", str(recipe.seed)]
    if recipe.configuration == "contaminated":
        command.append("--contaminated")
    if recipe.labels is not None:
        command += ["--labels", recipe.labels]
    if file.columns is not None and source.get("labels") is not None:
        command += ["--within", str(source["labels"])]
    for name in source.get("context", []):
        command += ["--context", str(name)]
    dropped = [column.name for column in file.left_out if column.reason == "dropped"]
    for name in dropped or source.get("drop", []):
        command += ["--drop", str(name)]
    for key in ("key", "window"):
        if source.get(key) is not None:
            command += [f"--{key}", str(source[key])]
    if source.get("header") is not None:
        command += ["--header", str(source["header"]).lower()]
    if source.get("shape") is not None:
        command += ["--shape", ",".join(map(str, source["shape"]))]
    return command


def _asked(reported: Reported, store: str) -> Iterator[str]:
    """A server of the store, and a question to it."""
    yield shlex.join(["bijecta", "serve", "--store", store])
    if reported.is_detector:
        data = (
            reported.detector.file.data_name if reported.detector else reported.manifest.data.name
        )
        model = f"{store}/{reported.name}"
        yield shlex.join(["bijecta", "score", model, data, "--out", "scores.parquet"])
        return
    body: dict[str, object] = {"model": reported.name, "n": 3, "seed": 0}
    if reported.subject is not None and reported.subject.traits.context:
        body["context"] = [[column.example for column in reported.subject.traits.context]]
    yield shlex.join(["curl", "localhost:8000/sample", "-d", json.dumps(body)])


def _lines(commands: list[list[str]]) -> str:
    return "\n".join(shlex.join(["bijecta", *command]) for command in commands)


REPRODUCE = Section("Reproduce", write_reproduce)

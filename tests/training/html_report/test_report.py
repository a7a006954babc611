"""`bijecta report` says what a run and a bundle know, and what they do not."""

import errno
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from service.bundle import MANIFEST, Manifest, read, sha256, sign
from tests.helpers.detectors import write_detector_bundle
from tests.helpers.keys import write_keys
from tests.helpers.pages import ROOT
from tests.helpers.plotted import STORE, TABLES
from tests.helpers.reports import Page, refused, report
from tests.helpers.stores import edit
from tests.stored.files import FORMAT_1, RUNS, STUDENTS, unpack
from training.config import load_recipe, load_student
from training.errors import PlotError
from training.html_report import opening
from training.html_report.registry import SECTIONS
from training.html_report.sections import pictures
from training.html_report.sections.training import toml_of
from training.plots import KINDS
from training.runs import Run

DRAWN = ("samples", "training", "student")


def shown(value: float, decimals: int = 3) -> str:
    """A number as the page has it."""
    return f"{value:.{decimals}f}".replace("-", "−")


def content_of(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack("student-layers", tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def page(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Of a student's run, with its bundle and some of its plots."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "KINDS", [k for k in KINDS if k.name in DRAWN])
        bundle = STORE / "student-layers"
        return report(run, "--bundle", bundle, cwd=tmp_path_factory.mktemp("page"))


def test_each_section_is_there_and_says_something(page: Page) -> None:
    assert page.headings == [section.title for section in SECTIONS]
    for heading in page.headings:
        assert len(page.texts[heading].split()) > 5, heading
        assert "Nothing here" not in page.texts[heading], page.texts[heading]


def test_figures_are_those_of_the_files(page: Page, run: Path) -> None:
    held_out = content_of(run / "evaluation.json")
    score = f"{shown(held_out['log_prob'])} ± {shown(held_out['se'])} nats per row"
    for heading in ("Summary", "Held-out figures"):
        assert score in page.texts[heading]
    assert f"Rows{held_out['rows']}" in page.texts["Held-out figures"]
    fidelity = content_of(run / "fidelity.json")
    for name in ("kl_student_teacher", "teacher_of_student", "teacher_held_out"):
        mean, se = fidelity[name]["mean"], fidelity[name]["se"]
        decimals = 4 if se < 0.01 else 3
        assert f"{shown(mean, decimals)} ± {shown(se, decimals)} nats" in page.texts["Fidelity"]
    manifest = read(STORE / "student-layers" / "1")
    assert isinstance(manifest, Manifest)
    for value in manifest.tolerances.model_dump().values():
        if isinstance(value, float):
            assert f"{value:.1e}" in page.texts["Export"]
    median = manifest.calibration.log_prob[manifest.calibration.levels.index(0.5)]
    assert f"{median:.6g}".replace("-", "−") in page.texts["Calibration"]


def test_the_training_is_told(page: Page, run: Path) -> None:
    opened = Run.open(run)
    progress, recipe = opened.progress(), opened.file.recipe
    said = page.texts["Training"]
    assert f"{progress.epoch} of at most {recipe.fit.epochs}" in said
    assert progress.device in said
    assert f"Seed{recipe.fit.seed}" in said
    for text in (opened.file.data_sha256, "Rows to train on", recipe.data.source):
        assert text in page.texts["Data"]


def test_pictures_are_part_of_the_page_which_is_small(page: Page) -> None:
    seen = [picture["alt"] for picture in page.pictures]
    assert any("student-layers" in alt and "training" in alt for alt in seen)
    assert any("teacher's log_prob (nats)" in alt for alt in seen)
    assert all(picture["src"].startswith("data:image/png;base64,") for picture in page.pictures)
    assert "rows of shape [2] are no pictures" in page.texts["Plots"]
    assert len(page.content) < 5_000_000


def test_commands_have_the_arguments_of_the_run(page: Page, run: Path) -> None:
    lines = [shlex.split(line) for code in page.code for line in code.splitlines() if line]
    commands = {line[1]: line for line in lines if line[0] == "bijecta"}
    assert commands["distill"][2] == str(run.with_name("maf-context"))
    assert commands["distill"][commands["distill"].index("--out") + 1] == str(run)
    assert commands["export"][:3] == ["bijecta", "export", str(run)]
    assert commands["serve"] == ["bijecta", "serve", "--store", str(STORE)]
    (curl,) = [line for line in lines if line[0] == "curl"]
    assert json.loads(curl[-1])["model"] == "student-layers"


def test_the_recipe_of_a_page_is_that_of_the_run(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    for case in RUNS:
        run = Run.open(FORMAT_1 / "runs" / case)
        path.write_text(toml_of(run), encoding="utf-8")
        if case in STUDENTS:
            teacher = Run.open(FORMAT_1 / "runs" / STUDENTS[case])
            again = load_student(str(path), teacher.file.recipe)
        else:
            again = load_recipe(str(path))
        assert again.model_dump() == run.file.recipe.model_dump(), case


WITHOUT_TORCH = """
import sys
sys.modules.update(dict.fromkeys({missing!r}))
from service.cli import main
sys.exit(main({arguments!r}))
"""


def test_a_bundle_alone_needs_no_torch_and_says_what_it_cannot_know(tmp_path: Path) -> None:
    missing = ["torch", "onnx", "sklearn", "scipy", "pyarrow", "safetensors", "h5py", "tqdm"]
    bundle, other = str(STORE / "planar"), tmp_path / "other.html"
    arguments = ["report", bundle, "--output", str(other)]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH.format(missing=missing, arguments=arguments)],
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page = Page(other.read_bytes())
    assert "a bundle does not keep it; it is in its run" in page.texts["Training"]
    assert "a bundle does not say how many" in page.texts["Data"]
    assert "the model is no student" in page.texts["Fidelity"]
    assert "not signed" in page.texts["Signature"]
    assert page.pictures
    # nothing in a page tells when it was made
    assert page.content == report(bundle, cwd=tmp_path).content


def test_a_run_without_figures_weights_or_data_says_so(tmp_path: Path) -> None:
    run = unpack("planar", tmp_path)
    for name in ("weights.safetensors", "evaluation.json", "state.safetensors"):
        (run / name).unlink()
    tried = {"name": "a <b>", "validation": -1.5, "epochs": 3, "best_epoch": 2, "seconds": 0.5}
    selection = {"tried": [tried], "cut": ["c"], "chosen": "a <b>"}
    (run / "selection.json").write_text(json.dumps(selection))
    page = report(run, cwd=tmp_path)
    assert "the run has not been evaluated" in page.texts["Held-out figures"]
    assert "the run has no weights yet" in page.texts["Plots"]
    for heading in ("Calibration", "Export", "Signature"):
        assert "--bundle STORE/NAME" in page.texts[heading]
    assert "a <b>, chosen" in page.texts["Training"]
    assert "left out for time: c" in page.texts["Training"]
    assert "bijecta fit chose this recipe" in page.texts["Reproduce"]
    assert "no: the same command goes on" in page.texts["Training"]


def test_figures_of_earlier_weights_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "KINDS", ())
    run = unpack("planar", tmp_path)
    weights = sha256(run / "weights.safetensors")
    for earlier in (False, True):
        of = {"weights": "0" * 64 if earlier else weights, "bijecta": "0.0.9", "torch": "<2>"}
        (run / "measured.json").write_text(json.dumps({"evaluation": {"of": of}}))
        page = report(run, cwd=tmp_path)
        assert ("figures of earlier weights" in page.texts["Held-out figures"]) == earlier
        assert "evaluated with bijecta 0.0.9, torch <2>" in page.texts["Training"]


def test_names_and_values_of_others_are_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object) -> NoReturn:
        raise PlotError("<u>none</u>")

    monkeypatch.setattr(opening, "open_subject", nothing)  # which takes seconds
    bundle = shutil.copytree(TABLES / "mixed" / "1", tmp_path / "mixed" / "1")
    columns = content_of(bundle / MANIFEST)["columns"]
    name, class_, data = "<script>alert(1)</script>", "</td><i>", '"><img src="//a.b/c">\n\u202e'
    columns[0]["name"] = name
    next(c for c in columns if c["kind"] == "categorical")["classes"][0] = class_
    made_with = {"<em>": "&amp;"}
    source = {"name": data, "sha256": "0" * 64, "noise": 0.0}
    edit(bundle, columns=columns, data=source, made_with=made_with)
    page = report("mixed", cwd=tmp_path)
    assert not page.tags & {"script", "i", "em", "u"}
    assert not page.pictures
    assert "<u>none</u>" in page.texts["Plots"]
    assert name in page.texts["Data"]
    assert class_ in page.texts["Data"]
    assert data.replace("\u202e", "\\u202e") in page.texts["Data"]
    assert "<em>&amp;" in page.texts["Export"]
    # and the figures of tables
    held_out = content_of(bundle / MANIFEST)["held_out"]
    for name in ("independent", "gain"):
        figure = held_out[name]
        said = f"{shown(figure['mean'])} ± {shown(figure['se'])} nats per row"
        assert said in page.texts["Held-out figures"]


def test_a_detector_has_figures_of_its_own(tmp_path: Path) -> None:
    bundle = write_detector_bundle(tmp_path / "store")
    figure = {"mean": 0.9312, "se": 0.0123}
    labelled = {"rows": 90, "anomalies": 7, "auroc": figure, "auprc": figure}
    recall = {"0.01": {"mean": 0.5, "se": 0.25}}
    held_out = {"log_prob": -3.5, "se": 0.25, "rows": 80, "labelled": labelled | {"recall": recall}}
    edit(bundle, held_out=held_out)
    private, public = write_keys(tmp_path, "mine")
    _, other = write_keys(tmp_path, "other")
    key = sign(bundle, (bundle / MANIFEST).read_bytes(), private)
    page = report(bundle, cwd=tmp_path)
    assert "was not checked" in page.texts["Signature"]
    page = report(bundle, "--trusted-keys", other, cwd=tmp_path)
    assert "of no trusted key" in page.texts["Signature"]
    page = report(bundle, "--trusted-keys", public, cwd=tmp_path)
    assert f"signed with key {key}" in page.texts["Signature"]
    said = page.texts["Held-out figures"]
    assert "AUROC0.931 ± 0.012" in said.replace("\n", "")
    assert "Recall at 1 % false alarms0.500 ± 0.250" in said.replace("\n", "")
    (scores,) = page.pictures
    assert "normal rows" in scores["alt"]
    assert "distance" in page.texts["Model"]
    assert "19 rows, the smallest p-value is 0.05" in page.texts["Calibration"]
    assert "bijecta score" in page.texts["Reproduce"]


def test_pictures_that_would_be_too_much_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MAX_BASE64_BYTES", 10)
    monkeypatch.setattr(pictures, "MAX_PNG_BYTES", 10)
    page = report(STORE / "planar", cwd=tmp_path)
    assert not page.pictures
    assert "the page would be larger than 5,000,000 bytes" in page.texts["Plots"]


def test_what_cannot_be_reported_on_is_said_in_a_line(tmp_path: Path, run: Path) -> None:
    own = unpack("maf", tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    planar = STORE / "planar"
    assert "expected a run folder, or a bundle" in refused("nowhere", cwd=tmp_path)
    assert "--bundle names a bundle of a run" in refused(planar, "--bundle", planar, cwd=tmp_path)
    assert "not of the weights of" in refused(own, "--bundle", planar, cwd=tmp_path)
    assert "no regular file" in refused(planar, "--output", "folder", cwd=tmp_path)
    assert "file" in refused(planar, "--output", "file/a.html", cwd=tmp_path)
    assert "keys.pem" in refused(planar, "--trusted-keys", "keys.pem", cwd=tmp_path)
    assert "no data file at" in refused(own, "--data", "gone.csv", cwd=tmp_path)
    for content in ("{", '{"log_prob": "a"}', "[]", "9" * 2**21):
        (own / "evaluation.json").write_text(content)
        assert "evaluation.json is damaged" in refused(own, cwd=tmp_path)
    (own / "run.json").write_text('{"kind": "detector"}')
    assert "is of no detector" in refused(own, cwd=tmp_path)
    (own / "run.json").write_text("{")
    assert "damaged" in refused(own, cwd=tmp_path)


def test_a_full_disk_leaves_no_half_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = write_detector_bundle(tmp_path / "store")

    def full(_: int) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    page = report(bundle, cwd=tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    (tmp_path / "page.html").rename(tmp_path / "old")
    assert "No space left" in refused(bundle, "--output", "page.html", cwd=tmp_path)
    assert (tmp_path / "old").read_bytes() == page.content

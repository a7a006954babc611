"""`bijecta plot` writes the same files for the same seed, and says in a line what it cannot."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from service.bundle import checksum
from service.store_folder import named_folder
from tests.helpers.pages import ROOT
from tests.helpers.plotted import STORE, Gaussian, drawn
from tests.helpers.recipes import call_bijecta
from tests.helpers.stores import edit
from tests.stored.files import unpack
from training.errors import PlotError
from training.plots import KINDS, Moving, write
from training.plots.points.layers import LAYERS
from training.plots.style import PALE, QUADRANTS
from training.plots.tables.pit import PIT
from training.plots.writing import write_moving


def said(*arguments: str | Path, cwd: Path) -> str:
    """What the command says when it fails: one line."""
    done = call_bijecta("plot", *arguments, cwd=cwd)
    assert done.returncode == 1, done.stdout
    assert done.stderr.startswith("bijecta: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_all_plots_of_a_bundle_and_why_others_are_none(tmp_path: Path) -> None:
    done = call_bijecta("plot", STORE / "copula", "--out", "made/there", cwd=tmp_path)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == len(KINDS) + 1
    for kind, line in zip(KINDS, lines, strict=False):
        assert line.startswith(f"no {kind.name}: ")
    assert "--data names some, such as table.parquet" in done.stderr

    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(50, 3)))
    done = call_bijecta("plot", STORE / "copula", "--data", "rows.npy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = [f"plots/copula-{name}.png" for name in ("pairs", "latents", "pit", "coverage")]
    assert done.stdout.splitlines() == made
    assert all((tmp_path / path).is_file() for path in made)


@pytest.mark.parametrize("form", ["png", "svg"])
def test_the_same_seed_makes_the_same_file_without_a_date(tmp_path: Path, form: str) -> None:
    subject = Gaussian(drawn(100, 0))
    paths = [tmp_path / f"{i}.{form}" for i in range(3)]
    for path, seed in zip(paths, (7, 7, 8), strict=True):
        write(PIT if seed == 7 else LAYERS, subject, seed, path)
    first, second, other = (path.read_bytes() for path in paths)
    assert first == second != other
    assert b"date" not in first.lower()
    assert b"matplotlib" not in first.lower()[:2000]
    if form == "png":
        assert not Image.open(paths[0]).text  # type: ignore[attr-defined]


def test_frames_of_a_gif_stand_as_long_as_they_are_to(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1), dpi=50)
    (line,) = figure.subplots().plot([0, 1], [0, 1], color="black")
    moving = Moving(figure, lambda i: line.set_ydata([0, i]), [100, 250, 1500])
    for name in ("a.gif", "b.gif"):
        write_moving(moving, tmp_path / name)
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
    image = Image.open(tmp_path / "a.gif")
    assert image.n_frames == 3  # type: ignore[attr-defined]
    assert image.info["loop"] == 0
    durations = []
    for i in range(3):
        image.seek(i)
        durations.append(image.info["duration"])
    assert durations == [100, 250, 1500]


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not there")
def test_an_mp4_has_the_frames_and_the_rights_of_other_files(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1), dpi=51)  # of an odd number of pixels
    (line,) = figure.subplots().plot([0, 1], [0, 1], color="black")
    moving = Moving(figure, lambda i: line.set_ydata([0, i]), [40, 400])
    (tmp_path / "other").touch()
    for name in ("a.mp4", "b.mp4"):
        write_moving(moving, tmp_path / name)
    content = (tmp_path / "a.mp4").read_bytes()
    assert content[4:8] == b"ftyp"
    assert content == (tmp_path / "b.mp4").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4", "other"]
    assert (tmp_path / "a.mp4").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_colours_that_are_told_apart_stay_so_in_a_gif(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3, 3), dpi=90)
    axes, rng, x = figure.subplots(), np.random.default_rng(0), np.linspace(0, 9, 200)
    for i in range(40):
        axes.plot(x, np.sin(x + i / 9) + i / 40, color=PALE, linewidth=0.5)
    for colour, points in zip(QUADRANTS, (40, 150, 300, 150), strict=True):
        right, up = rng.uniform(0, 9, (2, points))
        axes.scatter(right, up, s=5, c=colour, linewidths=0)
    write_moving(Moving(figure, lambda _: None, [100]), tmp_path / "a.gif")
    pixels = np.asarray(Image.open(tmp_path / "a.gif").convert("RGB")).reshape(-1, 3).astype(int)
    for colour in QUADRANTS:
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert np.abs(pixels - rgb).sum(1).min() < 20, colour


def test_mp4_without_ffmpeg_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PlotError, match="ffmpeg, which is not on the PATH"):
        write(LAYERS, Gaussian(), 0, tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--kind", "violins"], "--kind is one of layers, density, samples"),
        (["--kind", "pit", "--format", "gif"], "no pit of maf-context: it does not move: png or"),
        (["--kind", "samples"], "no samples of maf-context: rows of shape [2] are no pictures"),
        (["--kind", "layers"], "no graph of its layers: `bijecta export RUN --layers` makes one"),
        (["--kind", "training"], "a bundle has no log of its training"),
        (["--kind", "pit"], "--data names some, such as table.csv"),
        (["--out", "all.png"], "--kind says of which plot"),
        (
            ["--kind", "pit", "--out", "a.png", "--format", "svg"],
            "format png, and --format says svg",
        ),
        (["--data", "nowhere.npy", "--kind", "pit"], "nowhere.npy"),
        (["--kind", "density", "--out", "file/a.png"], "file"),
        (["--shape", "1,1,3", "--kind", "samples"], "3 values: rows have 2"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(
    tmp_path: Path, arguments: list[str], expected: str
) -> None:
    (tmp_path / "file").write_text("")
    assert expected in said(STORE / "maf-context", *arguments, cwd=tmp_path)


def test_what_is_no_model_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place in ("empty", "nowhere", "store/name@stable"):
        assert "expected a run folder, or a bundle" in said(place, cwd=tmp_path)
    folder = shutil.copytree(STORE / "planar" / "1", tmp_path / "planar" / "1")
    assert "no alias 'best'" in said("planar@best", cwd=tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["format_version"] = 99
    manifest["checksum"] = checksum(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert "has format_version 99; this program reads 1 and 2" in said("planar", cwd=tmp_path)
    (folder / "manifest.json").write_text("{")
    assert "damaged" in said("planar", cwd=tmp_path)


def test_a_damaged_version_gives_way_to_the_one_before(tmp_path: Path) -> None:
    for version in (1, 2):
        folder = shutil.copytree(STORE / "planar" / "1", tmp_path / "planar" / str(version))
        edit(folder, version=version)
    (folder / "decode.onnx").write_bytes(b"")
    assert named_folder(tmp_path / "planar") == tmp_path / "planar" / "1"
    assert "planar/2/decode.onnx is altered" in said("planar/2", cwd=tmp_path)
    (tmp_path / "planar" / "1" / "encode.onnx").unlink()
    assert "planar/2/decode.onnx is altered" in said("planar", cwd=tmp_path)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (np.array([[0.0, 1.0], [np.nan, 1.0]]), "row 1: a value is not finite"),
        (np.zeros((3, 4)), "rows of shape [4], expected [2]"),
        (np.array(["a", "b"]), "expected rows"),
        (np.zeros((0, 2)), "expected rows"),
    ],
)
def test_rows_that_are_none_of_the_model_are_refused(
    tmp_path: Path, rows: np.ndarray, expected: str
) -> None:
    np.save(tmp_path / "rows.npy", rows)
    line = said(STORE / "planar", "--kind", "pit", "--data", "rows.npy", cwd=tmp_path)
    assert expected in line


def test_a_run_without_its_data_has_the_plots_that_need_none(tmp_path: Path) -> None:
    run = unpack("planar", tmp_path)
    (tmp_path / "data").unlink()
    done = call_bijecta("plot", run, "--out", "o", "--format", "png", cwd=tmp_path)
    made = [Path(line).stem for line in done.stdout.splitlines()]
    assert made == ["planar-layers", "planar-density", "planar-training"]
    assert "no pit: its rows are not to be had: " in done.stderr
    assert "no data file at" in said(run, "--data", "gone.csv", cwd=tmp_path)


def test_a_model_that_gives_no_numbers_is_named(tmp_path: Path) -> None:
    run = unpack("maf-digits", tmp_path)
    weights = load_file(run / "weights.safetensors")
    save_file(
        {k: torch.full_like(v, torch.nan) for k, v in weights.items()}, run / "weights.safetensors"
    )
    line = said(run, "--kind", "samples", cwd=tmp_path)
    assert "decodes 120 of 120 latents to rows that are not finite" in line
    (run / "weights.safetensors").unlink()
    assert "has no weights yet" in said(run, cwd=tmp_path)


WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({missing!r}))
from service.cli import main
code = main({arguments!r})
assert "torch" not in [name for name, module in sys.modules.items() if module is not None]
sys.exit(code)
"""


def without(missing: list[str], *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command where modules are not installed."""
    code = WITHOUT.format(missing=missing, arguments=["plot", *arguments])
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_bundle_is_plotted_with_matplotlib_alone(tmp_path: Path) -> None:
    others = ["torch", "onnx", "sklearn", "scipy", "pyarrow", "safetensors", "h5py", "tqdm"]
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(50, 2)))
    bundle = str(STORE / "planar")
    done = without(others, bundle, "--data", "rows.npy", "--kind", "pit", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = str(unpack("planar", tmp_path))
    for command, extra in (
        ([run], "plotting a run needs torch: pip install 'bijecta[train]'"),
        ([bundle, "--data", "table.csv"], "or give the rows as one .npy file"),
    ):
        done = without(others, *command, cwd=tmp_path)
        assert done.returncode == 1
        assert extra in done.stderr
        assert done.stderr.count("\n") == 1


def test_without_matplotlib_the_extra_is_named(tmp_path: Path) -> None:
    done = without(["matplotlib"], str(STORE / "planar"), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "bijecta: `bijecta plot` needs matplotlib, which a serving install leaves out: pip install "
        "'bijecta[plots]'\n"
    )

"""Plots of sounds, of trainings and of students show the model's own values."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from service.bundle import Sound
from tests.helpers.plotted import STORE, Gaussian, stored
from tests.helpers.stores import edit
from tests.stored.files import unpack
from training.errors import PlotError
from training.plots import open_subject
from training.plots.sounds.clips import CLIPS
from training.plots.sounds.spectrograms import draw_spectrograms, spectrogram
from training.plots.sounds.waveforms import draw_waveforms
from training.plots.subject import read_log
from training.plots.trainings.student import draw_student
from training.plots.trainings.training import draw_training


def test_waveforms_are_samples_in_seconds_and_parts_of_full_scale() -> None:
    subject = stored("student-sounds")
    figure = draw_waveforms(subject, 2)
    assert len(figure.axes) == CLIPS  # a bundle without rows
    context = subject.contexts(CLIPS)
    expected = subject.decode(subject.latents(CLIPS, 2), context)[0]
    for axes, wave in zip(figure.axes, expected, strict=True):
        (line,) = axes.lines
        np.testing.assert_allclose(np.asarray(line.get_ydata()), wave / 32768, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(np.asarray(line.get_xdata()), np.arange(40) / 8000)


def test_a_sine_of_full_scale_has_0_db_at_its_frequency() -> None:
    rate, hertz, window = 8000, 1000, 256
    wave = np.sin(2 * np.pi * hertz * np.arange(4000) / rate)
    power = spectrogram(wave, window)
    assert power.shape[0] == window // 2 + 1
    np.testing.assert_array_equal(power.argmax(0), hertz * window / rate)
    np.testing.assert_allclose(power.max(0), 0, atol=0.05)


def test_spectrograms_stand_beside_those_of_held_out_sounds() -> None:
    time = np.arange(1000) / 8000
    rows = 100 * np.sin(2 * np.pi * 500 * time)[None] * np.ones((2, 1))
    sound = Sound(rate=8000, full_scale=100.0)
    figure = draw_spectrograms(Gaussian(rows, 0.0, 1.0, event_shape=(1000,), sound=sound), 0)
    real = figure.axes[0].images[0]
    assert tuple(real.get_extent()) == (0.0, 0.125, 0.0, 4000.0)
    image = np.asarray(real.get_array())
    loudest = image.mean(1).argmax() / len(image) * 4000
    assert loudest == pytest.approx(500, abs=32)
    assert image.max() == pytest.approx(0, abs=0.1)


def test_curves_are_the_lines_of_the_log(tmp_path: Path) -> None:
    subject = open_subject(unpack("maf", tmp_path))
    log = [json.loads(line) for line in (tmp_path / "runs/maf/log.jsonl").open(encoding="utf-8")]
    (axes,) = draw_training(subject, 0).axes
    lines = {line.get_gid(): line for line in axes.lines}
    for name in ("train", "validation"):
        np.testing.assert_array_equal(lines[name].get_ydata(), [line[name] for line in log])
        np.testing.assert_array_equal(lines[name].get_xdata(), [line["epoch"] for line in log])
    assert lines["best"].get_ydata()[0] == max(line["validation"] for line in log)  # type: ignore[index]


def test_a_score_that_is_no_number_is_a_gap() -> None:
    subject = Gaussian()
    subject.lines = [{"step": 1, "validation": -np.inf}, {"step": 2, "validation": -3.0}]
    (axes,) = draw_training(subject, 0).axes
    assert axes.get_xlabel() == "step"
    assert "−3.000 nats after step 2" in axes.get_title(loc="left")
    assert np.isfinite(axes.get_ylim()).all()


@pytest.mark.parametrize(
    ("content", "said"), [("", "no line"), ('{"epoch": 1', "damaged"), (None, "cannot be read")]
)
def test_a_log_that_is_none_is_said(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "log.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(PlotError, match=said):
        read_log(path)


@pytest.mark.parametrize("by", ["run", "bundle"])
def test_a_student_and_its_teacher_score_the_same_draws(tmp_path: Path, by: str) -> None:
    subject = stored("student-layers")
    if by == "run":
        subject = open_subject(unpack("student-layers", tmp_path))
    left, middle, right = draw_student(subject, 1).axes
    context = subject.contexts(1000)
    x, own = subject.decode(subject.latents(1000, 1), context)
    others = subject.teacher.encode(x.astype(np.float32), context)[1]
    drawn, scored, taught = (
        np.asarray(axes.collections[0].get_offsets()) for axes in (middle, right, left)
    )
    np.testing.assert_allclose(scored, np.stack([own, others], 1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(drawn, x, rtol=1e-6)
    expected = subject.teacher.decode(subject.teacher.latents(1000, 1), context)[0]
    np.testing.assert_allclose(taught, expected, rtol=1e-6)


def test_the_teacher_of_a_bundle_is_known_by_its_weights_and_not_by_a_number(
    tmp_path: Path,
) -> None:
    student = tmp_path / "student-layers" / "1"
    shutil.copytree(STORE / "student-layers" / "1", student)
    distilled = json.loads((student / "manifest.json").read_text())["distilled"]
    edit(student, distilled=distilled | {"version": None})  # it was exported before its teacher
    with pytest.raises(PlotError, match="which has no model of that name: `bijecta export`"):
        _ = open_subject(student).teacher
    teacher = distilled["teacher"]
    theirs = tmp_path / teacher / "3"
    shutil.copytree(STORE / teacher / "1", theirs)
    edit(theirs, version=3)
    assert open_subject(student).teacher.traits.name == teacher
    edit(theirs, weights_sha256="0" * 64)
    with pytest.raises(PlotError, match="which has only other weights of it"):
        _ = open_subject(student).teacher


def test_what_is_no_student_says_so() -> None:
    with pytest.raises(PlotError, match="no student"):
        draw_student(stored("maf-context"), 0)

"""Which files are read of a bundle, how much of them, and what a refusal says."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.bundle import BundleError, UnreadableBundleError, is_version, read, versions
from service.bundle import files as bundle
from service.bundle.files import MAX_MANIFEST_BYTES, MAX_MANIFEST_VALUES
from tests.helpers.stores import edit
from tests.helpers.tiny import write_tiny_bundle

NAME = "tiny"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "store", NAME)


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def link_out(path: Path) -> None:
    """A link to a file outside the bundle, of the same content."""
    outside = path.parent.parent / "outside"
    outside.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(outside)


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


NOT_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "FIFO": (lambda file: replaced(file, os.mkfifo), "is not a regular file"),
    "device": (lambda file: replaced(file, lambda p: p.symlink_to("/dev/zero")), "leads out of"),
    "folder": (lambda file: replaced(file, Path.mkdir), "is not a regular file"),
    "link that leads out": (link_out, "leads out of the bundle's folder"),
    "link to itself": (
        lambda f: replaced(f, lambda p: p.symlink_to(p)),
        "cannot be read|leads out",
    ),
    "link to nothing": (lambda f: replaced(f, lambda p: p.symlink_to("none")), "is missing"),
    "huge": (lambda file: sparse(file, 2**31 + 1), "may have"),
}


@pytest.mark.parametrize("file", ["manifest.json", "encode.onnx", "decode.onnx"])
@pytest.mark.parametrize("kind", NOT_FILES)
def test_only_regular_files_inside_the_folder_are_read(path: Path, kind: str, file: str) -> None:
    make, words = NOT_FILES[kind]
    make(path / file)
    outcome: list[BaseException] = []

    def work() -> None:
        try:
            read(path)
        except BaseException as error:
            outcome.append(error)

    # in a thread: a FIFO that is waited for must not hold up the tests
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(30)
    (error,) = outcome
    with pytest.raises(BundleError, match=words):
        raise error
    assert not isinstance(error, UnreadableBundleError)


def test_a_link_within_the_folder_is_followed(path: Path) -> None:
    """As Kubernetes mounts files of a volume."""
    data = path / "..data"
    data.mkdir()
    for file in ("manifest.json", "encode.onnx"):
        (path / file).rename(data / file)
        (path / file).symlink_to(Path("..data") / file)
    assert read(path).name == NAME


@pytest.mark.parametrize(
    "name", ["../../other/1/encode.onnx", "/etc/passwd", "..", ".", "", ".hidden", "a/b", "a\nb"]
)
def test_a_manifest_lists_plain_names_alone(path: Path, name: str) -> None:
    files = json.loads((path / "manifest.json").read_text())["files"]
    edit(path, files=files | {name: "0" * 64})
    with pytest.raises(BundleError, match=r"manifest.json is damaged: files"):
        read(path)


def write_text(path: Path, text: str) -> None:
    (path / "manifest.json").write_text(text)


def digits(path: Path, key: str) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    value: Any = [{"k": -7}] if key == "preprocessing" else -7
    write_text(path, json.dumps(manifest | {key: value}).replace("-7", "9" * 5000))


NUMBERS: dict[str, Callable[[Path], object]] = {
    "format of 5,000 digits": lambda p: digits(p, "format_version"),
    "version of 5,000 digits": lambda p: digits(p, "version"),
    "side of 5,000 digits": lambda p: digits(p, "event_shape"),
    "preprocessing of 5,000 digits": lambda p: digits(p, "preprocessing"),
    "key of 5,000 digits": lambda p: digits(p, "surprise"),
    "deep": lambda p: write_text(p, '{"format_version": 1, "preprocessing": ' + "[" * 10**5),
    "version of 2^63": lambda p: edit(p, version=2**63),
    "version of 10^30": lambda p: edit(p, version=10**30),
    "a row of 10^9 values": lambda p: edit(p, event_shape=[10**9], latent_shape=[10**9]),
    "sides of 10^9 values": lambda p: edit(p, event_shape=[1000] * 3, latent_shape=[1000] * 3),
    "many sides": lambda p: edit(p, event_shape=[1] * 9 + [2]),
    "not UTF-8": lambda p: (p / "manifest.json").write_bytes(
        b'{"format_version": 1, "name": "\xff'
    ),
    "many files": lambda p: edit(p, files={f"f{i}": "" for i in range(65)}),
    "large": lambda p: sparse(p / "manifest.json", MAX_MANIFEST_BYTES + 1),
    "many values": lambda p: write_text(p, f"[{'[],' * MAX_MANIFEST_VALUES}0]"),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_what_a_manifest_sizes_is_bounded_and_the_error_is_in_words(path: Path, kind: str) -> None:
    NUMBERS[kind](path)
    with pytest.raises(BundleError, match=r"tiny/1/manifest.json (is damaged|has \d+ )") as found:
        read(path)
    assert len(str(found.value)) < 1000


@pytest.mark.parametrize(
    ("base", "parameters"),
    [
        ("uniform", {"low": 1.0, "high": 1.0}),
        ("uniform", {"low": 0.0, "high": [1.0]}),
        ("uniform", {"low": -1e308, "high": 1e308}),
        ("student-t", {"df": 0.0}),
        ("student-t", {"df": [[1.0]]}),
        ("mixture", {"log_weights": 0.0, "means": 0.0, "log_scales": 0.0}),
        ("mixture", {"log_weights": [], "means": [], "log_scales": []}),
        ("mixture", {"log_weights": [0.0], "means": [[0.0, 0.0]], "log_scales": [[0.0]]}),
        (
            "mixture",
            {"log_weights": [0.0], "means": [[0.0], [0.0, 1.0]], "log_scales": [[0.0] * 2]},
        ),
        ("mixture", {"log_weights": [1e4], "means": [[0.0] * 2], "log_scales": [[0.0] * 2]}),
        ("mixture", {"log_weights": [0.0], "means": [[0.0] * 2], "log_scales": [[1e4] * 2]}),
    ],
)
def test_base_parameters_are_those_of_a_density(
    path: Path, base: str, parameters: dict[str, Any]
) -> None:
    edit(path, base=base, base_parameters=parameters)
    with pytest.raises(BundleError, match="base parameter"):
        read(path)


def test_no_refusal_names_a_path_of_this_machine(path: Path) -> None:
    whole = (path / "manifest.json").read_bytes()
    breaks: list[Callable[[Path], object]] = [make for make, _ in NOT_FILES.values()]
    changes = [lambda p, make=make: make(p / "encode.onnx") for make in breaks]
    for index, change in enumerate([*changes, *NUMBERS.values()]):
        copy = write_tiny_bundle(path.parent.parent / f"s{index}", NAME)
        (copy / "manifest.json").write_bytes(whole)
        change(copy)
        with pytest.raises(BundleError) as found:
            read(copy)
        assert str(path.parent.parent) not in str(found.value)
        assert str(found.value).isprintable()


def test_values_of_a_manifest_are_counted_before_they_are_made(path: Path) -> None:
    NUMBERS["many values"](path)
    with pytest.raises(BundleError, match=r"has 2097153 values, and may have 1048576"):
        read(path)


def test_versions_have_64_bits(tmp_path: Path) -> None:
    folder = tmp_path / NAME
    for name in ("1", "9223372036854775807", "9223372036854775808", "9" * 200, "01", "0", "x"):
        (folder / name).mkdir(parents=True)
    assert versions(folder) == [1, 2**63 - 1]
    assert not is_version("9" * 5000)


def test_a_reason_that_may_pass_is_told_from_others(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def failing(file: Any, *arguments: Any) -> int:
        if str(file).endswith("decode.onnx"):
            raise OSError(5, "Input/output error", str(file))
        return opened(file, *arguments)

    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(UnreadableBundleError, match=r"^tiny/1/decode.onnx cannot be read: Input"):
        read(path)


def test_a_changed_mode_is_another_fingerprint(path: Path) -> None:
    before = bundle.fingerprint(path)
    (path / "manifest.json").chmod(0o600)
    assert bundle.fingerprint(path) != before

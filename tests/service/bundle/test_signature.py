"""Signed bundles: what a trusted key has signed is loaded, and nothing else."""

import asyncio
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from service import bundle
from service.bundle import SIGNATURE, BundleError, KeyFileError, TrustedKeys
from service.cli import main
from service.metrics import Metrics
from service.runtime import Cancellation, Device
from service.settings import ModelSettings
from service.store import Loader, Store
from tests.helpers.far import Far
from tests.helpers.pages import ALL_BLOCKS
from tests.helpers.stores import edit
from tests.helpers.tiny import write_tiny_bundle

pytest.importorskip("cryptography", reason="the extra sign")

from tests.helpers.keys import write_keys


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private key and its public key."""
    return write_keys(tmp_path, "ours")


@pytest.fixture
def path(tmp_path: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> Path:
    """A bundle that is signed by that key."""
    path = write_tiny_bundle(tmp_path / "store", "tiny")
    assert main(["sign", str(path.parent), "--key", str(keys[0])]) == 0
    assert capsys.readouterr().out.startswith("signed tiny/1 with key ")
    return path


def no_signature(path: Path) -> None:
    (path / SIGNATURE).unlink()


def cut_off(path: Path) -> None:
    (path / SIGNATURE).write_bytes((path / SIGNATURE).read_bytes()[:-1])


def garbage(path: Path) -> None:
    (path / SIGNATURE).write_bytes(bytes(64))


def of_another_bundle(path: Path) -> None:
    other = write_tiny_bundle(path.parents[1], "other")
    assert main(["sign", str(other), "--key", str(path.parents[2] / "ours.pem")]) == 0
    shutil.copy(other / SIGNATURE, path)


def by_another_key(path: Path) -> None:
    other, _ = write_keys(path.parents[2], "theirs")
    assert main(["sign", str(path), "--key", str(other)]) == 0


def another_manifest(path: Path) -> None:
    edit(path, family="nice")


def another_graph(path: Path) -> None:
    (path / "encode.onnx").write_bytes((path / "decode.onnx").read_bytes())


def another_graph_and_manifest(path: Path) -> None:
    another_graph(path)
    edit(path, files={f: bundle.sha256(path / f) for f in ("encode.onnx", "decode.onnx")})


def one_more_file(path: Path) -> None:
    (path / "weights.bin").write_bytes(b"1")


def one_more_folder(path: Path) -> None:
    (path / "more").mkdir()


def pipe(path: Path) -> None:
    no_signature(path)
    os.mkfifo(path / SIGNATURE)


def elsewhere(path: Path) -> None:
    (path / SIGNATURE).rename(path.parents[2] / SIGNATURE)
    (path / SIGNATURE).symlink_to(path.parents[2] / SIGNATURE)


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "no signature": (no_signature, "tiny/1 is not signed"),
    "cut off": (cut_off, r"tiny/1/manifest\.sig has 63 bytes"),
    "garbage": (garbage, "of no trusted key"),
    "of another bundle": (of_another_bundle, "of no trusted key, or of another manifest"),
    "by another key": (by_another_key, "of no trusted key"),
    "another manifest": (another_manifest, "of another manifest"),
    "another graph": (another_graph, r"encode\.onnx is altered"),
    "another graph and manifest": (another_graph_and_manifest, "of another manifest"),
    "one more file": (one_more_file, r"tiny/1 holds 'weights\.bin', which its signed manifest"),
    "one more folder": (one_more_folder, "tiny/1 holds 'more'"),
    "pipe": (pipe, "is not a regular file"),
    "link out of the folder": (elsewhere, "leads out of the bundle's folder"),
}


def loader(trusted: TrustedKeys | None) -> Loader:
    settings = ModelSettings.model_validate({})
    return Loader(Device.choose("cpu"), lambda _: settings, Metrics(), None, trusted)


@pytest.mark.parametrize("kind", BAD)
def test_what_no_trusted_key_has_signed_is_refused(
    path: Path, keys: tuple[Path, Path], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    how, words = BAD[kind]
    how(path)
    with pytest.raises(BundleError, match=words):
        loader(TrustedKeys(keys[1])).load(path, Cancellation())
    capsys.readouterr()
    assert main(["verify", str(path.parent / "1"), "--trusted-keys", str(keys[1])]) == 1
    said = capsys.readouterr().err
    assert said.startswith("bijecta: ")
    assert said.count("\n") == 1


def test_signed_bundles_are_loaded_and_others_are_not_where_keys_are_trusted(
    path: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    store_folder = path.parents[1]
    write_tiny_bundle(store_folder, "tiny", version=2)

    async def work() -> None:
        trusting = loader(TrustedKeys(keys[1]))
        store, metrics = Store(store_folder, trusting, None, None), trusting.metrics
        await store.refresh()
        assert "tiny/2 is not signed" in store.entries["tiny"][2].refused
        counted = metrics.registry.get_sample_value
        assert counted("bijecta_bundle_refusals_total", {"kind": "unsigned"}) == 1
        assert counted("bijecta_bundle_refusals_total", {"kind": "operators"}) == 0
        with await store.get("tiny", None) as model:
            assert model.manifest.version == 1
        assert main(["sign", str(store_folder / "tiny" / "2"), "--key", str(keys[0])]) == 0
        await store.refresh()  # a signature is a change
        with await store.get("tiny", None) as model:
            assert model.manifest.version == 2
        no_signature(store_folder / "tiny" / "2")
        await store.refresh()  # what is loaded stays
        with await store.get("tiny", None) as model:
            assert model.manifest.version == 2
        store.close()

    asyncio.run(work())
    assert main(["store", "rollback", "tiny", "--store", str(store_folder)]) == 0
    assert main(["verify", str(store_folder / "tiny"), "--trusted-keys", str(keys[1])]) == 0
    assert "tiny/1 is whole, and signed with key " in capsys.readouterr().out


def test_a_file_that_is_replaced_after_it_was_compared_is_not_run(
    path: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = bundle.read

    def replaced(*arguments: object) -> object:
        manifest = read(*arguments)  # type: ignore[arg-type]
        another_graph(path)
        return manifest

    monkeypatch.setattr(bundle, "read", replaced)
    with pytest.raises(BundleError, match=r"encode\.onnx is altered"):
        loader(TrustedKeys(keys[1])).load(path, Cancellation())


@pytest.mark.parametrize("command", ["sign", "verify"])
def test_a_manifest_that_is_replaced_while_its_files_are_compared_is_neither_signed_nor_believed(
    path: Path,
    keys: tuple[Path, Path],
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    read, before = bundle.read, (path / SIGNATURE).read_bytes()

    def replaced(*arguments: object, **options: object) -> object:
        manifest = read(*arguments, **options)  # type: ignore[arg-type]
        another_manifest(path)
        return manifest

    monkeypatch.setattr(bundle, "read", replaced)
    key = ["--key", str(keys[0])] if command == "sign" else ["--trusted-keys", str(keys[1])]
    assert main([command, str(path), *key]) == 1
    assert capsys.readouterr().err == "bijecta: tiny/1 has just become another\n"
    assert (path / SIGNATURE).read_bytes() == before


def test_one_of_several_keys_is_enough_and_hidden_files_do_not_count(
    path: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    both = tmp_path / "both.pub"
    both.write_bytes(write_keys(tmp_path, "theirs")[1].read_bytes() + keys[1].read_bytes())
    (path / ".nfs0001").write_bytes(b"")
    bundle.read(path, trusted=TrustedKeys(both))


def of_a_curve(folder: Path) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = generate_private_key(SECP256R1()).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


KEY_FILES: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "empty": (lambda _: b"", "holds no public key"),
    "garbage": (lambda _: os.urandom(100), "holds no public key"),
    "damaged": (
        lambda _: b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "cannot be read",
    ),
    "of another kind": (of_a_curve, "is not of Ed25519"),
    "private": (lambda folder: (folder / "ours.pem").read_bytes(), "holds a private key"),
    "large": (lambda _: bytes(2**17), "more than 65536 bytes"),
}


@pytest.mark.parametrize("kind", KEY_FILES)
def test_a_server_does_not_start_with_keys_that_are_none(
    tmp_path: Path, keys: tuple[Path, Path], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make, words = KEY_FILES[kind]
    bad = tmp_path / "bad.pub"
    bad.write_bytes(make(tmp_path))
    with pytest.raises(KeyFileError, match=words):
        TrustedKeys(bad)
    arguments = ["serve", "--store", str(tmp_path), "--trusted-keys", str(bad)]
    if kind == "empty":
        assert main(arguments) == 1
        said = capsys.readouterr().err
        assert "trusted_keys: " in said
        assert "--trusted-keys" in said


def test_keys_that_cannot_sign_are_said(
    path: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (path / SIGNATURE).read_bytes()
    missing = path / "none.pem"
    for key, words in (
        (keys[1], "holds no private key"),
        (missing, "cannot be read: No such file or directory"),
        (path, "is no regular file"),
    ):
        assert main(["sign", str(path), "--key", str(key)]) == 1
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
    another_graph(path)
    assert main(["sign", str(path), "--key", str(keys[0])]) == 1
    assert "encode.onnx is altered" in capsys.readouterr().err
    assert (path / SIGNATURE).read_bytes() == before


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_the_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Openssl signs and verifies the same as Bijecta does."""
    (block,) = [b for b in ALL_BLOCKS if "openssl genpkey" in b.text]
    write_tiny_bundle(tmp_path / "store", "wine")
    monkeypatch.chdir(tmp_path)
    signatures = []
    for line in block.text.splitlines():
        command = shlex.split(line, comments=True)
        if command[:1] == ["bijecta"]:
            assert main(command[1:]) == 0
        elif command:
            subprocess.run(command, check=True, capture_output=True)
        if "sign" in line and (signed := Path("store/wine/1") / SIGNATURE).exists():
            signatures.append(signed.read_bytes())
    assert len(set(signatures)) == 1


def test_a_store_elsewhere_has_its_signatures(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    far, work = Far(tmp_path), tmp_path / "work"
    far.put("tiny", 1)
    far.mirror.look()
    held = far.cache / "store" / "tiny" / "1"
    shutil.copytree(held, work / "tiny" / "1")
    assert main(["sign", str(work / "tiny"), "--key", str(keys[0])]) == 0
    signature = (work / "tiny" / "1" / SIGNATURE).read_bytes()
    far.files.pipe_file(f"{far.root}/tiny/1/{SIGNATURE}", signature)
    far.mirror.look()
    bundle.read(held, trusted=TrustedKeys(keys[1]))
    far.remove(f"tiny/1/{SIGNATURE}")
    far.mirror.look()
    assert not (held / SIGNATURE).exists()


def test_a_push_takes_signatures_with_it_and_those_that_come_later(
    path: Path, tmp_path: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    far, store = tmp_path / "far", path.parents[1]
    far.mkdir()
    push = ["store", "push", f"file://{far}", "--store", str(store)]
    write_tiny_bundle(store, "later")
    assert main(push) == 0
    trusted = TrustedKeys(keys[1])
    bundle.read(far / "tiny" / "1", trusted=trusted)
    assert main(["sign", str(store / "later"), "--key", str(keys[0])]) == 0
    capsys.readouterr()
    assert main(push) == 0
    assert capsys.readouterr().out == f"pushed later/1/{SIGNATURE}\n"
    bundle.read(far / "later" / "1", trusted=trusted)

"""Settings: flags, then variables, then defaults; errors that name the flag."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from service import settings
from service.settings import Settings, SettingsError


def loaded(*flags: str) -> Settings:
    parser = argparse.ArgumentParser()
    source = settings.add_flags(parser)
    return settings.load(source, parser.parse_args(flags))


def test_flags_come_before_variables_and_these_before_defaults(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"BIJECTA_PORT": "9000", "BIJECTA_MAX_ROWS": "5", "PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BIJECTA_OF_SOMETHING_ELSE", "x")
    monkeypatch.setenv("BIJECTA_MAX_ROW", "7")
    found = loaded("--port", "9001")
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "bijecta: BIJECTA_MAX_ROW is no setting: is BIJECTA_MAX_ROWS meant?",
        "bijecta: BIJECTA_OF_SOMETHING_ELSE is no setting",
    ]
    assert (found.port, found.max_rows, found.host) == (9001, 5, "127.0.0.1")
    assert found.max_body == 64 * 2**20


def test_a_server_that_asks_for_no_keys_does_not_start_with_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BIJECTA_KEYS", "/keys/keys")
    with pytest.raises(SettingsError, match="BIJECTA_KEYS: this version asks nobody for a key"):
        loaded()


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_an_error_names_value_flag_and_variable(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIJECTA_MAX_ROWS", "none" if by == "variable" else "1")
    flags = ["--max-rows", "none"] if by == "flag" else []
    with pytest.raises(SettingsError, match=r"max_rows: .* got 'none' \(--max-rows, BIJECTA_MAX_R"):
        loaded(*flags)


def test_boolean_settings_are_flags_and_may_still_have_a_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert loaded("--model-control").model_control
    assert not loaded("--no-model-control").model_control
    monkeypatch.setenv("BIJECTA_MODEL_CONTROL", "true")
    assert loaded().model_control
    assert not loaded("--no-model-control").model_control
    old = settings.as_flags(
        ["serve", "--model-control", "false", "--port", "1", "--model-control", "true"]
    )
    assert old == ["serve", "--no-model-control", "--port", "1", "--model-control"]
    assert "--model-control false is now --no-model-control" in capsys.readouterr().err


def test_a_model_has_settings_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = tmp_path / "models.toml"
    tables.write_text("[moons-maf]\nthreads = 2\nqueue_rows = 7\n[digits]\nbatch_rows = 3\n")
    monkeypatch.setenv("BIJECTA_MODELS__MOONS_MAF__THREADS", "5")
    found = settings.by_model(loaded("--threads", "4", "--model-settings", str(tables)))
    moons = found[settings.settings_key("moons-maf")]
    assert (moons.threads, moons.queue_rows) == (5, 7)
    assert (found["digits"].threads, found["digits"].batch_rows) == (4, 3)
    tables.write_text("[moons-maf]\nspeed = 2\n")
    with pytest.raises(SettingsError, match=r"models.toml: speed is not known here"):
        settings.by_model(loaded("--model-settings", str(tables)))
    monkeypatch.setenv("BIJECTA_MODELS", "{")
    with pytest.raises(SettingsError, match=r"expected JSON such as .* BIJECTA_MODELS\)"):
        loaded()
    with pytest.raises(SettingsError, match=r"expected JSON such as .*--models"):
        loaded("--models", "x")


def test_the_help_says_what_each_is_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        loaded("--help")
    text = " ".join(capsys.readouterr().out.split())
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in text
        assert str(field.description).split()[0] in text
    assert "(default: 8000)" in text
    assert "None" not in text


def test_the_help_of_the_command_imports_neither_runtime_nor_pydantic() -> None:
    code = """if True:
        import sys
        from service.cli import main
        try:
            main(["--help"])
        except SystemExit:
            print({"torch", "onnxruntime", "numpy", "pydantic"} & set(sys.modules))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "set()", done.stderr

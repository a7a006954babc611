"""Settings: flags, then variables, then defaults; errors that name the flag."""

import argparse
import subprocess
import sys
import tomllib
from contextlib import nullcontext
from pathlib import Path

import pytest

from service import settings
from service.cli import main
from service.settings import Settings, SettingsError


def loaded(*flags: str) -> Settings:
    parser = argparse.ArgumentParser()
    source = settings.add_flags(parser)
    return settings.load(source, parser.parse_args(flags))


def test_flags_come_before_variables_and_these_before_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"BIJECTA_PORT": "9000", "BIJECTA_MAX_ROWS": "5", "PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    found = loaded("--port", "9001")
    assert (found.port, found.max_rows, found.host) == (9001, 5, "127.0.0.1")
    assert found.max_body == 64 * 2**20


def test_a_variable_that_is_no_setting_is_a_line_of_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("MAX_ROW", "OF_SOMETHING_ELSE", "MAX_BODY_MIB", "MODELS__X__THREADS", "API_KEY"):
        monkeypatch.setenv(f"BIJECTA_{name}", "1")
    settings.log_unknown_variables()
    assert caplog.messages == [
        "BIJECTA_MAX_ROW is no setting: is BIJECTA_MAX_ROWS meant?",
        "BIJECTA_OF_SOMETHING_ELSE is no setting",
    ]


CONTRADICTIONS: dict[str, tuple[list[str], str]] = {
    "no keys beyond loopback": (["--host", "0.0.0.0"], r"host: 0\.0\.0\.0 is .*--insecure"),
    "of every address": (["--host", ""], r"host: every address is .*bijecta keys add"),
    "of a name": (["--host", "flows.example"], r"host: flows.example is reached"),
    "of IPv6": (["--host", "::"], r"host: :: is reached"),
    "control beyond loopback": (
        ["--control-port", "9001", "--control-host", "10.0.0.1"],
        r"control_host: 10\.0\.0\.1 is reached",
    ),
    "control without a port": (["--control-host", "127.0.0.1"], r"control_host: .*--control-port"),
    "one port twice": (["--control-port", "8000"], r"8000 is the port of all requests"),
    "gRPC beside a UNIX socket": (
        ["--host", "0.0.0.0", "--uds", "/tmp/s", "--grpc-port", "0"],
        r"host: 0\.0\.0\.0 is reached",
    ),
    "fewer threads than workers": (
        ["--workers", "4", "--threads", "2"],
        r"threads: 2 cannot be divided among 4 workers",
    ),
    "fewer threads of the device": (
        ["--workers", "4", "--device", "cpu:3"],
        r"threads: 3 cannot be divided among 4 workers",
    ),
    "fewer connections than workers": (
        ["--workers", "4", "--max-connections", "3"],
        r"max_connections: 3 cannot be divided",
    ),
    "no workers": (["--workers", "0"], r"workers: .* at least 1"),
    "a certificate alone": (["--tls-certificate", "c.pem"], r"tls_key: TLS takes both files"),
    "a key alone": (["--tls-key", "k.pem"], r"tls_certificate: TLS takes both files"),
    "a root without a slash": (["--root-path", "flows"], r"root_path.*--root-path, BIJECTA_ROOT"),
    "a root that ends in one": (["--root-path", "/flows/"], r"root_path"),
    "bodies beyond the memory of all": (
        ["--max-body-mib", "64", "--max-inflight-mib", "8"],
        r"max_body_mib: .* max_inflight_mib is 8",
    ),
}


@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_settings_that_contradict_each_other_are_refused_in_words(kind: str) -> None:
    flags, words = CONTRADICTIONS[kind]
    with pytest.raises(SettingsError, match=words):
        loaded(*flags)


@pytest.mark.parametrize(
    "flags",
    [
        ["--host", "127.9.9.9"],
        ["--host", "::1"],
        ["--host", "localhost"],
        ["--host", "0.0.0.0", "--insecure"],
        ["--host", "0.0.0.0", "--keys", "keys.json"],
        ["--host", "0.0.0.0", "--uds", "/tmp/bijecta.sock"],
        ["--root-path", "/a/b.c"],
    ],
)
def test_what_is_reached_from_here_alone_needs_no_keys(flags: list[str]) -> None:
    loaded(*flags)


@pytest.mark.parametrize(
    ("bind", "starts"),
    [
        *[(bind, True) for bind in ("true", "127.0.0.1", "localhost", "[::1]")],
        *[(bind, False) for bind in ("false", "0.0.0.0", "::", "192.0.2.1")],
    ],
)
def test_where_a_port_is_published_says_whether_keys_are_needed(
    bind: str, starts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIJECTA_HOST", "0.0.0.0")
    monkeypatch.setenv("BIJECTA_INSECURE", bind)
    with nullcontext() if starts else pytest.raises(SettingsError, match="there are no keys"):
        loaded()


def test_the_port_that_kubernetes_sets_is_told_from_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIJECTA_PORT", "tcp://10.0.0.1:8000")
    with pytest.raises(SettingsError, match="enableServiceLinks: false"):
        loaded()


def test_settings_are_printed_with_what_they_are_from_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = tmp_path / "models.toml"
    tables.write_text("[moons-maf]\nthreads = 2\n")
    monkeypatch.setenv("BIJECTA_MAX_ROWS", "5")
    monkeypatch.setenv("BIJECTA_MODELS__MOONS_MAF__QUEUE_ROWS", "7")
    monkeypatch.setenv("BIJECTA_STORE", "s3://who:secret@host/flows?sig=secret")
    flags = ["--port", "9001", "--model-settings", str(tables), "--no-watch"]
    assert main(["serve", *flags, "--print-config"]) == 0
    text = capsys.readouterr().out
    assert "secret" not in text
    for line in (
        "port = 9001  # --port",
        "max_rows = 5  # BIJECTA_MAX_ROWS",
        "watch = false  # --watch",
        'store = "s3://***@host/flows?***"  # BIJECTA_STORE',
        "# keys is not set  # default",
        "queue_rows = 4096  # default",
    ):
        assert line in text.splitlines(), line
    read = tomllib.loads(text)
    assert read["models"] == {"moons_maf": {"threads": 2, "cuda_graphs": True, "queue_rows": 7}}
    unset = {line.split()[1] for line in text.splitlines() if line.startswith("# ")}
    assert read.keys() | unset == Settings.model_fields.keys()


def test_what_is_refused_at_the_start_is_refused_when_it_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["serve", "--host", "0.0.0.0", "--print-config"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("bijecta: host: 0.0.0.0 is reached")


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


def test_workers_share_a_port_on_linux_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert loaded("--workers", "1").workers == 1
    with pytest.raises(SettingsError, match="on Linux alone; here, start one server for each port"):
        loaded("--workers", "2")


def test_a_worker_has_its_part_of_what_all_may_take() -> None:
    whole = loaded("--workers", "4", "--max-connections", "10", "--max-models-mib", "100")
    share = settings.share_of(whole)
    assert (share.max_connections, share.max_models_mib, share.max_unsent_mib) == (3, 25, 48)
    changed = {name for name, value in share if value != getattr(whole, name)}
    divided = {"max_connections", "max_grpc_streams", "max_models_mib", "max_unsent_mib"}
    assert changed == divided
    alone = loaded()
    assert settings.share_of(alone) == alone

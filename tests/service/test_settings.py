"""Settings come from flags, variables, a file and defaults, and errors name where from."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.settings import Settings, SettingsError, by_model, load, parse_flags


def test_flags_come_before_variables_and_these_before_defaults() -> None:
    environ = {"BIJECTA_PORT": "9000", "BIJECTA_MAX_ROWS": "5", "PORT": "1", "BIJECTA_ELSE": "x"}
    settings = load(parse_flags(["--port", "9001"]), environ)
    assert (settings.port, settings.max_rows, settings.host) == (9001, 5, "127.0.0.1")
    assert settings.max_body == 64 * 2**20
    assert load({}, {}) == Settings.model_validate({})


def text_of(field: str) -> str:
    """A value of a field that is not its default."""
    texts = {"bool": "true", "ModelSettings": '{"a": {"threads": 3}}', "Path": "some", "str": "cpu"}
    annotation = str(Settings.model_fields[field].annotation)
    return next((text for kind, text in texts.items() if kind in annotation), "3")


@pytest.mark.parametrize("field", Settings.model_fields)
def test_each_field_is_a_flag_and_a_variable(field: str) -> None:
    text, flag = text_of(field), f"--{field.replace('_', '-')}"
    by_flag = load(parse_flags([flag] if text == "true" else [flag, text]), {})
    assert by_flag == load({}, {f"BIJECTA_{field.upper()}": text})
    assert getattr(by_flag, field) != getattr(load({}, {}), field)


def test_a_variable_does_not_reach_settings_that_are_made_from_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BIJECTA_PORT", "9000")
    assert Settings.model_validate({}).port == 8000
    assert load({}, os.environ).port == 9000


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], False),
        (["--model-control"], True),
        (["--no-model-control"], False),
        (["--model-control", "--no-model-control"], False),
        # as earlier versions had it
        (["--model-control", "true", "--port", "1"], True),
        (["--model-control=True"], True),
        (["--model-control", "0"], False),
        (["--port", "1", "--model-control=false"], False),
    ],
)
def test_boolean_flags_need_no_value(arguments: list[str], expected: bool) -> None:
    variables = {"BIJECTA_MODEL_CONTROL": "yes"} if arguments and not expected else {}
    assert load(parse_flags(arguments), variables).model_control is expected


@pytest.mark.parametrize(
    ("flags", "variables", "message"),
    [
        (["--port", "many"], {"BIJECTA_PORT": "1"}, r"^--port: .* got 'many'$"),
        ([], {"BIJECTA_PORT": "many"}, r"^BIJECTA_PORT: .* got 'many'$"),
        (["--max-rows", "0"], {"BIJECTA_THREADS": "0"}, "^BIJECTA_THREADS: .*; --max-rows: "),
        ([], {"BIJECTA_MODEL_CONTROL": "maybe"}, "^BIJECTA_MODEL_CONTROL: .*'maybe'"),
        ([], {"BIJECTA_MODELS": "x"}, "^BIJECTA_MODELS: expected JSON such as"),
        ([], {"BIJECTA_MODELS": "[]"}, "^BIJECTA_MODELS: .*dictionary"),
        ([], {"BIJECTA_MODELS__A__THREADS": "0"}, "^BIJECTA_MODELS.a.threads: .*'0'"),
        ([], {"BIJECTA_MODELS__A__COLOUR": "0"}, "^BIJECTA_MODELS.a.colour is not known"),
        (["--models", "x"], {}, "^--models: expected JSON such as"),
        (["--models", '{"a": {"threads": 0}}'], {}, "^--models.a.threads: .* got 0"),
    ],
)
def test_errors_name_the_flag_or_the_variable(
    flags: list[str], variables: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        load(parse_flags(flags), variables)


@pytest.mark.parametrize("arguments", [["--colour", "1"], ["store"], ["--model-control", "maybe"]])
def test_what_is_no_flag_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        parse_flags(arguments)
    assert stop.value.code == 2
    assert "bijecta serve: error: unrecognized arguments" in capsys.readouterr().err


def test_help_says_what_each_is_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_flags(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in text
        assert f"BIJECTA_{name.upper()}]" in text
        assert " ".join(str(field.description).split()) in text.replace("- ", "-")
    assert "(default: 8000)" in text
    assert "None" not in text


def test_models_have_settings_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text("[a]\nthreads = 2\nbatch_rows = 7\n[d-e]\nqueue_rows = 9\n")
    flags = {"model_settings": str(file), "batch_rows": 5, "threads": 1}
    variables = {
        "BIJECTA_MODELS__A__THREADS": "3",
        "BIJECTA_MODELS": '{"b-c": {"queue_rows": 8}}',
    }
    own = by_model(load(flags, variables))
    assert {n: (m.threads, m.batch_rows, m.queue_rows) for n, m in own.items()} == {
        "a": (3, 7, 4096),  # the variable, then the file, then the server's
        "b-c": (1, 5, 8),
        "d-e": (1, 5, 9),
    }
    assert by_model(load({}, {})) == {}
    for wrong, message in (
        ("[a]\nthreads = 0\n", r"models.toml: threads: .* got 0"),
        ("[a]\ncolour = 1\n", "models.toml: colour is not known"),
        ("a = 1\n", "models.toml: "),
        ("[", "models.toml: "),
    ):
        file.write_text(wrong)
        with pytest.raises(SettingsError, match=message):
            by_model(load(flags, {}))
    with pytest.raises(SettingsError, match=r"absent\.toml"):
        by_model(load({"model_settings": tmp_path / "absent.toml"}, {}))


def test_help_of_the_command_imports_neither_runtime_nor_pydantic() -> None:
    code = """
    import sys
    from service.cli import main
    try:
        main(["--help"])
    except SystemExit:
        print(sorted({"torch", "onnxruntime", "numpy", "pydantic"} & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(line[4:] for line in code.splitlines())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr

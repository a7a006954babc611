"""Settings of flags, variables and files, and what is wrong with them, for people."""

import argparse
import logging
import os
import sys
import tomllib
from typing import Any

import pydantic_settings
from pydantic import ValidationError
from pydantic_settings import CliSettingsSource

from service.errors import nearest, readable
from service.settings.settings import PREFIX, ModelSettings, Settings

log = logging.getLogger(__name__)

# Of the client, which may run beside a server.
OTHER_VARIABLES = {f"{PREFIX}API_KEY"}

SERVICE_LINKS = (
    f"Kubernetes sets {PREFIX}PORT where there is a service named bijecta, unless a pod says "
    "enableServiceLinks: false"
)


class SettingsError(Exception):
    """Settings that make no sense; the text names each."""


def add_flags(parser: argparse.ArgumentParser) -> CliSettingsSource[Any]:
    """Give a parser a flag for each setting; `load` takes what this returns."""
    return CliSettingsSource(
        Settings,
        root_parser=parser,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        add_argument_method=_add_argument,
    )


def as_flags(arguments: list[str]) -> list[str]:
    """Rewrite `--model-control true`, the former way to write a boolean option, as a flag."""
    booleans = {_flag(n) for n, field in Settings.model_fields.items() if field.annotation is bool}
    flags: list[str] = []
    for argument in arguments:
        last = flags[-1] if flags else ""
        if last in booleans and argument.lower() in ("true", "false"):
            flags[-1] = last if argument.lower() == "true" else f"--no-{last.removeprefix('--')}"
            print(f"bijecta: {last} {argument} is now {flags[-1]}", file=sys.stderr)
        else:
            flags.append(argument)
    return flags


def load(flags: CliSettingsSource[Any], arguments: argparse.Namespace) -> Settings:
    """Settings from flags, then the environment, then the defaults.

    Args:
        flags: what `add_flags` returned for the parser.
        arguments: what the parser made of the command line.

    Raises:
        SettingsError: a value that is not allowed, or settings that contradict each other.
    """
    try:
        return Settings(_cli_settings_source=flags(parsed_args=arguments))  # type: ignore[call-arg]
    except ValidationError as error:
        raise SettingsError("; ".join(map(_readable, error.errors()))) from None
    except pydantic_settings.SettingsError:  # of the one setting that is read as JSON
        expected = 'models: expected JSON such as {"digits-maf": {"threads": 2}}'
        raise SettingsError(f"{expected} (--models, {PREFIX}MODELS)") from None


def log_unknown_variables() -> None:
    """Write a line to the log for each variable that begins as settings do and is none."""
    known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields} | OTHER_VARIABLES
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name.partition("__")[0] not in known:
            log.warning("%s is no setting%s", name, nearest(name, known))


def given_by(field: str, arguments: argparse.Namespace) -> str:
    """The flag or the variable that a setting is from; empty where it is the default.

    Args:
        field: its name.
        arguments: what the parser made of the command line.
    """
    if field in vars(arguments):
        return _flag(field)
    variable = f"{PREFIX}{field.upper()}"
    names = (name for name in sorted(os.environ) if name.upper().partition("__")[0] == variable)
    return ", ".join(names)


def settings_key(name: str) -> str:
    """What a model's settings go by: its name with _ for -, which no variable can have."""
    return name.replace("-", "_").lower()


def by_model(settings: Settings) -> dict[str, ModelSettings]:
    """The settings of each model that has its own, by `settings_key`.

    Raises:
        SettingsError: a file that cannot be read, or a value that is not allowed.
    """
    path, tables = settings.model_settings, dict[str, Any]()
    common = settings.model_dump(include=set(ModelSettings.model_fields))
    try:
        if path is not None:
            tables = tomllib.loads(path.read_text())
        own: dict[str, dict[str, Any]] = {}
        for source in (tables, settings.models):
            for name, table in source.items():
                own.setdefault(settings_key(name), {}).update(table)
        return {key: ModelSettings.model_validate(common | table) for key, table in own.items()}
    except ValidationError as error:
        where = "models" if path is None else path
        raise SettingsError(f"{where}: {'; '.join(map(readable, error.errors()))}") from None
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(f"{path}: {error}") from None


def _add_argument(parser: argparse.ArgumentParser, *names: str, **options: Any) -> None:
    """Add a flag; its help does not name a default of None, which the text describes."""
    options["help"] = options["help"].replace(" (default: None)", "").replace(" (default: {})", "")
    parser.add_argument(*names, **options)


def _flag(field: str) -> str:
    """How a setting is named on the command line."""
    return f"--{field.replace('_', '-')}"


def _readable(error: Any) -> str:
    """One error, with the flag and the variable of its setting."""
    if not error["loc"]:  # of several settings
        return readable(error)
    field = str(error["loc"][0])
    if field == "port" and str(error["input"]).startswith("tcp://"):
        return f"{readable(error)}: {SERVICE_LINKS}"
    return f"{readable(error)} ({_flag(field)}, {PREFIX}{field.upper()})"

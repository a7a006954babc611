"""What can be set about a server: each field is a flag of `bijecta serve` and a variable.

`--max-rows` is the field `max_rows` and the variable `BIJECTA_MAX_ROWS`; the flag wins. Importing
this module takes 0.2 s of a CPU, so that `bijecta --help` does without.
"""

import os
import tomllib
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pydantic_settings
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from service.errors import readable

PREFIX = "BIJECTA_"

BOOLEANS = dict.fromkeys(("true", "1", "yes", "on", "y", "t"), True)
BOOLEANS |= dict.fromkeys(("false", "0", "no", "off", "n", "f"), False)

EXPECTED_MODELS = 'expected JSON such as {"digits-maf": {"threads": 2}}'

Count = Annotated[int, Field(ge=1)]


class SettingsError(Exception):
    """Settings that are not allowed; the text names the flag or the variable of each."""


class ModelSettings(BaseModel):
    """How one model is run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threads: Count | None = Field(
        None, description="CPU threads of a model (what the machine or container grants)"
    )
    batch_rows: Count | None = Field(
        None, description="most rows of a run (256 on a CPU, 4096 on a GPU)"
    )
    queue_rows: Count = Field(
        4096, description="most rows that wait for a graph, before requests are refused"
    )


class Settings(ModelSettings, BaseSettings):
    """Settings of one server; `load` takes them from flags and variables."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        cli_avoid_json=True,
        cli_hide_none_type=True,
        cli_implicit_flags=True,
        cli_kebab_case=True,
        cli_show_env_vars=True,
    )

    store: Path = Field(Path("store"), description="folder of bundles")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        8000, description="port; 0 picks a free one"
    )
    device: str = Field(
        "auto",
        description="auto uses a GPU if there is one; cuda, or cuda:1, refuses to start without; "
        "cpu, or cpu:4 with four threads",
    )
    default_model: str | None = Field(None, description="the model of requests that name none")
    max_rows: Count = Field(65_536, description="rows a request")
    max_sample_rows: Count = Field(
        10_000_000, description="rows of a sample in npy or Arrow, which comes a piece at a time"
    )
    max_body_mib: Count = Field(64, description="MiB a request body")
    max_models_mib: Count | None = Field(
        None,
        description="MiB of bundles loaded at once; beyond, those asked for longest ago are "
        "unloaded until they are asked for again (no limit)",
    )
    poll_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        0.0, description="how often the store is looked through for changes; 0 for never"
    )
    model_control: bool = Field(
        False, description="whether callers may load and unload models, under /v2/repository"
    )
    drain_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        0.0, description="after SIGTERM, time to go on answering while not ready"
    )
    stop_seconds: Annotated[int, Field(ge=0)] = Field(
        30, description="after that, time for requests in progress to be answered"
    )
    model_settings: Path | None = Field(
        None, description="TOML file with a table of threads, batch_rows, queue_rows by model"
    )
    models: dict[str, ModelSettings] = Field(
        {},
        description="the same as JSON, before the file: "
        '{"digits-maf": {"threads": 2}}; or a variable for each, BIJECTA_MODELS__DIGITS__THREADS',
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        *_: Any,
        **__: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the arguments: `load` merges flags and variables."""
        return (init_settings,)

    @property
    def max_body(self) -> int:
        """Largest request body in bytes."""
        return self.max_body_mib * 2**20

    @property
    def max_models(self) -> int | None:
        """Most bytes of bundles loaded at once."""
        return None if self.max_models_mib is None else self.max_models_mib * 2**20


def parse_flags(arguments: list[str]) -> dict[str, Any]:
    """Values by field from the arguments of `bijecta serve`, those that it has.

    Arguments that are no flags of it end the process, with its usage.

    Raises:
        SettingsError: a value that cannot be read.
    """
    parser = ArgumentParser(
        prog="bijecta serve",
        description="Answer HTTP requests for the bundles of a store. "
        "Each option is a variable as well; the option wins.",
    )
    source = CliSettingsSource[Settings](
        Settings, root_parser=parser, add_argument_method=_add_argument
    )
    parsed = parser.parse_args(_without_boolean_values(arguments))
    try:
        return source(parsed_args=parsed)()
    except pydantic_settings.SettingsError:  # of the one field that is read as JSON
        raise SettingsError(f"--models: {EXPECTED_MODELS}") from None


def load(flags: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from flags, then variables, then defaults.

    Args:
        flags: values by field.
        environ: variables by name; those without a field are ignored.

    Raises:
        SettingsError: a value that is not allowed.
    """
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in environ.items()}
    try:
        return Settings(**{**source(), **flags})
    except pydantic_settings.SettingsError:  # of the one field that is read as JSON
        raise SettingsError(f"{PREFIX}MODELS: {EXPECTED_MODELS}") from None
    except ValidationError as error:
        raise SettingsError("; ".join(_describe(e, flags) for e in error.errors())) from None


def by_model(settings: Settings) -> dict[str, ModelSettings]:
    """Settings of each model that has its own: from `models`, then the file, then the server's.

    Raises:
        SettingsError: a file that cannot be read, or a value that is not allowed.
    """
    path, own = settings.model_settings, settings.models
    common = settings.model_dump(include=set(ModelSettings.model_fields))
    try:
        tables = {} if path is None else tomllib.loads(path.read_text())
        return {
            name: ModelSettings.model_validate(
                common
                | dict(tables.get(name, {}))
                | (own[name].model_dump(exclude_unset=True) if name in own else {})
            )
            for name in tables.keys() | own.keys()
        }
    except ValidationError as error:
        raise SettingsError(f"{path}: {'; '.join(map(readable, error.errors()))}") from None
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(f"{path}: {error}") from None


def _add_argument(parser: ArgumentParser, *names: str, **options: Any) -> None:
    """Add a flag; its help does not mention an empty default."""
    for empty in (" (default: None)", " (default: {})"):
        options["help"] = options["help"].replace(empty, "")
    parser.add_argument(*names, **options)


def _without_boolean_values(arguments: list[str]) -> list[str]:
    """Rewrite `--model-control true`, the form of version 0.1, as `--model-control`."""
    flags = {
        _flag(name) for name, field in Settings.model_fields.items() if field.annotation is bool
    }
    rewritten: list[str] = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if flag in flags and equals:
            rewritten.append(flag)
            argument = value
        if rewritten and rewritten[-1] in flags and argument.lower() in BOOLEANS:
            if not BOOLEANS[argument.lower()]:
                rewritten[-1] = rewritten[-1].replace("--", "--no-", 1)
        else:
            rewritten.append(argument)
    return rewritten


def _describe(error: Any, flags: Mapping[str, Any]) -> str:
    """One error of a validation, by the flag or the variable that holds the value."""
    field, *rest = error["loc"]
    name = _flag(field) if field in flags else f"{PREFIX}{field.upper()}"
    return readable({**error, "loc": (name, *rest)})


def _flag(field: str) -> str:
    return f"--{field.replace('_', '-')}"

"""What can be set about a server: each field is a flag of `bijecta serve` and a variable.

`--max-rows` is the field `max_rows` and the variable `BIJECTA_MAX_ROWS`; the flag wins.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.errors import readable

PREFIX = "BIJECTA_"

Count = Annotated[int, Field(ge=1)]


class SettingsError(Exception):
    """Settings that make no sense; the text names each."""


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


class Settings(ModelSettings):
    """Settings of one server."""

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
    gc_policy: Literal["timed", "python"] = Field(
        "timed",
        description="when Python's collector looks for reference cycles: timed, in pauses of a "
        "second or more and for 2 % of the time at most; python, as Python does by itself",
    )
    model_settings: Path | None = Field(
        None, description="TOML file with a table of threads, batch_rows, queue_rows by model"
    )

    @property
    def max_body(self) -> int:
        """Largest request body in bytes."""
        return self.max_body_mib * 2**20

    @property
    def max_models(self) -> int | None:
        """Most bytes of bundles loaded at once."""
        return None if self.max_models_mib is None else self.max_models_mib * 2**20


def load(flags: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from flags (None where not given), the environment, and the defaults.

    Raises:
        SettingsError: a value that is not allowed.
    """
    names = {PREFIX + field.upper(): field for field in Settings.model_fields}
    given = {names[name]: value for name, value in environ.items() if name in names}
    given |= {field: value for field, value in flags.items() if value is not None}
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        raise SettingsError("; ".join(map(readable, error.errors()))) from None


def by_model(settings: Settings) -> dict[str, ModelSettings]:
    """The settings of each model that has its own.

    Raises:
        SettingsError: a file that cannot be read, or a value that is not allowed.
    """
    path = settings.model_settings
    if path is None:
        return {}
    common = settings.model_dump(include=set(ModelSettings.model_fields))
    try:
        tables = tomllib.loads(path.read_text())
        return {
            name: ModelSettings.model_validate(common | dict(table))
            for name, table in tables.items()
        }
    except ValidationError as error:
        raise SettingsError(f"{path}: {'; '.join(map(readable, error.errors()))}") from None
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(f"{path}: {error}") from None

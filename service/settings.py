"""What can be set about a server: each field is a flag of `bijecta serve` and a variable.

`--max-rows` is the field `max_rows` and the variable `BIJECTA_MAX_ROWS`; the flag wins.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.errors import readable

PREFIX = "BIJECTA_"


class SettingsError(Exception):
    """Settings that make no sense; the text names each."""


class Settings(BaseModel):
    """Settings of one server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: Path = Field(Path("store"), description="folder of bundles")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        8000, description="port; 0 picks a free one"
    )
    device: Literal["auto", "cuda", "cpu"] = Field(
        "auto", description="cuda refuses to start without a GPU; auto uses one if it is there"
    )
    default_model: str | None = Field(None, description="the model of requests that name none")
    threads: Annotated[int, Field(ge=1)] | None = Field(
        None, description="CPU threads of a model (what the machine or container grants)"
    )
    max_rows: Annotated[int, Field(ge=1)] = Field(65_536, description="rows a request")
    max_body_mib: Annotated[int, Field(ge=1)] = Field(64, description="MiB a request body")

    @property
    def max_body(self) -> int:
        """Largest request body in bytes."""
        return self.max_body_mib * 2**20


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

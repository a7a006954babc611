"""The settings of a server as they are used, printed: `bijecta serve --print-config`."""

import argparse
import json
import re
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from service.settings.loading import by_model, given_by
from service.settings.settings import ModelSettings, Settings

MASK = "***"

# In a URL: who asks, with a password, and a query, which may hold a signature. A `Path` has one of
# the two slashes.
_CREDENTIALS = re.compile(r"(:/{1,2})[^/\s]+@")
_QUERY = re.compile(r"(:/{1,2}[^?\s]*\?)\S+")


def as_toml(settings: Settings, arguments: argparse.Namespace) -> str:
    """All settings in TOML, secrets masked; a remark behind each says what it is from.

    Args:
        settings: of a server.
        arguments: of the command line that they were loaded with.

    Raises:
        SettingsError: see `by_model`.
    """
    lines = []
    for field in sorted(Settings.model_fields):
        if field == "models":  # below, by model, as they are used
            continue
        source = given_by(field, arguments) or "default"
        value = getattr(settings, field)
        said = f"# {field} is not set" if value is None else f"{field} = {_masked(value)}"
        lines.append(f"{said}  # {source}")
    for name, own in sorted(by_model(settings).items()):
        lines += ["", f"[models.{name}]"]
        for field in sorted(ModelSettings.model_fields):
            if (value := getattr(own, field)) is not None:
                lines.append(f"{field} = {_masked(value)}")
    return "\n".join(lines) + "\n"


def _masked(value: Any) -> str:
    """A value in TOML, without what only the server may know."""
    if isinstance(value, SecretStr):
        return json.dumps(MASK)
    if isinstance(value, str | Path):
        text = _CREDENTIALS.sub(rf"\1{MASK}@", str(value))
        return json.dumps(_QUERY.sub(rf"\1{MASK}", text), ensure_ascii=False)
    return json.dumps(value)

"""What can be set about a server, and where it is read from."""

from service.settings.loading import (
    SettingsError,
    add_flags,
    as_flags,
    by_model,
    load,
    settings_key,
)
from service.settings.settings import ModelSettings, Settings

__all__ = [
    "ModelSettings",
    "Settings",
    "SettingsError",
    "add_flags",
    "as_flags",
    "by_model",
    "load",
    "settings_key",
]

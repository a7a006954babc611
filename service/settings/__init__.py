"""What can be set about a server, and where it is read from."""

from service.settings.listening import is_loopback
from service.settings.loading import (
    SettingsError,
    add_flags,
    as_flags,
    by_model,
    load,
    log_unknown_variables,
    settings_key,
)
from service.settings.printing import as_toml
from service.settings.settings import ModelSettings, Settings
from service.settings.shares import share_of

__all__ = [
    "ModelSettings",
    "Settings",
    "SettingsError",
    "add_flags",
    "as_flags",
    "as_toml",
    "by_model",
    "is_loopback",
    "load",
    "log_unknown_variables",
    "settings_key",
    "share_of",
]

"""Who may ask a server: API keys, what each allows, and how often; its own certificate."""

from service.security.key import Key
from service.security.keyring import Keyring
from service.security.keys_file import (
    ASKING,
    CONTROLLING,
    MEASURING,
    PREFIX,
    READING,
    KeysError,
    Scope,
    StoredKey,
    change_keys,
    digest_of,
    new_key,
    read_keys,
    without_keys,
)
from service.security.shared_rates import SharedRates
from service.security.tls import TlsFiles

__all__ = [
    "ASKING",
    "CONTROLLING",
    "MEASURING",
    "PREFIX",
    "READING",
    "Key",
    "Keyring",
    "KeysError",
    "Scope",
    "SharedRates",
    "StoredKey",
    "TlsFiles",
    "change_keys",
    "digest_of",
    "new_key",
    "read_keys",
    "without_keys",
]

"""Files of API keys."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.security import StoredKey, change_keys, digest_of, new_key
from service.telemetry import RequestRecord
from service.telemetry.request_log import line_of

CALLERS = ("none", "wrong", "old", "ask", "mine", "metrics", "admin", "mine admin")
"""Those of `keys_of_every_kind`; the first three are nobody."""


def add_key(path: Path, name: str = "somebody", **options: Any) -> str:
    """Put a key in a file; returns it."""
    key = new_key()
    described = {"name": name, "sha256": digest_of(key.encode()).hex(), "scopes": ["ask"]}
    stored = StoredKey.model_validate(described | {"created": datetime.now(UTC)} | options)
    change_keys(path, lambda keys: [*keys, stored])
    return key


def bearer(key: str) -> dict[str, str]:
    """The header of a request with a key; empty of none."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def keys_of_every_kind(path: Path) -> dict[str, str]:
    """Put keys in a file; returns what each of `CALLERS` sends."""
    made = {
        "ask": add_key(path, "ask"),
        "mine": add_key(path, "mine", models=["mine"]),
        "metrics": add_key(path, "metrics", scopes=["metrics"]),
        "admin": add_key(path, "admin", scopes=["admin"]),
        "mine admin": add_key(path, "mine-admin", scopes=["admin"], models=["mine"]),
        "old": add_key(path, "old", expires="2020-01-01T00:00:00Z"),
    }
    return made | {"none": "", "wrong": made["ask"][:-1] + "!"}


class Lines:
    """What a log of requests would hold, in place of one."""

    def __init__(self) -> None:
        self.records: list[RequestRecord] = []
        self.text = ""

    def write(self, record: RequestRecord, seconds: float) -> None:
        """Keep a request."""
        self.records.append(record)
        self.text += line_of(record, seconds).decode()

    def close(self) -> None:
        """Nothing waits."""

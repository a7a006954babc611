"""What `bijecta keys add`, `list` and `revoke` do, and what they print."""

import json
import sys
from argparse import Namespace
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from service.errors import readable
from service.security import KeysError, StoredKey, change_keys, digest_of, new_key, read_keys

UPTAKE = "servers take it up within a second"


def add(arguments: Namespace) -> int:
    """Make a key; it alone is printed to standard output."""
    days = arguments.days
    key, now = new_key(), datetime.now(UTC).replace(microsecond=0)
    try:
        stored = StoredKey.model_validate(
            {
                "name": arguments.name,
                "sha256": digest_of(key.encode()).hex(),
                "scopes": _listed(arguments.scope),
                "models": None if arguments.models is None else _listed(arguments.models),
                "rows_per_second": arguments.rows_per_second,
                "requests_per_second": arguments.requests_per_second,
                "created": now,
                "expires": None if days is None else now + timedelta(days=days),
            }
        )
    except ValidationError as error:
        raise KeysError("; ".join(map(readable, error.errors()))) from None

    def added(keys: list[StoredKey]) -> list[StoredKey]:
        if any(each.name == stored.name for each in keys):
            raise KeysError(f"{arguments.keys} has a key {stored.name}: revoke it, or name another")
        return [*keys, stored]

    change_keys(arguments.keys, added)
    print(key)
    _say(f"{stored.name} is in {arguments.keys}; the key itself is nowhere but here; {UPTAKE}")
    return 0


def list_keys(arguments: Namespace) -> int:
    """Print what each key allows."""
    keys = read_keys(arguments.keys)
    if arguments.json:
        documents = [key.model_dump(mode="json", exclude={"sha256"}) for key in keys]
        print(json.dumps(documents, indent=2))
        return 0
    rows = [["name", "scopes", "models", "rows/s", "requests/s", "made", "expires"]]
    rows += map(_row, keys)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())
    return 0


def revoke(arguments: Namespace) -> int:
    """Take a key out of the file."""

    def rest(keys: list[StoredKey]) -> list[StoredKey]:
        kept = [key for key in keys if key.name != arguments.name]
        if len(kept) == len(keys):
            raise KeysError(f"{arguments.keys} has no key {arguments.name!r:.80}")
        return kept

    change_keys(arguments.keys, rest)
    _say(f"{arguments.name} is revoked; {UPTAKE}")
    return 0


def _row(key: StoredKey) -> list[str]:
    rates = [
        "any" if rate is None else f"{rate:g}"
        for rate in (key.rows_per_second, key.requests_per_second)
    ]
    expires = "never"
    if key.expires is not None:
        expires = f"{key.expires:%Y-%m-%d}"
        if key.expires <= datetime.now(UTC):
            expires += ", over"
    models = "all" if key.models is None else ",".join(key.models) or "none"
    return [key.name, ",".join(key.scopes), models, *rates, f"{key.created:%Y-%m-%d}", expires]


def _listed(text: str) -> list[str]:
    """The parts of a list divided by commas, each once."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _say(line: str) -> None:
    print(f"bijecta: {line}", file=sys.stderr)

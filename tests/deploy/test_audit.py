"""The audit of what the images install says what it knows, and what it could not ask."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.helpers.pages import ROOT

# What pip-audit 2.10 writes, and its exit code.
FOUND = """Found 1 known vulnerability in 1 package
Name Version ID             Fix Versions
---- ------- -------------- ------------
six  1.0     PYSEC-2026-1   1.1"""
UNKNOWN = (
    "ERROR:pip_audit._cli:six: Dependency not found on PyPI and could not be audited: six (1.0)"
)
UNREACHABLE = """Traceback (most recent call last):
requests.exceptions.ProxyError: HTTPSConnectionPool: Max retries exceeded"""

OUTCOMES = {
    "nothing": ("No known vulnerabilities found", 0, 0, "gpu.txt: nothing is known against it"),
    "an advisory": (FOUND, 1, 1, "PYSEC-2026-1"),
    "a package unknown": (UNKNOWN, 1, 2, "build.txt was not audited"),
    "no network": (UNREACHABLE, 1, 2, "ProxyError"),
}


@pytest.mark.parametrize("kind", OUTCOMES)
def test_an_audit_that_did_not_take_place_is_no_success(tmp_path: Path, kind: str) -> None:
    text, code, expected, words = OUTCOMES[kind]
    (tmp_path / "said").write_text(text)
    fake = tmp_path / "pip-audit"
    fake.write_text(f'#!/bin/sh\ncat "{tmp_path}/said"\nexit {code}\n')
    fake.chmod(0o755)
    done = subprocess.run(
        ["sh", str(ROOT / "deploy" / "audit.sh")],
        env={**os.environ, "PIP_AUDIT": str(fake)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expected
    assert words in done.stdout + done.stderr

"""Certificates for servers of tests."""

import subprocess
from pathlib import Path


def make_certificate(folder: Path, name: str, days: int = 2) -> tuple[Path, Path]:
    """Make a certificate for localhost that stands on itself, and its key, by openssl."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc"
    command += f" -days {days} -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    options = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *options], check=True, capture_output=True)
    return certificate, key

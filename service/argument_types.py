"""Values of the command line that argparse does not know; it says what was expected."""

import argparse
import math

# Longer than anybody plans; times beyond the year 9999 are none.
MAX_DAYS = 36_500.0


def count(text: str) -> int:
    """A whole number from 1."""
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 19 and int(text)):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r:.40}")
    return int(text)


def rate(text: str) -> float:
    """A number between 0 and 1."""
    number = _float(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, got {text!r:.40}")
    return number


def per_second(text: str) -> float:
    """A number above 0."""
    number = _float(text)
    if not 0 < number <= 1e12:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r:.40}")
    return number


def seed(text: str) -> int:
    """A whole number of 64 bits."""
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) < 2**64):
        raise argparse.ArgumentTypeError(f"expected a whole number below 2^64, got {text!r:.40}")
    return int(text)


def version(text: str) -> int | str:
    """A version's number, or `latest`."""
    return text if text == "latest" else count(text)


def days(text: str) -> float:
    """A number of days."""
    number = _float(text)
    if not 0 <= number <= MAX_DAYS:
        raise argparse.ArgumentTypeError(
            f"expected a number of days, {MAX_DAYS:g} at most, got {text!r:.40}"
        )
    return number


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan

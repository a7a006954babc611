"""The subcommands that training adds to `bijecta`; torch is imported only when one of them runs."""

from training.cli.parsers import add_commands

__all__ = ["add_commands"]

"""The commands of `bijecta keys`; each imports what it needs when it runs."""

from service.key_commands.arguments import add_keys

__all__ = ["add_keys"]

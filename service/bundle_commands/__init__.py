"""The commands on bundles; each imports what it needs when it runs."""

from service.bundle_commands.arguments import add_bundle_commands

__all__ = ["add_bundle_commands"]

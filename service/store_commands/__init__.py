"""The commands of `bijecta store`; each imports what it needs when it runs."""

from service.store_commands.arguments import add_store, folder

__all__ = ["add_store", "folder"]

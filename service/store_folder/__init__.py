"""The folder of a store as it lies on a disk: what is in it, and how commands change it."""

from service.store_folder.edits import Change, remove_alias, roll_back, set_alias
from service.store_folder.folder_lock import in_use
from service.store_folder.look import Found, in_daemon_thread, look_through
from service.store_folder.prune import Keep, removable, remove
from service.store_folder.versions import (
    Version,
    current,
    folder_bytes,
    named_folder,
    numbers,
    read_versions,
    version_of_weights,
)

__all__ = [
    "Change",
    "Found",
    "Keep",
    "Version",
    "current",
    "folder_bytes",
    "in_daemon_thread",
    "in_use",
    "look_through",
    "named_folder",
    "numbers",
    "read_versions",
    "removable",
    "remove",
    "remove_alias",
    "roll_back",
    "set_alias",
    "version_of_weights",
]

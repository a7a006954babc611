"""The models that a server holds, loaded from a folder of bundles."""

from service.store.entry import Entry
from service.store.lease import Lease
from service.store.load import end_loads
from service.store.loader import Loader, Model
from service.store.store import Store

__all__ = [
    "Entry",
    "Lease",
    "Loader",
    "Model",
    "Store",
    "end_loads",
]

"""Stores elsewhere (S3, Google's and Azure's clouds, Hugging Face, the web), kept in a folder."""

from service.remote.address import Address, AddressError, parse
from service.remote.files import RemoteError, RemoteFiles
from service.remote.follower import Follower
from service.remote.index import INDEX, files_of, index_of
from service.remote.outlines import outline, read_outline
from service.remote.pushing import push

__all__ = [
    "INDEX",
    "Address",
    "AddressError",
    "Follower",
    "RemoteError",
    "RemoteFiles",
    "files_of",
    "index_of",
    "outline",
    "parse",
    "push",
    "read_outline",
]

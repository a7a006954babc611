"""Stores elsewhere (S3, Google's and Azure's clouds, Hugging Face, the web), kept in a folder."""

from service.remote.address import Address, AddressError, parse
from service.remote.follower import Follower
from service.remote.index import INDEX, index_of

__all__ = ["INDEX", "Address", "AddressError", "Follower", "index_of", "parse"]

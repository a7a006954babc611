"""A server of stored bundles over HTTP and gRPC."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from tests.helpers.grpc_calls import RawCaller, grpc_port
from tests.helpers.servers import Serve, Served

STORED = Path(__file__).parents[2] / "stored"
BUNDLES = (
    "format_1/store/maf",
    "format_1/store/maf-context",
    "format_1/store/realnvp-images",
)


@pytest.fixture(scope="session")
def grpc_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of a flow, a conditional one, and one of images."""
    folder = tmp_path_factory.mktemp("grpc")
    for bundle in BUNDLES:
        (folder / Path(bundle).name).symlink_to(STORED / bundle)
    return folder


@pytest.fixture(scope="session")
def served(grpc_store: Path, serve: Serve) -> Served:
    return serve("--store", grpc_store, "--grpc-port", "0", "--model-control", "--threads", "1")


@pytest.fixture
def raw(served: Served) -> Iterator[RawCaller]:
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port(served)}") as channel:
        yield RawCaller(channel)


@pytest.fixture
def raw_to() -> Iterator[Callable[[Served], RawCaller]]:
    """Callers of other servers."""
    with ExitStack() as stack:
        yield lambda served: RawCaller(
            stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{grpc_port(served)}"))
        )

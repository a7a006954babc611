"""What a server is and holds is what its metrics say."""

from pathlib import Path

import pytest

from service.server import Server
from service.settings import Settings
from tests.helpers.running import run, running
from tests.helpers.stores import edit
from tests.helpers.tiny import write_tiny_bundle


def states(server: Server) -> dict[str, float]:
    """How many versions are in each state."""
    return {
        sample.labels["state"]: sample.value
        for family in server.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "bijecta_store_versions"
    }


def test_versions_are_counted_by_what_has_become_of_them(tmp_path: Path) -> None:
    for version in (1, 2, 3):
        write_tiny_bundle(tmp_path, "tiny", version)
    (tmp_path / "tiny" / "3" / "encode.onnx").write_bytes(b"altered")

    async def work() -> None:
        async with running(tmp_path) as served:
            sample = served.server.metrics.registry.get_sample_value
            assert states(served.server) == {
                "loaded": 2,
                "refused": 1,
                "unloaded": 0,
                "awaited": 0,
            }
            size = sample("bijecta_loaded_bytes")
            assert size == sum(model.size for model in served.server.store.models) > 0
            # newer files of a loaded version are refused
            edit(tmp_path / "tiny" / "1", files={})
            await served.server.store.refresh()
            assert states(served.server) == {
                "loaded": 2,
                "refused": 2,
                "unloaded": 0,
                "awaited": 0,
            }

    run(work)


def test_a_server_is_ready_in_metrics_when_it_is_ready(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, "tiny")

    async def work() -> None:
        async with running(tmp_path) as served:
            sample = served.server.metrics.registry.get_sample_value
            assert sample("bijecta_ready") == 1
            info = {"model": "tiny", "version": "1"}
            assert sample("bijecta_model_threads", info) == served.model.engine.threads
            more = {"family": "maf", "provider": served.model.engine.provider}
            checksum = {"sha256": served.model.manifest.checksum}
            assert sample("bijecta_model_info", info | more | checksum) == 1
            served.server.draining = True
            assert sample("bijecta_ready") == 0

    run(work)


def test_limits_are_those_of_the_settings(tmp_path: Path) -> None:
    settings = Settings(
        store=tmp_path,
        device="cpu",
        max_inflight_mib=100,
        max_connections=7,
        max_unsent_mib=5,
        max_body_mib=3,
        max_rows=11,
    )
    sample = Server(settings).metrics.registry.get_sample_value
    assert sample("bijecta_ready") == 0
    assert sample("bijecta_tls_certificate_expiry_timestamp_seconds") is None
    assert sample("bijecta_inflight_limit_bytes") == 100 * 2**20
    assert sample("bijecta_connections_limit") == 7
    assert sample("bijecta_unsent_limit_bytes") == 5 * 2**20
    assert sample("bijecta_body_limit_bytes") == 3 * 2**20
    assert sample("bijecta_rows_limit") == 11


@pytest.mark.parametrize("queue_rows", [300, 5000])
def test_the_capacity_of_a_queue_is_that_of_the_settings(tmp_path: Path, queue_rows: int) -> None:
    write_tiny_bundle(tmp_path, "tiny")

    async def work() -> None:
        async with running(tmp_path, queue_rows=queue_rows) as served:
            sample = served.server.metrics.registry.get_sample_value
            labels = {"model": "tiny", "graph": "encode"}
            assert sample("bijecta_queue_capacity_rows", labels) == queue_rows

    run(work)

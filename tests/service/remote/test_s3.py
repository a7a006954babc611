"""`bijecta serve --store s3://…`, against moto's server."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.cli import main
from tests.helpers.http import metric
from tests.helpers.pages import ALL_BLOCKS
from tests.helpers.s3 import BUCKET, S3, Asker, environment, s3_server
from tests.helpers.servers import Serve
from tests.helpers.stores import edit
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.long

pytest.importorskip("s3fs", reason="the extra s3")
pytest.importorskip("moto", reason="moto, of the extra dev")

NAME = "tiny"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with s3_server() as server:
        yield server


def versions(folder: Path, count: int) -> list[Path]:
    """Bundles of one model, each with files of its own."""
    paths = [write_tiny_bundle(folder, NAME, version) for version in range(1, count + 1)]
    for version, path in enumerate(paths, 1):
        edit(path, made_with={"by": str(version)})
    return paths


def test_a_server_of_a_bucket_loses_no_request_whatever_becomes_of_it(
    s3: S3, serve: Serve, tmp_path: Path
) -> None:
    one, two, three, four = versions(tmp_path / "near", 4)
    (tmp_path / "store" / NAME).mkdir(parents=True)
    one.rename(tmp_path / "store" / NAME / "1")
    block = next(b for b in ALL_BLOCKS if "serve --store s3://flows/store" in b.text)
    text = block.text.replace("s3://flows/store", f"s3://{BUCKET}/p")
    text = text.replace("--store store", f"--store {tmp_path}/store")
    text = text.replace("--cache cache", f"--cache {tmp_path}/cache")
    pushing, serving = re.sub(r"--poll-seconds \S+", "--poll-seconds 0.2", text).splitlines()
    with environment(s3.environment):
        assert main(pushing.split()[1:]) == 0
        served = serve(*serving.split()[2:])
    client = served.client
    asker = Asker(client.base_url)
    wait_until(lambda: asker.versions)
    assert set(asker.versions) == {1}
    s3.upload(two, f"p/{NAME}/2")
    wait_until(lambda: asker.versions[-1] == 2)
    s3.upload(three, f"p/{NAME}/3")
    wait_until(lambda: asker.versions[-1] == 3)
    shutil.rmtree(next((tmp_path / "cache").iterdir()) / "files")  # it would know the graphs
    (next((tmp_path / "cache").iterdir()) / "files").mkdir()
    for file in ("decode.onnx", "encode.onnx"):
        s3.put(f"p/{NAME}/4/{file}", (four / file).read_bytes()[:-7])  # truncated
    s3.put(f"p/{NAME}/4/manifest.json", (four / "manifest.json").read_bytes())
    wait_until(lambda: metric(client, "bijecta_remote_versions", state="refused") == 1)
    s3.client.delete_object(Bucket=BUCKET, Key=f"p/{NAME}/4/manifest.json")
    s3.network.is_down = True
    wait_until(lambda: metric(client, "bijecta_remote_store_readable") == 0)
    s3.network.is_down = False
    wait_until(lambda: metric(client, "bijecta_remote_store_readable") == 1)
    asker.end()
    assert asker.versions[-1] == 3
    assert asker.failures == []
    served.process.terminate()
    assert served.process.wait(timeout=10) == 0
    log = "".join(served.log)
    assert log.count("did not take tiny/4") == 1
    assert "expected sha256" in log
    assert log.count("what was taken stays") == 1
    assert "secret-of-a-test" not in log
    assert "Traceback" not in log


def test_a_bucket_that_vanishes_and_networks_that_hang_or_are_slow_cost_no_request(
    s3: S3, serve: Serve, tmp_path: Path
) -> None:
    one, two, three, *_ = versions(tmp_path / "near", 3)
    s3.upload(one, f"q/{NAME}/1")
    with environment(s3.environment):
        served = serve("--store", f"s3://{BUCKET}/q", "--cache", tmp_path, "--poll-seconds", "0.2")
    client = served.client
    asker = Asker(client.base_url)

    def is_readable() -> bool:
        return metric(client, "bijecta_remote_store_readable") == 1

    s3.network.bytes_per_second = 0  # connections are taken, and nothing comes
    wait_until(lambda: not is_readable(), 180)
    s3.network.bytes_per_second = None
    wait_until(is_readable, 180)
    s3.network.bytes_per_second = 2000
    s3.upload(two, f"q/{NAME}/2")
    wait_until(lambda: asker.versions[-1] == 2, 120)
    s3.network.bytes_per_second = None
    for key in s3.client.list_objects_v2(Bucket=BUCKET, Prefix="q/")["Contents"]:
        s3.client.delete_object(Bucket=BUCKET, Key=key["Key"])
    wait_until(lambda: not is_readable())
    time.sleep(2)
    assert asker.versions[-1] == 2
    s3.upload(three, f"q/{NAME}/3")
    wait_until(lambda: asker.versions[-1] == 3, 120)
    s3.network.bytes_per_second = 0
    time.sleep(1)
    started = time.monotonic()
    asker.end()
    served.process.terminate()
    assert served.process.wait(timeout=10) == 0
    assert time.monotonic() - started < 5
    assert asker.failures == []
    s3.network.bytes_per_second = None


@pytest.mark.parametrize(
    ("address", "variables", "expected"),
    [
        ("s3://no-such-bucket/p", {}, "there is no store at this address"),
        (f"s3://{BUCKET}/p", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "may not be"),
    ],
)
def test_a_bucket_that_cannot_be_read_ends_the_start_in_one_line(
    s3: S3, tmp_path: Path, address: str, variables: dict[str, str], expected: str
) -> None:
    command = ["serve", "--port", "0", "--store", address, "--cache", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", *command],
        env=os.environ | s3.environment | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"bijecta: {address}: ")
    assert expected in last

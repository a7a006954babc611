"""What a server knows of its models' rows: series, alarms, and states over restarts."""

import asyncio
import logging
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.conformal import Calibration, hour_classes
from service.metrics import Metrics
from service.tables import DatetimeColumn
from service.types import Float64
from service.watching import Watch, Watching
from service.watching.drift import DriftTest
from service.watching.open_hours import Rows
from service.watching.state_folder import Kept, StateFolder
from service.watching.watch import MAX_REQUEST_ROWS, MAX_WAITING_ROWS, ROWS_AT_ONCE
from service.work_threads import WorkThreads


@dataclass
class Quantiles:
    levels: list[float] = field(default_factory=lambda: [0.01, 0.05, 0.5, 0.9, 0.95])
    log_prob: list[float | None] = field(default_factory=lambda: [None, -9.5, -4.0, -4.0, -2.25])


@dataclass
class Manifest:
    """A manifest, as far as it is asked."""

    name: str = "payments"
    version: int = 1
    checksum: str = "abc"
    columns: list[Any] | None = field(default_factory=lambda: ["amount", "age"])
    dimensions: int = 2
    held_out: Any = field(default_factory=lambda: SimpleNamespace(log_prob=-3.0))
    calibration: Quantiles | None = field(default_factory=Quantiles)

    @property
    def column_names(self) -> list[str] | None:
        return self.columns and [getattr(column, "name", column) for column in self.columns]


CALIBRATION = Calibration.of(np.random.default_rng(0).normal(size=1000))


class Served:
    """A server's watching, with one version loaded."""

    def __init__(self, folder: Path | None = None, manifest: Any = None) -> None:
        self.metrics = Metrics()
        self.threads = WorkThreads(2)
        self.watching = Watching(self.metrics, self.threads, 100, folder)
        self.watch = self.load(manifest or Manifest())

    def load(self, manifest: Any, calibration: Calibration | None = CALIBRATION) -> Watch:
        watch = self.watching.watch_of(manifest, calibration)
        self.watching.loaded(watch)
        return watch

    async def score(self, rows: int, shift: float = 0.0, seed: int = 1) -> None:
        random = np.random.default_rng(seed)
        scores, x = random.normal(size=rows) + shift, random.normal(size=(rows, 2))
        await self.watch.saw_scores(np.full(rows, 0.008), scores, None, x)

    @staticmethod
    async def taken() -> None:
        """Until the test has taken what it began to take."""
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    def series(self, name: str) -> dict[tuple[str, ...], float]:
        families = text_string_to_metric_families(self.metrics.exposition().decode())
        return {
            tuple(
                sample.labels[key] for key in ("model", "version", "le") if key in sample.labels
            ): (sample.value)
            for family in families
            for sample in family.samples
            if sample.name == name
        }


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]


def test_log_prob_is_counted_between_the_quantiles_of_held_out_rows() -> None:
    async def work() -> None:
        served = Served()
        values = np.array([-np.inf, -10, -9.5, -5, -3, 0, np.nan, np.inf])
        await served.watch.saw_log_prob(values)
        await served.watch.saw_log_prob(np.tile(values, 10).astype(np.float32))
        buckets = served.series("bijecta_log_prob_bucket")
        assert {labels[-1]: count / 11 for labels, count in buckets.items()} == {
            "-9.5": 3,
            "-4.0": 4,
            "-2.25": 5,
            "+Inf": 7,
        }
        ranks = served.series("bijecta_log_prob_rank_bucket")
        assert {labels[-1]: count / 11 for labels, count in ranks.items()} == {
            "0.05": 3,
            "0.9": 4,  # the largest level of its quantile
            "0.95": 5,
            "+Inf": 7,
        }

    run(work)


def test_quantiles_that_are_not_in_order_bound_what_they_can() -> None:
    async def work() -> None:
        quantiles = Quantiles(levels=[0.01, 0.05, 0.5], log_prob=[-4.0, -9.0, -2.0])
        served = Served(manifest=Manifest(calibration=quantiles))
        await served.watch.saw_log_prob(np.array([-10.0, -3.0]))
        ranks = served.series("bijecta_log_prob_rank_bucket")
        found = {labels[-1]: count for labels, count in ranks.items()}
        assert found == {"0.01": 1, "0.5": 2, "+Inf": 2}

    run(work)


def test_p_values_and_the_test_of_drift_have_series_as_long_as_a_version_is_loaded() -> None:
    names = (
        "p_value_count",
        "drift_rows",
        "drift_log_martingale",
        "drift_alarm",
        "log_prob_bucket",
    )

    async def work() -> None:
        served = Served()
        await served.score(30)
        await served.watch.settle()
        assert served.series("bijecta_p_value_count") == {("payments", "1"): 30}
        below = served.series("bijecta_p_value_bucket")
        assert below[("payments", "1", "0.005")] == 0
        assert below[("payments", "1", "0.01")] == 30
        assert served.series("bijecta_drift_rows") == {("payments", "1"): 30}
        assert served.series("bijecta_drift_alarm") == {("payments", "1"): 0}
        served.watching.unloaded(served.watch)
        assert all(not served.series(f"bijecta_{name}") for name in names)
        assert served.load(Manifest()) is served.watch  # loaded again
        assert served.series("bijecta_drift_rows") == {("payments", "1"): 30}
        assert served.load(Manifest(checksum="other")) is not served.watch
        assert served.series("bijecta_drift_rows") == {("payments", "1"): 0}

    run(work)


def test_a_model_without_a_calibration_has_a_histogram_of_log_prob_alone() -> None:
    async def work() -> None:
        served = Served()
        watch = served.load(Manifest("flow", calibration=None), None)
        await watch.saw_log_prob(np.zeros(3))
        assert served.series("bijecta_log_prob_bucket")["flow", "1", "+Inf"] == 3
        assert ("flow", "1") not in served.series("bijecta_drift_rows")
        assert not watch.tests_drift
        served.watching.unloaded(watch)

    run(work)


def test_an_alarm_is_said_once_and_lasts_until_the_watch_begins_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        served = Served()
        for seed in range(4):
            await served.score(300, shift=0.5, seed=seed)
        await served.watch.settle()
        assert served.series("bijecta_drift_alarm") == {("payments", "1"): 1}
        said = await served.watch.describe()
        assert (said["rows"], said["threshold"]) == (1200, 100)
        assert said["alarm"]["of"] == "score"
        assert said["alarm"]["values"] == "larger"
        assert 0 < said["alarm"]["rows"] < 600
        assert said["alarm"]["log_martingale"] >= said["log_threshold"]
        assert [each["of"] for each in said["martingales"]].count("column") == 2
        alarms = [r.getMessage() for r in caplog.records if "alarm" in r.getMessage()]
        assert len(alarms) == 1
        assert "scores have become larger after" in alarms[0]
        await served.watch.reset()
        assert served.series("bijecta_drift_alarm") == {("payments", "1"): 0}
        assert (await served.watch.describe())["rows"] == 0

    with caplog.at_level(logging.WARNING):
        run(work)


def test_times_run_on_without_an_alarm_and_other_columns_have_their_own_values() -> None:
    async def work() -> None:
        when = DatetimeColumn(name="when", missing=False, low=0, high=1)
        served = Served(manifest=Manifest(columns=[when, "amount", "age"]))
        random = np.random.default_rng(1)
        for start in range(0, 3000, 500):
            x = random.normal(size=(500, 3))
            x[:, 0], x[:, 1] = np.arange(start, start + 500), x[:, 1] + (start >= 1500)
            await served.watch.saw_scores(np.full(500, 0.5), random.normal(size=500), None, x)
        said = await served.watch.describe()
        assert said["alarm"]["column"] == "amount"
        assert said["alarm"]["rows"] > 1500
        assert {each["column"] for each in said["martingales"]} == {None, "amount", "age"}

    run(work)


def test_of_a_large_request_a_bounded_number_of_rows_is_tested() -> None:
    async def work() -> None:
        served = Served()
        await served.score(10 * MAX_REQUEST_ROWS + 1)
        await served.taken()
        tested = served.series("bijecta_drift_rows")["payments", "1"]
        assert 0.9 * MAX_REQUEST_ROWS <= tested <= MAX_REQUEST_ROWS
        assert served.series("bijecta_p_value_count")["payments", "1"] == 10 * MAX_REQUEST_ROWS + 1

    run(work)


def test_the_test_of_drift_takes_its_share_of_a_core_and_all_rows_after_a_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = [0.0, 0.0]  # of the clock, and of the thread's work
    clock = SimpleNamespace(monotonic=lambda: seconds[0], thread_time=lambda: seconds[1])
    monkeypatch.setattr("service.watching.watch.time", clock)
    take = DriftTest.take

    def slow(drift: DriftTest, rows: Rows, now: float) -> None:
        seconds[1] += 0.01 * len(rows.scores)
        take(drift, rows, now)

    monkeypatch.setattr(DriftTest, "take", slow)

    async def work() -> None:
        served = Served()
        for _ in range(4):
            seconds[0] += 10
            await served.score(ROWS_AT_ONCE)
            await served.taken()
        # two seconds at once and half a second every ten, in requests of 2.56 seconds of work
        assert served.series("bijecta_drift_rows") == {("payments", "1"): 2 * ROWS_AT_ONCE}
        assert served.series("bijecta_p_value_count") == {("payments", "1"): 4 * ROWS_AT_ONCE}
        seconds[0] += 3600
        await served.score(ROWS_AT_ONCE)
        await served.taken()
        assert served.series("bijecta_drift_rows") == {("payments", "1"): 3 * ROWS_AT_ONCE}

    run(work)


def test_the_test_of_drift_works_in_a_thread_and_not_for_each_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workers: list[threading.Thread] = []
    take = DriftTest.take

    def noted(self: DriftTest, rows: Any, now: float) -> None:
        workers.append(threading.current_thread())
        take(self, rows, now)

    monkeypatch.setattr(DriftTest, "take", noted)

    async def work() -> None:
        served = Served()
        for _ in range(ROWS_AT_ONCE - 1):
            await served.score(1)
        assert not workers
        await served.score(1)
        await served.taken()
        assert len(workers) == 1
        assert threading.main_thread() not in workers
        await asyncio.gather(*[served.score(2000, seed=i) for i in range(5)])
        said = await served.watch.describe()
        assert said["rows"] == ROWS_AT_ONCE + 5 * 1000

    run(work)


def test_no_answer_waits_for_the_test_of_drift_and_few_rows_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    goes_on = threading.Event()
    taken: list[int] = []

    def wait(_: DriftTest, rows: Rows, now: float) -> None:
        goes_on.wait(20)
        taken.append(len(rows.scores))

    monkeypatch.setattr(DriftTest, "take", wait)

    async def work() -> None:
        served = Served()
        await served.score(ROWS_AT_ONCE)
        await asyncio.sleep(0)  # the test begins
        for _ in range(2 * MAX_WAITING_ROWS // MAX_REQUEST_ROWS):
            await asyncio.wait_for(served.score(MAX_REQUEST_ROWS), 10)
        goes_on.set()
        await served.taken()
        await served.watch.settle()
        assert taken == [ROWS_AT_ONCE, MAX_WAITING_ROWS]

    run(work)


@pytest.mark.parametrize("rows", [10, 3 * MAX_REQUEST_ROWS])
def test_rows_that_wait_keep_no_request_in_memory(rows: int) -> None:
    async def work() -> None:
        by_class = Calibration.of(np.arange(1000.0), np.repeat([0.0, 1.0], 500))
        served = Served()
        watch = served.load(Manifest(version=3), by_class)
        of_request = np.ones(rows), np.zeros(rows), np.zeros(rows), np.zeros((rows, 2))
        freed = [weakref.ref(array) for array in of_request]
        watch._taking = asyncio.create_task(asyncio.sleep(20))  # the test is at other rows
        await watch.saw_scores(*of_request)
        del of_request
        assert [array() for array in freed] == [None] * 4
        assert watch._waiting_rows == min(rows, MAX_REQUEST_ROWS)

    run(work)


def test_rows_that_wait_are_taken_though_their_version_is_unloaded(tmp_path: Path) -> None:
    async def work() -> None:
        served = Served(tmp_path)
        await served.score(3)
        served.watching.unloaded(served.watch)
        await served.watching.save()
        assert not served.watch._waiting
        served.load(Manifest())
        assert served.series("bijecta_drift_rows") == {("payments", "1"): 3}

    run(work)


def test_numbers_of_arrays_are_watched_by_the_score_alone() -> None:
    async def work() -> None:
        served = Served()
        watch = served.load(Manifest(version=4, columns=None, dimensions=4))
        await watch.saw_scores(np.ones(3), np.arange(3.0), None, np.zeros((3, 2, 2)))
        said = await watch.describe()
        assert said["rows"] == 3
        assert [each["of"] for each in said["martingales"]] == ["score"]

    run(work)


def test_a_state_survives_a_restart(tmp_path: Path) -> None:
    async def work() -> None:
        first = Served(tmp_path)
        await first.score(1100, shift=0.5)
        await first.score(20)
        said = await first.watch.describe()
        assert said["alarm"]
        await first.watching.close()
        second = Served(tmp_path)
        assert await second.watch.describe() == said
        assert second.series("bijecta_drift_alarm") == {("payments", "1"): 1}
        third = Served(tmp_path)  # another process beside it
        assert (await third.watch.describe())["rows"] == 0
        other = second.load(Manifest(version=2, checksum="of another version"))
        assert (await other.describe())["rows"] == 0
        await second.watching.close()

    run(work)


@pytest.mark.parametrize("why", ["damaged", "another bundle"])
def test_a_state_that_is_not_the_bundle_s_is_refused_and_said(
    tmp_path: Path, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        first = Served(tmp_path)
        await first.score(100)
        await first.watching.close()
        manifest = Manifest()
        path = tmp_path / "process-0" / "payments.1"
        if why == "damaged":
            path.write_bytes(path.read_bytes()[:-1])
        else:
            manifest.checksum = "other"
        second = Served(tmp_path, manifest)
        assert (await second.watch.describe())["rows"] == 0
        said = [r.getMessage() for r in caplog.records if "is refused" in r.getMessage()]
        assert len(said) == 1
        assert why in said[0]
        await second.score(10)
        await second.watching.close()
        again = Served(tmp_path, manifest)
        assert (await again.watch.describe())["rows"] == 10

    with caplog.at_level(logging.WARNING):
        run(work)


def test_a_state_that_cannot_be_written_is_said_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    async def work() -> None:
        served = Served(tmp_path)
        await served.score(10)
        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", fail)
            await served.watching.save()
        assert "No space left on device" in caplog.text
        await served.watching.close()
        assert (await Served(tmp_path).watch.describe())["rows"] == 10

    run(work)


async def leave_a_save(served: Served, begun: threading.Event) -> None:
    """Cancel a save once its thread writes, as the server does at its stop; the thread goes on."""
    await served.score(10)
    save = asyncio.create_task(served.watching.save())
    assert await asyncio.to_thread(begun.wait, 20)
    save.cancel()


def test_states_are_written_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on = threading.Event(), threading.Event()
    order: list[str] = []
    write = StateFolder.write

    def slow(folder: StateFolder, name: str, version: int, kept: Kept) -> None:
        order.append("write")
        begun.set()
        goes_on.wait(20)
        write(folder, name, version, kept)
        order.append("written")

    monkeypatch.setattr(StateFolder, "write", slow)
    monkeypatch.setattr(StateFolder, "close", lambda _: order.append("close"))

    async def work() -> None:
        served = Served(tmp_path)
        await leave_a_save(served, begun)
        await served.score(10)
        last = asyncio.create_task(served.watching.close())
        await asyncio.sleep(0.02)
        assert order == ["write"]
        goes_on.set()
        await last
        assert order == [*["write", "written"] * 2, "close"]

    run(work)


def test_a_folder_is_left_when_its_last_state_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()
    order: list[str] = []

    def slow(*_: Any) -> None:
        begun.set()
        time.sleep(0.02)
        order.append("written")

    monkeypatch.setattr(StateFolder, "write", slow)
    monkeypatch.setattr(StateFolder, "close", lambda _: order.append("close"))

    async def work() -> None:
        served = Served(tmp_path)
        await leave_a_save(served, begun)
        await served.watching.close()  # nothing has changed since
        assert order == ["written", "close"]

    run(work)


def test_a_class_column_reaches_the_test() -> None:
    async def work() -> None:
        served = Served()
        by_class = Calibration.of(np.arange(1000.0), np.repeat([0.0, 1.0], 500))
        watch = served.load(Manifest(version=3, columns=None), by_class)
        classes: Float64 = np.array([0.0, 1.0, 5.0])
        await watch.saw_scores(np.ones(3), np.arange(3.0), classes, np.zeros((3, 1, 2)))
        assert (await watch.describe())["rows"] == 3

    run(work)


def test_by_the_hour_rows_wait_for_its_end_and_a_restart_goes_on_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, hour = np.random.default_rng(0), 3600.0
    when = DatetimeColumn(name="when", low=0, high=1, features=["hour"])
    manifest: Any = Manifest(version=2, columns=["amount", when])
    times = hour * (24.0 * np.repeat(np.arange(10), 40) + np.tile([8.0, 9.5], 200))
    values = random.normal(size=(400, 2))
    hours = hour_classes(1, times, None, values, random)
    assert hours is not None

    async def score(watch: Watch, rows: int, time: float) -> None:
        x = np.column_stack([random.normal(size=rows), np.full(rows, time)])
        await watch.saw_scores(np.full(rows, 0.5), random.normal(size=rows), None, x)

    def load(served: Served) -> Watch:
        watch = served.watching.watch_of(manifest, CALIBRATION, None, hours)
        served.watching.loaded(watch)
        return watch

    async def work() -> None:
        first = Served(tmp_path)
        watch = load(first)
        await score(watch, 10, 8.2 * hour)
        await score(watch, 10, 9.2 * hour)
        said = await watch.describe()
        assert (said["rows"], said["waiting_rows"]) == (0, 20)
        await score(watch, 10, 32.2 * hour)
        said = await watch.describe()
        assert (said["rows"], said["waiting_rows"]) == (10, 20)
        assert {each["column"] for each in said["martingales"]} == {None, "amount"}
        await first.watching.close()
        second = load(Served(tmp_path))
        assert (await second.describe())["rows"] == 10
        await score(second, 5, 8.2 * hour)
        await second.settle()
        later = time.monotonic() + 400
        clock = SimpleNamespace(monotonic=lambda: later, thread_time=time.thread_time)
        monkeypatch.setattr("service.watching.watch.time", clock)
        said = await second.describe()
        assert (said["rows"], said["waiting_rows"]) == (15, 0)

    run(work)

"""Everything one running server owns, and its state between start and end."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from service.bundle import KeyFileError, TrustedKeys
from service.errors import ForbiddenError
from service.group import Group
from service.inflight import BodyLimits
from service.log import Log
from service.metrics import GpuGauges, ServerState
from service.open_inference import ModelRepository
from service.operations import CheckedRuns, Operations
from service.processes import WorkerProcess
from service.remote import AddressError, Follower, parse
from service.runtime import Device, cpu_grant, granted_cpus
from service.security import Keyring, TlsFiles
from service.settings import Settings, SettingsError, by_model, settings_key, share_of
from service.store import Loader, Store
from service.store_polling import StorePolling
from service.telemetry import RequestLog, Telemetry, traces_of
from service.watching import Watching
from service.work_threads import WorkThreads

log = logging.getLogger(__name__)

STANDARD_OUTPUT = 1

# Of the work on large requests; more would take the CPUs from the graphs.
MAX_WORK_THREADS = 4


class Server:
    """The owner of a server's store, operations, metrics and memory for requests.

    Args:
        settings: of this server.
        log: of this process, where it writes one.
        worker: which of several processes this one is; None where it is the only one.

    Raises:
        DeviceError: the device asked for cannot be used here.
        KeysError: the file of keys cannot be read.
        SettingsError: a file of settings makes no sense, or those of a certificate do not.
    """

    def __init__(
        self, settings: Settings, log: Log | None = None, worker: WorkerProcess | None = None
    ) -> None:
        self.settings = share = settings if worker is None else share_of(settings)
        self.group = Group(worker)
        """The other workers."""
        self.metrics = self.group.metrics()
        request_log = None
        if settings.request_log:
            where = STANDARD_OUTPUT, self.metrics.request_lines, self.group.size > 1
            request_log = RequestLog(*where)
        traces = traces_of(settings, self.metrics.spans)
        self.telemetry = Telemetry(self.metrics, request_log, traces)
        self._log = log
        if log is not None:
            log.observe = self.metrics.logged
        self.control_port = settings.control_port
        """The port of model control, where it has one of its own."""
        self.draining = False
        """Whether it is about to stop, and answers the callers that still come."""
        model_settings = by_model(settings)
        keys, rates = settings.keys, self.group.rates()
        self.keyring = None if keys is None else Keyring(keys, rates=rates)
        """The keys that callers need; None where they need none."""
        certificate, key = settings.tls_certificate, settings.tls_key
        self.tls = None if certificate is None or key is None else TlsFiles(certificate, key)
        """What it shows callers that connect by TLS; None where they do not."""
        cpus = granted_cpus() // self.group.size
        self.threads = WorkThreads(max(2, min(cpus, MAX_WORK_THREADS)))
        watch_folder = settings.watch_folder if settings.watch else None
        args = settings.watch_threshold, watch_folder, self.group.size
        self.watching = Watching(self.metrics, self.threads, *args)
        device = Device.choose(settings.device, self.group.size)
        self._say_threads(device.runs(settings.threads))
        loader = Loader(
            device,
            lambda name: model_settings.get(settings_key(name), settings),
            self.metrics,
            self.watching if settings.watch else None,
            self._trusted_keys(),
            settings.max_bundle_mib * 2**20,
        )
        self.follower = self._follower(None if worker is None else worker.spare_folder)
        self.store = Store(
            Path(settings.store) if self.follower is None else self.follower.folder,
            loader,
            settings.default_model,
            share.max_models,
            settings.load_seconds,
            self.group.unloaded,
        )
        self.repository = ModelRepository(self.store, self.group)
        """Its models in the words of the Open Inference Protocol."""
        runs = CheckedRuns(settings.max_rows, self.metrics, self.threads)
        self.operations = Operations(settings.max_sample_rows, runs)
        self.inflight = self.group.inflight(settings.max_inflight)
        self.metrics.inflight_bytes.set_function(lambda: self.inflight.held)
        state = ServerState(
            settings,
            lambda: self.ready,
            lambda: self.store.states,
            lambda: sum(model.size for model in self.store.models),
            lambda: None if self.tls is None else self.tls.expiry,
        )
        self.metrics.registry.register(state)
        if device.kind == "cuda" and (gpus := GpuGauges.begin()) is not None:
            self.metrics.registry.register(gpus)
        self.body_limits = BodyLimits(
            settings.max_body,
            settings.max_json_mib * 2**20,
            settings.max_json_values,
            settings.max_rows,
            settings.max_sample_rows,
        )
        self.polling = StorePolling(
            self.settings, model_settings.keys(), self.store, self.follower, self.group
        )
        """When the store is looked through, and what is waited for until a model can answer."""
        self.check_started = self.polling.check_started
        """Checks that the models are loaded."""
        statistics = self.repository.own_statistics
        self.group.begin(
            self.store,
            self.metrics,
            self.watching,
            statistics,
            self.polling.changed,
            None if self.follower is None else self.follower.look,
        )

    def _trusted_keys(self) -> TrustedKeys | None:
        """The keys that bundles have to be signed with."""
        if (path := self.settings.trusted_keys) is None:
            return None
        try:
            return TrustedKeys(path)
        except KeyFileError as error:
            raise SettingsError(
                f"trusted_keys: {error} (--trusted-keys, BIJECTA_TRUSTED_KEYS)"
            ) from None

    def _follower(self, spare: Path | None) -> Follower | None:
        """What keeps a folder like the store, where that is elsewhere."""
        settings, text = self.settings, str(self.settings.store)
        try:
            if (address := parse(text)) is not None:
                args = text, settings.cache, settings.poll_seconds, self.metrics
                return Follower(address, *args, spare)
        except AddressError as error:
            raise SettingsError(f"store: {error} (--store, BIJECTA_STORE)") from None
        if settings.cache is not None:
            raise SettingsError("cache: a store that is a folder has none (--cache, BIJECTA_CACHE)")
        return None

    def _say_threads(self, threads: int) -> None:
        """State in the log and the metrics how many CPUs there are, and threads of a model."""
        cpus, reason = cpu_grant()
        self.metrics.granted_cpus.set(cpus)
        self.metrics.threads.set(threads)
        log.info("CPUs: %d (%s); threads a model: %d", cpus, reason, threads)

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here."""
        return not self.not_ready

    @property
    def not_ready(self) -> str:
        """Why requests should not be sent here; empty where they should.

        Who asks may be answered by any worker that takes connections: they all have to be ready.
        """
        own = self.own_not_ready
        return own or ("" if self.group.others_are_ready else "another worker is not ready")

    @property
    def own_not_ready(self) -> str:
        """Why requests should not be sent to this process; empty where they should."""
        if self.draining:
            return "the server is about to stop"
        if self.polling.waits_for:
            return self.polling.waits_for
        sick = sorted({m.manifest.name for m in self.store.models if not m.engine.healthy})
        return f"{', '.join(sick)}: the device has failed, the log says how" if sick else ""

    def check_control(self, port: int | None) -> None:
        """Check that models may be loaded and unloaded by a request.

        Args:
            port: of this server, on which it came.

        Raises:
            ForbiddenError: they may not be, or not there.
        """
        if self.control_port is None and not self.settings.model_control:
            raise ForbiddenError("loading by request is off; --model-control allows it")
        if self.control_port is not None and port != self.control_port:
            raise ForbiddenError("models are loaded and unloaded on a port of its own")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the store and watch its folder in a task; close every model at the end."""
        works = self.polling.keep(), self._say_counts(), self.watching.keep(), self.group.keep()
        tasks = [asyncio.create_task(work) for work in works]
        if self.follower is not None:
            tasks.append(asyncio.create_task(self.follower.keep()))
        if self.keyring is not None:
            keep = self.keyring.keep(self.threads.in_thread, self.metrics.keys_readable.set)
            tasks.append(asyncio.create_task(keep))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await self.watching.close()
            self.store.close()
            await asyncio.to_thread(self.telemetry.close)
            self.threads.close()
            self.inflight.close()

    async def _say_counts(self) -> None:
        """Write what the log has counted, once in a while."""
        while self._log is not None and self.settings.log_repeat_seconds:
            await asyncio.sleep(max(1.0, self.settings.log_repeat_seconds / 4))
            self._log.say_counts()

"""What a server has of a store elsewhere: a folder, and a process that keeps it like the store.

A process rather than a thread: listing thousands of files takes seconds of the interpreter, which
requests would wait for, and whatever hangs in a library of a store is ended from outside.
"""

import asyncio
import json
import logging
import shutil
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.bundle import printable
from service.remote.address import Address
from service.remote.cache import TEMPORARY, CacheLock, cache_folder
from service.store_folder import in_daemon_thread

if TYPE_CHECKING:
    from service.metrics import Metrics  # the process that this starts needs none

log = logging.getLogger(__name__)

# A process that writes nothing for so long hangs; it writes something every five seconds.
STALL_SECONDS = 60.0
# How long the start waits until something is known of the store; then it goes on without.
FIRST_SECONDS = 30.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
# How often a server that does not poll sees whether another one still keeps its cache.
WAIT_SECONDS = 5.0


class Follower:
    """A folder that follows a store elsewhere.

    Args:
        address: of the store.
        text: the address as it was given.
        cache: folder of all such folders; None for the usual one.
        every: seconds between two looks; 0 for none after the first that found anything.
        metrics: are told what is held, refused and fetched.
        spare: folder in place of a temporary one, which whoever made it removes.

    Attributes:
        changed: set when the folder has become another.
        failure: why the store cannot be read now, or empty.
        lasts: whether that passes by itself no more.

    Raises:
        AddressError: there is no folder that can be written to.
    """

    def __init__(
        self,
        address: Address,
        text: str,
        cache: Path | None,
        every: float,
        metrics: "Metrics",
        spare: Path | None = None,
    ) -> None:
        self.address = address
        self._text = text
        self._cache = cache_folder(address, cache, spare)
        self._is_temporary = self._cache.name.startswith(TEMPORARY)
        self._every = every
        self._metrics = metrics
        self._process: Process | None = None
        self._known = asyncio.Event()
        self._looked = asyncio.Event()
        self._wanted = asyncio.Event()
        self.changed = asyncio.Event()
        self.failure = ""
        self.lasts = False
        self.folder.mkdir(exist_ok=True)

    @property
    def folder(self) -> Path:
        """The folder of the store, as it was last fetched."""
        return self._cache / "store"

    @property
    def is_empty(self) -> bool:
        """Whether nothing has ever been fetched."""
        return not any(self.folder.iterdir())

    async def begin(self) -> None:
        """Wait until a version is there, or it is known why none is, or for half a minute."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await self._known.wait()

    async def look(self) -> None:
        """Have the store looked at now; returns when that is done, or has failed."""
        self._looked.clear()
        self._wanted.set()
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.write(b"\n")
        await self._looked.wait()

    async def keep(self) -> None:
        """Keep the folder like the store, until this is cancelled."""
        pause, lock = FIRST_PAUSE, CacheLock(self._cache)
        try:
            while True:
                self._wanted.clear()
                is_done = await self._run(lock)
                lock.release()
                if is_done:
                    await self._wanted.wait()  # it has been looked at, once
                    pause = FIRST_PAUSE
                else:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            lock.release()
            if self._is_temporary:
                shutil.rmtree(self._cache, ignore_errors=True)

    async def _take_over(self, lock: CacheLock) -> None:
        """Wait until no other process keeps the folder; then it is for this one to do so.

        Raises:
            OSError: the cache cannot be written to.
        """
        is_said = False
        # a file system that has gone may answer never
        while not await asyncio.wrap_future(in_daemon_thread("cache-lock", lock.take)):
            if not is_said:
                log.info("another process keeps %s like %s", self._cache, self.address)
                is_said = True
            self._take("waiting", {})
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every or WAIT_SECONDS):
                    await self._wanted.wait()
            self._wanted.clear()

    async def _run(self, lock: CacheLock) -> bool:
        """Run the process to its end, in its turn; returns whether it has done all it was to do."""
        command = (sys.executable, "-m", "service.remote")
        try:
            await self._take_over(lock)
            self._process = process = await asyncio.create_subprocess_exec(
                *command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=STDOUT,
                start_new_session=True,
                pass_fds=(lock.descriptor,),  # held until it has ended, whoever ends first
            )
        except OSError as error:
            self._fail(f"what reads it cannot be started: {error.strerror}", lasts=False)
            return False
        try:
            await self._listen(process)
            code = await process.wait()
        except TimeoutError:
            code = -1
            self._fail(f"it does not answer for {STALL_SECONDS:g} s", lasts=False)
        except (LookupError, TypeError, ValueError, OSError) as error:
            code = -1
            self._fail(f"what reads it writes nonsense: {type(error).__name__}", lasts=False)
        finally:
            await self._end(process)
        if code > 0:
            self._fail(f"what reads it ended with code {code}", lasts=False)
        return code == 0

    async def _listen(self, process: Process) -> None:
        """Take note of all that the process says.

        Raises:
            TimeoutError: it says nothing any more.
            Exception: it does not say what it should.
        """
        assert process.stdin is not None
        assert process.stdout is not None
        asked = {"address": self._text, "cache": str(self._cache), "every": self._every}
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        while True:
            async with asyncio.timeout(STALL_SECONDS):
                line = await process.stdout.readline()
            if not line:
                return
            if not line.startswith(b"{"):  # of a library, or a traceback
                said = self.address.masked(printable(line.decode(errors="replace").rstrip()))
                log.error("%s: %s", self.address, said)
                continue
            said = json.loads(line)
            self._take(said["event"], said)

    def _take(self, event: str, said: dict[str, Any]) -> None:
        """Take note of what has happened."""
        where, states = said.get("where", ""), self._metrics.remote_versions
        if event == "took":
            self._metrics.remote_bytes.inc(said["bytes"])
            # whoever writes versions without end writes no log without end
            kind = {"kind": ("took", where.partition("/")[0])}
            log.info("took %s, %d bytes, %.2f s", where, said["bytes"], said["seconds"], extra=kind)
        elif event == "removed":
            log.info("%s is no longer in %s", where, self.address)
        elif event == "refused":
            log.error("did not take %s of %s: %s", where, self.address, said["reason"])
        elif event == "failed":
            states.labels("held").set(said["held"])
            self._fail(said["reason"], said["lasts"])
        elif event == "looked":
            states.labels("held").set(said["held"])
            states.labels("refused").set(said["refused"])
            self._metrics.remote_readable.set(1)
            if self.failure:
                log.info("%s can be read again", self.address)
            self.failure, self.lasts = "", False
        if event in ("took", "removed", "looked", "waiting"):
            self.changed.set()
        if event in ("took", "failed", "looked", "waiting"):
            self._known.set()
        if event in ("failed", "looked", "waiting"):
            self._looked.set()

    def _fail(self, reason: str, lasts: bool) -> None:
        self._metrics.remote_readable.set(0)
        if reason != self.failure:
            log.error("%s: %s; what was taken stays", self.address, reason)
        self.failure, self.lasts = reason, lasts
        self._known.set()
        self._looked.set()

    async def _end(self, process: Process) -> None:
        """End the process, which has nothing to lose."""
        self._process = None
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        await process.wait()
        if process.stdin is not None:
            process.stdin.close()
            with suppress(OSError):
                await process.stdin.wait_closed()

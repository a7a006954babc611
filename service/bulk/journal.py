"""What a run has done so far, beside its output, so that one that was killed can go on.

OUT.unfinished/job.json     what the run is: its inputs, its bundle, its options
OUT.unfinished/0.arrow …    scored rows, in their order, each with the place behind them

Each file is written under another name, and is there whole or not at all.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from numpy.typing import NDArray

from service.bulk.pieces import BulkError, Place, Skipped
from service.bulk.unfamiliar import Found

JOB = "job.json"
REMARK = b"bijecta"


class Journal:
    """The folder of an unfinished run; one process at a time has it.

    Args:
        folder: OUT.unfinished.
        job: what tells this run from others; JSON.
        restart: whether another run's work is thrown away.

    Attributes:
        file, place: behind all rows that are done.
        rows: how many they are.
        schema: of the output, a `pyarrow.Schema`; None before there is a part.

    Raises:
        BulkError: it is of another run, or another process is at it.
        OSError: it cannot be written.
    """

    def __init__(self, folder: Path, job: dict[str, Any], restart: bool) -> None:
        self.folder = folder
        self.file, self.place, self.rows = 0, Place(), 0
        self.schema: Any = None
        self._parts = 0
        folder.mkdir(exist_ok=True)
        self._lock = (folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BulkError(f"{folder}: another process is at this run") from None
        path = folder / JOB
        if path.exists() and not restart:
            before = json.loads(path.read_text())
            if different := [key for key in job if before.get(key) != job[key]]:
                raise BulkError(
                    f"{folder} is of a run with other {', '.join(different)}: --restart throws "
                    "its work away"
                )
            self._resume()
            return
        for old in folder.glob("*.arrow"):
            old.unlink()
        write_whole(path, lambda file: file.write(json.dumps(job, indent=2).encode()))

    def _resume(self) -> None:
        while self._path(self._parts).exists():
            self._parts += 1
        if self._parts:
            with pa.OSFile(str(self._path(self._parts - 1))) as file:
                self.schema = pa.ipc.open_file(file).schema.remove_metadata()
            said = self._said(self._parts - 1)
            self.file, self.place, self.rows = said["file"], said["place"], said["rows"]

    def add(
        self, table: Any, skipped: list[Skipped], found: list[Found], file: int, place: Place
    ) -> None:
        """Keep scored rows, what is said of them and of those among them that were skipped.

        Args:
            table: of the rows.
            skipped: the others.
            found: what they hold that the data had not.
            file, place: behind them.
        """
        self.rows += table.num_rows
        self.schema = table.schema
        said = {"file": file, "place": place, "rows": self.rows, "skipped": skipped, "found": found}
        marked = table.replace_schema_metadata({REMARK: json.dumps(said)})

        def write(file: BinaryIO) -> None:
            with pa.ipc.new_file(file, marked.schema) as writer:
                writer.write_table(marked)

        write_whole(self._path(self._parts), write)
        self._parts += 1

    def tables(self) -> Iterator[Any]:
        """All rows, in their order."""
        for i in range(self._parts):
            with pa.OSFile(str(self._path(i))) as file:
                table = pa.ipc.open_file(file).read_all()
            yield table.replace_schema_metadata(None)

    def column(self, name: str) -> Iterator[NDArray[Any]]:
        """The values of a column of all rows, in their order."""
        for i in range(self._parts):
            wanted = pa.ipc.IpcReadOptions(included_fields=[self.schema.get_field_index(name)])
            with pa.OSFile(str(self._path(i))) as file:
                yield pa.ipc.open_file(file, options=wanted).read_all()[name].to_numpy()

    def skipped(self) -> Iterator[Skipped]:
        """All rows that were skipped, in their order."""
        for i in range(self._parts):
            for each in self._said(i)["skipped"]:
                yield Skipped(*each)

    def found(self) -> Iterator[Found]:
        """What all rows hold that the data had not, piece by piece."""
        for i in range(self._parts):
            for each in self._said(i)["found"]:
                yield Found(*each)

    def remove(self) -> None:
        """Throw the folder away."""
        shutil.rmtree(self.folder)
        self._lock.close()

    def close(self) -> None:
        """Let another process have the folder, if there is anything in it."""
        if self._parts:
            self._lock.close()
        elif not self._lock.closed:
            self.remove()

    def _path(self, part: int) -> Path:
        return self.folder / f"{part}.arrow"

    def _said(self, part: int) -> dict[str, Any]:
        with pa.OSFile(str(self._path(part))) as file:
            said: dict[str, Any] = json.loads(pa.ipc.open_file(file).schema.metadata[REMARK])
        return said


def write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file that is there whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)

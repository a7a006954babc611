"""How many rows a run of a graph may have, by the memory that each takes."""

import math

from service.runtime.devices import Device

# Beyond, others wait longer for no gain: on a CPU one thread does 5,400 rows a second of a 43-D
# flow one by one, 20,500 in batches of 8, 23,600 of 32 and 26,800 of 128; only larger ones keep a
# GPU busy.
MAX_ROWS = {"cpu": 256, "cuda": 4096}
# Rows are enough where a run takes, beside what each row does, no more than this part of that. What
# lies in the caches is fast: mnist-wavenet encodes one row in 28 ms, and 16 at once in 36 ms each;
# it decodes one in 470 ms, as each of its many steps takes as long for 16 rows, in 103 ms each.
LITTLE = 0.03
# Milliseconds that the engine takes around a run: threads are woken, rows joined and handed back.
HANDLING_MS = 0.3
MIN_ENOUGH_ROWS = 2
# MiB that the batches of a graph take, all threads together. In float64 mnist-wavenet takes 16 MB a
# row to encode and 12 to decode: its server has 500 MB beside its files for both, and for itself.
MAX_MIB = {"cpu": 224, "cuda": 4096}
# Bytes a row from which onnxruntime plans no memory ahead. A plan spares small graphs time, and
# costs a second copy of all that a batch takes.
HEAVY_ROW_BYTES = 2**16


def batch_rows(
    row_bytes: int,
    device: Device,
    threads: int,
    rows: int | None = None,
    mib: int | None = None,
    enough: int | None = None,
) -> int:
    """Rows of a run, at most.

    Args:
        row_bytes: memory of a run for each row; 0 where nothing is known.
        device: where it runs.
        threads: runs at a time, of a CPU; each GPU has one.
        rows, mib: limits in place of `MAX_ROWS` and `MAX_MIB`.
        enough: see `enough_rows`; None where nothing is known.
    """
    most = rows or MAX_ROWS[device.kind]
    if enough is not None and rows is None:
        most = min(most, enough)
    if row_bytes:
        runs = threads if device.kind == "cpu" else 1
        budget = (mib or MAX_MIB[device.kind]) * 2**20 // device.processes
        fitting = max(1, budget // (runs * row_bytes))
        # a GPU's batches are rounded up to a power of two
        most = min(most, fitting if device.kind == "cpu" else 1 << (fitting.bit_length() - 1))
    return most


def enough_rows(single_ms: float, rows_ms: float, rows: int) -> int:
    """Rows of a run beyond which more of them make each hardly faster.

    What a run takes whatever its rows are, such as that of the many small operators of a stepwise
    decode, is shared by its rows.

    Args:
        single_ms, rows_ms: time of a run of one row, and of so many.
        rows: how many, at least 2.
    """
    of_row = (rows_ms - single_ms) / (rows - 1)
    of_run = HANDLING_MS + max(0.0, single_ms - of_row)
    most = max(MAX_ROWS.values())
    if of_run >= most * LITTLE * of_row:
        return most
    return max(MIN_ENOUGH_ROWS, math.ceil(of_run / (LITTLE * of_row)))


def plans_memory(row_bytes: int) -> bool:
    """Whether a session of a graph takes the memory of a run at once: see `Device.session`."""
    return row_bytes < HEAVY_ROW_BYTES

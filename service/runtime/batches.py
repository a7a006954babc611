"""How many rows a run of a graph may have, by the memory that each takes."""

from service.runtime.devices import Device

# Beyond, others wait longer for no gain: on a CPU one thread does 5,400 rows a second of a 43-D
# flow one by one, 20,500 in batches of 8, 23,600 of 32 and 26,800 of 128; only larger ones keep a
# GPU busy.
MAX_ROWS = {"cpu": 256, "cuda": 4096}
# MiB that the batches of a graph take, all threads together: graphs of megabytes a row run as fast
# on a CPU in batches of 16 rows as of 256.
MAX_MIB = {"cpu": 256, "cuda": 4096}
# Bytes a row from which onnxruntime plans no memory ahead. A plan spares small graphs time, and
# costs a second copy of all that a batch takes.
HEAVY_ROW_BYTES = 2**16


def batch_rows(
    row_bytes: int, device: Device, threads: int, rows: int | None = None, mib: int | None = None
) -> int:
    """Rows of a run, at most.

    Args:
        row_bytes: memory of a run for each row; 0 where nothing is known.
        device: where it runs.
        threads: runs at a time, of a CPU; each GPU has one.
        rows, mib: limits in place of `MAX_ROWS` and `MAX_MIB`.
    """
    most = rows or MAX_ROWS[device.kind]
    if row_bytes:
        runs = threads if device.kind == "cpu" else 1
        fitting = max(1, (mib or MAX_MIB[device.kind]) * 2**20 // (runs * row_bytes))
        # a GPU's batches are rounded up to a power of two
        most = min(most, fitting if device.kind == "cpu" else 1 << (fitting.bit_length() - 1))
    return most


def plans_memory(row_bytes: int) -> bool:
    """Whether a session of a graph takes the memory of a run at once: see `Device.session`."""
    return row_bytes < HEAVY_ROW_BYTES

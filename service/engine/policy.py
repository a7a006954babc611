"""Every tuned constant of the scheduler."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SchedulerPolicy:
    """What the scheduler's decisions are tuned by.

    Args:
        cpu_batch_rows: rows of a batch on a CPU, at most, where the settings name no number. One
            thread does 5,400 rows a second of a 43-D flow one by one, 20,500 in batches of 8,
            23,600 of 32 and 26,800 of 128: beyond 256 others wait longer for no gain.
        cuda_batch_rows: the same on a GPU, which only larger batches keep busy.
        cpu_batch_mib: MiB that the batches of a graph take on a CPU, all threads together, where
            the settings name no number: graphs of megabytes a row run as fast in batches of 16 rows
            as of 256.
        cuda_batch_mib: the same on a GPU.
        heavy_row_bytes: bytes a row from which onnxruntime plans no memory ahead. A plan spares
            small graphs time, and costs a second copy of all that a batch takes.
        speed_smoothing: weight, 0 to 1, of the newest batch in the estimates of speed. The five
            newest have two thirds of the weight, so that one slow batch changes little.
        divisible_seconds: seconds of work up to which one thread does it: two would spend
            milliseconds on waiting for the interpreter's lock beside a busy loop.
        divisible_rows: rows below which a batch is not divided between threads: batches of 8 run
            at three quarters of the largest's rows a second, smaller ones do not.
        loop_seconds: seconds of work up to which it runs on the event loop where nothing else
            runs. To wake a thread and be woken by it takes 12 µs (median) where the loop is idle,
            but 8 ms where the loop's turns take 1 ms, as the thread has to wait for the
            interpreter's lock; to wait for the loop's next turn takes 1 µs.
        loop_jobs: jobs up to which work runs on the event loop; more are a burst, and the loop
            should read the rest of it.
        busy_loop_share: share of a CPU above which the loop counts as busy. A busy loop has a CPU
            to itself until a full batch waits: a third more requests a second at 784-D on two CPUs.
        loop_turn_seconds: seconds of a batch up to which a busy loop hardly waits for it: a loop's
            own turn may take as long.
        loop_share_window: seconds over which the loop's share is measured.
    """

    cpu_batch_rows: int = 256
    cuda_batch_rows: int = 4096
    cpu_batch_mib: int = 256
    cuda_batch_mib: int = 4096
    heavy_row_bytes: int = 2**16
    speed_smoothing: float = 0.2
    divisible_seconds: float = 0.002
    divisible_rows: int = 8
    loop_seconds: float = 0.0005
    loop_jobs: int = 4
    busy_loop_share: float = 0.3
    loop_turn_seconds: float = 0.004
    loop_share_window: float = 0.05

"""Every tuned constant of the scheduler."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SchedulerPolicy:
    """What the scheduler's decisions are tuned by.

    Args:
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

    speed_smoothing: float = 0.2
    divisible_seconds: float = 0.002
    divisible_rows: int = 8
    loop_seconds: float = 0.0005
    loop_jobs: int = 4
    busy_loop_share: float = 0.3
    loop_turn_seconds: float = 0.004
    loop_share_window: float = 0.05


GPU_POLICY = SchedulerPolicy(
    # a GPU that has run a batch needs the next one at once: while it runs, a second thread puts
    # that together, whatever it waits for the interpreter's lock
    divisible_seconds=0.0005,
    # a batch costs a GPU about as much as one of twice its rows
    divisible_rows=2**31,
    # the loop would wait for the GPU, and have CUDA graphs of its own
    loop_jobs=0,
)
"""Of models that run on GPUs. Nothing here has been measured on one."""

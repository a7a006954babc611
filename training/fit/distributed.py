"""Processes that train one flow together, as `torchrun` starts them; one process without it."""

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from training.errors import TrainingError


def device_named(name: str) -> torch.device:
    """The device that `--device` means: `cpu`, `cuda`, or `auto` for a GPU where there is one.

    Raises:
        TrainingError: torch finds no GPU.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise TrainingError("--device cuda: torch finds no CUDA device on this machine")
    if not available or name == "cpu":
        return torch.device("cpu")
    # torchrun sets the number of this process on its machine
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    torch.cuda.set_device(device)
    return device


@dataclass(frozen=True)
class Processes:
    """The processes of one training, each of which computes a shard of every batch.

    They read the same run folder, which the main process alone writes.

    Args:
        rank: number of this process, from 0.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, device: torch.device) -> "Processes":
        """Join the process group that `torchrun` started this process for.

        Without `torchrun` there is no group, and this process is the only one.

        Args:
            device: where this process computes. GPUs communicate by NCCL, CPUs by gloo.
        """
        if "TORCHELASTIC_RUN_ID" not in os.environ:
            return cls()
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(dist.get_rank(), dist.get_world_size())

    def leave(self) -> None:
        """Leave the process group, once all processes are here.

        A process that still listens when its peers close their connections may be ended by its
        own threads.
        """
        self.barrier()
        if self.size > 1:
            dist.destroy_process_group()

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes the files and prints the messages."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until every process has called this."""
        if self.size > 1:
            dist.barrier()

    def all_reduce_sum(self, value: float) -> float:
        """The sum of this number over all processes, in each of them."""
        if self.size == 1:
            return value
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        total = torch.tensor(value, dtype=torch.float64, device=device)
        dist.all_reduce(total)
        return float(total)

    def averaging_gradients(self, loss: nn.Module) -> nn.parallel.DistributedDataParallel | None:
        """The loss as a module whose backward pass averages gradients; None for one process."""
        return nn.parallel.DistributedDataParallel(loss) if self.size > 1 else None

    def shard(self, n: int) -> slice:
        """The consecutive rows, of n, that this process computes.

        Shards differ by one row at most. The first processes have the longer ones, so that no
        shard is empty where another has two rows.
        """
        shortest, longer_shards = divmod(n, self.size)
        first = self.rank * shortest + min(self.rank, longer_shards)
        return slice(first, first + shortest + (self.rank < longer_shards))


SINGLE_PROCESS = Processes()

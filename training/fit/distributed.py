"""Processes that train one flow together, as `torchrun` starts them; alone without it."""

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Team:
    """The processes of one training, each of which computes its part of every batch.

    They must see the same run folder, which the first of them writes.

    Args:
        rank: which of them this is.
        size: how many they are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, device: torch.device) -> "Team":
        """The team that `torchrun` started this process for; one of its own without `torchrun`.

        Args:
            device: where this process computes: the team talks by NCCL on GPUs, else by gloo.
        """
        if "TORCHELASTIC_RUN_ID" not in os.environ:
            return cls()
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(dist.get_rank(), dist.get_world_size())

    def leave(self) -> None:
        """Say goodbye to the others, once all are here.

        One whose peers hang up while it still listens may be ended by its own threads.
        """
        self.wait()
        if self.size > 1:
            dist.destroy_process_group()

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks to people."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all have come here."""
        if self.size > 1:
            dist.barrier()

    def total(self, value: float) -> float:
        """The sum of all processes' numbers."""
        if self.size == 1:
            return value
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        sum_ = torch.tensor(value, dtype=torch.float64, device=device)
        dist.all_reduce(sum_)
        return float(sum_)

    def share(self, n: int) -> slice:
        """Which of n rows are this process's: consecutive, and as many as any other's or one less.

        The first processes have more, so that none is without rows where another has two.
        """
        each, more = divmod(n, self.size)
        first = self.rank * each + min(self.rank, more)
        return slice(first, first + each + (self.rank < more))


ALONE = Team()

"""The log-density of all columns at once, from what is computed of the rows alone.

The features and log-densities of a group of columns take about 200 operators, whatever its size,
and a table of 11 columns can have seven groups. Here rows are prepared once for all steps of a
training, and the conditionals of all numbers are one mixture.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.columns.group import ColumnGroup, ExactModule
from models.columns.log_mixture import log_mixture
from models.columns.places import LOG_ZERO, log_add
from models.columns.rows import Arranged, Rows, chosen, count
from models.numerics import log_sigmoid


class Together(ExactModule):
    """The conditionals of all columns of a row, from prepared rows and the network's output.

    Args:
        groups: of the D columns, which are modules of the density.
        inputs: for each of the network's inputs, its number among those of the groups.
        parameters: for each of the groups' parameters, its number in the network's output.
    """

    inputs_order: Tensor
    parameters_order: Tensor
    log_shares: Tensor
    missing_logit: Tensor
    log_kept: Tensor

    def __init__(self, groups: Sequence[ColumnGroup], inputs: Tensor, parameters: Tensor) -> None:
        super().__init__()
        self.arranged = Arranged(groups)
        parts = self._places_of_parameters(groups, parameters)
        self.parameters_of_parts = [len(part) for part in parts]
        buffers = {
            "inputs_order": self._places_of_inputs(groups)[inputs],
            "parameters_order": torch.cat(parts),
            **self._constants(),
        }
        for name, values in buffers.items():
            self.register_buffer(name, values, persistent=False)
        typical = torch.zeros(1, count(groups), dtype=torch.float64)
        self.sizes = [part.shape[1] for part in self.arranged.rows(typical)]

    def prepare(self, x: Tensor) -> Tensor:
        """What is computed of rows alone: N × D → N × numbers, both in float64."""
        return torch.cat(self.arranged.rows(x), 1)

    def inputs(self, prepared: Tensor, dtype: torch.dtype) -> Tensor:
        """What the network reads of prepared rows: N × inputs."""
        rows = Rows(*torch.split(prepared, self.sizes, 1))
        features, embedded = [rows.inputs.to(dtype)], self.arranged.embedded
        sizes = [len(group.index) for group in embedded]
        parts = (
            torch.split(part, sizes, 1) for part in (rows.embedded.long(), rows.there.to(dtype))
        )
        for group, code, there in zip(embedded, *parts, strict=True):
            assert group.embedding is not None
            vectors = F.embedding(code, group.embedding.flatten(0, 1)) * there[..., None]
            flags = [1 - there[..., None]] if group.missing else []
            features.append(torch.cat([vectors, *flags], -1).flatten(1))
        return torch.cat(features, 1).index_select(1, self.inputs_order)

    def log_prob(self, prepared: Tensor, theta: Tensor) -> Tensor:
        """Log-densities in nats, N, of prepared rows; theta: N × parameters in float64."""
        rows = Rows(*torch.split(prepared, self.sizes, 1))
        theta = theta.index_select(1, self.parameters_order)
        mixtures, masses, gaps, *classes = torch.split(theta, self.parameters_of_parts, 1)
        log_p = F.log_softmax(
            self.log_shares + masses.reshape(len(theta), *self.log_shares.shape), -1
        )
        log_choices = [
            log_p[..., 0],
            chosen(log_p, rows.mass.long()),
            log_sigmoid(rows.side * (gaps + self.missing_logit)),
            *self._log_classes(rows, classes),
        ]
        floors = rows.floor_of_rest, rows.floor_of_mass, rows.floor_of_gap, rows.floor_of_class
        log_choice = log_add(torch.cat(log_choices, 1) + self.log_kept, torch.cat(floors, 1))
        sizes = [part.shape[1] for part in floors]
        no_mass, mass, gap, of_class = torch.split(log_choice, sizes, 1)
        log_rest = self._log_rest(rows, mixtures)
        if self.arranged.with_masses:
            start, end = self.arranged.first_mass, self.arranged.first_mass + mass.shape[1]
            rest = log_rest[:, start:end] + no_mass + rows.no_rest
            either = log_add(rest, mass + rows.no_mass)
            log_rest = torch.cat([log_rest[:, :start], either, log_rest[:, end:]], 1)
        log_prob = torch.cat([log_rest, of_class], 1)
        if self.arranged.with_gaps:
            log_prob = torch.where(rows.absent > 0, 0.0, log_prob)
        return torch.cat([log_prob, gap, rows.constant], 1).sum(1)

    def _log_classes(self, rows: Rows, logits: Sequence[Tensor]) -> list[Tensor]:
        """The log-probabilities of the values of each group of classes, without the floor."""
        groups = self.arranged.classes
        codes = torch.split(rows.code.long(), [len(group.index) for group in groups], 1)
        log_prob = []
        for group, code, part in zip(groups, codes, logits, strict=True):
            log_prior = group.get_buffer("log_shares")
            log_p = F.log_softmax(log_prior + part.reshape(len(part), *log_prior.shape), -1)
            log_prob.append(chosen(log_p, code))
        return log_prob

    def _log_rest(self, rows: Rows, theta: Tensor) -> Tensor:
        """Log-probabilities of cells and log-densities of points under their mixtures."""
        if not self.arranged.numbers:
            return rows.broad
        mixture = self.arranged.numbers[0].mixture
        learned = mixture.learned(theta.reshape(len(theta), -1, mixture.size))
        return log_mixture(learned, rows.low, rows.high, rows.width, rows.point, rows.broad)

    def _places_of_parameters(self, groups: Sequence[ColumnGroup], places: Tensor) -> list[Tensor]:
        """The places of the parameters of all mixtures, point masses, gaps, and of each classes."""
        sizes = [len(group.index) * group.size for group in groups]
        of_group = {
            group: part.view(-1, group.size)
            for group, part in zip(groups, torch.split(places, sizes), strict=True)
        }
        mixtures, masses = [places[:0]], [places[:0]]
        for group in self.arranged.numbers:
            mixtures.append(of_group[group][:, : group.mixture.size].flatten())
            if group.masses:
                # columns of fewer masses repeat the last, whose share is then none
                at = torch.arange(self.arranged.most_masses + 1).clamp(max=group.masses)
                masses.append(of_group[group][:, group.mixture.size + at].flatten())
        gaps = [places[:0], *(of_group[group][:, -1] for group in self.arranged.with_gaps)]
        classes = [of_group[group][:, : group.classes] for group in self.arranged.classes]
        return [*map(torch.cat, (mixtures, masses, gaps)), *(part.flatten() for part in classes)]

    def _places_of_inputs(self, groups: Sequence[ColumnGroup]) -> Tensor:
        """The places of the groups' inputs behind one another, those of embeddings at the end."""
        sizes = [len(group.index) * group.inputs for group in groups]
        runs = dict(zip(groups, torch.split(torch.arange(sum(sizes)), sizes), strict=True))
        last = [runs[group] for group in (*self.arranged.fixed, *self.arranged.embedded)]
        return torch.cat(last).argsort()

    def _constants(self) -> dict[str, Tensor]:
        """Shares of point masses and of missing values, and what floors leave to probabilities."""
        masses, gaps = self.arranged.with_masses, self.arranged.with_gaps
        none = torch.zeros(0, dtype=torch.float64)
        most = self.arranged.most_masses
        shares = [
            F.pad(group.get_buffer("log_shares"), (0, most - group.masses), value=LOG_ZERO)
            for group in masses
        ]
        share = torch.cat([none, *(group.missing_share for group in gaps)])
        floors = [
            *(
                none.new_full((len(group.index),), group.floor)
                for group in (*masses, *masses, *gaps)
            ),
            *(none.new_full((len(g.index),), g.class_floor) for g in self.arranged.classes),
        ]
        return {
            "log_shares": torch.cat([none.new_zeros(0, most + 1), *shares]),
            "missing_logit": torch.log(share) - torch.log1p(-share),
            "log_kept": torch.log1p(-torch.cat([none, *floors])),
        }

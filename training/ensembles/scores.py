"""How likely held-out rows are under a mixture, and under its best member."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.flow import Flow
from service.bundle import EnsembleHeldOut, Figure
from training.config import FitRecipe
from training.data import Dataset, Float32
from training.ensembles.weights import Float64, fitted_weights, log_mixture
from training.evaluate import check_finite, drawn_rows, mean_and_error, quantiles_of, summary
from training.export import Ensemble
from training.scoring import log_prob


class EnsembleScores(NamedTuple):
    """Figures of held-out rows.

    Args:
        held_out: of the mixture.
        members: of each member, the mean log_prob of the same rows.
        calibration: quantiles of log_prob of the mixture, of rows as clients send them.
    """

    held_out: EnsembleHeldOut
    members: list[Figure]
    calibration: dict[str, Any]


def most_likely_weights(
    flows: Sequence[Flow], dataset: Dataset, fit: FitRecipe, flops: int
) -> tuple[Float64, Figure]:
    """The weights under which validation rows are the most likely.

    Args:
        flows: of the members.
        dataset: has the rows.
        fit: says how many noisy copies each row has, and the seed.
        flops: of the encodings of a row by all members.

    Returns:
        The weights, one together; and by how much they are better than equal ones, in nats per row.
    """
    copies = fit.noise_copies if dataset.is_noisy else 1
    rows = drawn_rows(dataset.validation, flops * copies, fit.seed + 2) or dataset.validation
    noisy = dataset.noisy(rows.rows, fit.noise_copies, fit.seed)
    each = _log_probs(flows, noisy, rows.context)
    weights = fitted_weights(each.reshape(len(flows), -1))
    equal = np.full(len(flows), 1 / len(flows))
    gain = (log_mixture(each, weights) - log_mixture(each, equal)).mean(0)
    return weights, _figure(gain[np.isfinite(gain)])


def evaluate_ensemble(ensemble: Ensemble, fit: FitRecipe) -> EnsembleScores:
    """Score a mixture and its members on the test rows, all on the same noisy copies.

    Args:
        ensemble: it.
        fit: says how many noisy copies each row has, and the seed.

    Raises:
        NonFiniteError: a test row has no finite log-density under the mixture.
    """
    dataset, weights = ensemble.dataset, np.asarray(ensemble.weights)
    copies = fit.noise_copies if dataset.is_noisy else 1
    test = drawn_rows(dataset.test, ensemble.flops * copies, fit.seed + 2) or dataset.test
    noisy = dataset.noisy(test.rows, fit.noise_copies, fit.seed + 1)
    each = _log_probs(ensemble.flows, noisy, test.context)
    mixture = log_mixture(each, weights).mean(0)
    check_finite(mixture, dataset, test, "the mixture")
    members = each.mean(1)
    best = int(np.argmax(members.mean(1)))
    held_out = EnsembleHeldOut(
        **summary(mixture, dataset, len(noisy)).model_dump(),
        best=best,
        gain=_figure(mixture - members[best]),
    )
    as_sent = mixture
    if dataset.is_noisy:
        each = _log_probs(ensemble.flows, test.rows[None], test.context)
        as_sent = log_mixture(each, weights)[0]
    return EnsembleScores(held_out, [_figure(member) for member in members], quantiles_of(as_sent))


def _log_probs(flows: Sequence[Flow], noisy: Float32, context: Float32 | None) -> Float64:
    """Log-density of rows under each flow: copies × N × event shape → flows × copies × N."""
    copies, n = noisy.shape[:2]
    rows = noisy.reshape(1, copies * n, *noisy.shape[2:])
    repeated = None if context is None else np.tile(context, (copies, 1))
    scores: list[NDArray[np.float64]] = [log_prob(flow, rows, repeated) for flow in flows]
    return np.stack(scores).reshape(len(flows), copies, n)


def _figure(values: Float64) -> Figure:
    """The mean and its standard error."""
    mean, se = mean_and_error(values)
    return Figure(mean=mean, se=se)

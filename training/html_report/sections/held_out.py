"""Figures of rows that training never saw."""

from service.bundle import (
    DetectorHeldOut,
    EnsembleHeldOut,
    HeldOut,
    LabelledFigures,
    TableHeldOut,
    sha256,
)
from training.html_report.blocks import Block, Facts, Note, Table
from training.html_report.reported import OfRun, Reported
from training.html_report.section import Section
from training.html_report.words import figure, number


def write_held_out(reported: Reported) -> list[Block]:
    """The scores with their standard errors; of a detector what labels say of it."""
    held_out = reported.held_out
    pairs: list[tuple[str, str | None]] = [
        ("log_prob", figure(held_out.log_prob, held_out.se, "nats per row")),
    ]
    if isinstance(held_out, HeldOut):
        pairs += _of_flow(held_out)
        if isinstance(held_out, EnsembleHeldOut):
            gain = held_out.gain
            pairs.append(("Gain over its best member", figure(gain.mean, gain.se, "nats per row")))
    elif isinstance(held_out, TableHeldOut):
        independent, gain = held_out.independent, held_out.gain
        pairs += [
            ("Independent columns", figure(independent.mean, independent.se, "nats per row")),
            ("Gain over these", figure(gain.mean, gain.se, "nats per row")),
        ]
    pairs.append(("Rows", number(held_out.rows)))
    blocks: list[Block] = [Facts("Mean over held-out rows ± its standard error", pairs)]
    if isinstance(held_out, TableHeldOut) and held_out.gain.mean <= 2 * held_out.gain.se:
        blocks.append(Note("The model does not beat independent columns on these rows."))
    if isinstance(held_out, DetectorHeldOut) and held_out.labelled is not None:
        blocks += _labelled(held_out.labelled)
    if reported.trained is not None:
        blocks += _age(reported.trained)
    return blocks


def _age(learned: OfRun) -> list[Block]:
    """Whether figures are of the weights that the run has now, as far as that is known."""
    notes: list[Block] = []
    weights, of = learned.run.weights, learned.evaluated.get("weights")
    if of is not None and weights.is_file() and of != sha256(weights):
        notes.append(
            Note("These are figures of earlier weights: `bijecta evaluate` makes new ones.")
        )
    if not learned.progress.finished:
        notes.append(Note("Training had not ended: later weights may score otherwise."))
    return notes


def _of_flow(held_out: HeldOut) -> list[tuple[str, str | None]]:
    bits = held_out.bits_per_dim
    is_noisy = held_out.noise_copies > 1
    return [
        (
            "Per dimension",
            None if bits is None else figure(bits, held_out.bits_per_dim_se or 0.0, "bits/dim"),
        ),
        (
            "Noise",
            f"mean over {held_out.noise_copies} noisy copies of each row" if is_noisy else None,
        ),
    ]


def _labelled(labelled: LabelledFigures) -> list[Block]:
    rows = [
        ["AUROC", figure(labelled.auroc.mean, labelled.auroc.se)],
        ["AUPRC", figure(labelled.auprc.mean, labelled.auprc.se)],
    ]
    rows += [
        [f"Recall at {100 * float(share):g} % false alarms", figure(recall.mean, recall.se)]
        for share, recall in labelled.recall.items()
    ]
    said = (
        f"By labels of {labelled.rows} rows, {labelled.anomalies} of them anomalies; labels never "
        "train"
    )
    return [Table(said, ["Figure", "± its standard error"], rows, [1])]


HELD_OUT = Section("Held-out figures", write_held_out)

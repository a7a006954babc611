"""What the model is made of."""

from collections.abc import Sequence
from typing import Protocol

from service.bundle import DetectorManifest, EnsembleManifest, Manifest
from training.html_report.blocks import Block, Facts, Table
from training.html_report.reported import Reported
from training.html_report.section import Section
from training.html_report.words import figure, number, shape, size


class AnyPart(Protocol):
    """A part of a detector's score, as runs and as bundles have it."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def detail(self) -> str:
        """What it is."""

    @property
    def weight(self) -> float:
        """Of the part in the score."""

    @property
    def indexed_rows(self) -> int:
        """Rows of the data that it holds."""


def write_model(reported: Reported) -> list[Block]:
    """Family, base and size of a flow; the parts of a detector, the members of an ensemble."""
    manifest = None if reported.bundle is None else reported.bundle.manifest
    pairs: list[tuple[str, str | None]] = [("Family", reported.family)]
    subject = None if reported.is_detector else reported.subject
    if subject is not None:
        traits = subject.traits
        pairs += [
            ("Preprocessing", _preprocessing(reported)),
            ("Base density", traits.base.name),
            ("Latents", shape(traits.latent_shape)),
            (
                "Parameters",
                "a bundle does not say how many"
                if traits.parameters is None
                else number(traits.parameters),
            ),
        ]
    run = reported.trained.run if reported.trained else reported.detector
    if run is not None and run.weights.is_file():
        pairs.append(("Weights", size(run.weights.stat().st_size)))
    if manifest is not None:
        pairs += [(f"Cost of {name}", cost) for name, cost in manifest.cost.items()]
    blocks: list[Block] = [Facts("Of the model", pairs)]
    if reported.detector is not None:
        file = reported.detector.file
        blocks.append(_parts(file.recipe.configuration, file.spec.parts))
    elif isinstance(manifest, DetectorManifest):
        blocks.append(_parts(manifest.configuration, manifest.parts))
    elif isinstance(manifest, EnsembleManifest):
        blocks.append(_members(manifest))
    return blocks


def _preprocessing(reported: Reported) -> str | None:
    if reported.trained is not None:
        steps = getattr(reported.trained.run.file.flow, "preprocessing", None)
        return None if steps is None else ", ".join(step.kind for step in steps) or "none"
    manifest = reported.manifest
    if isinstance(manifest, Manifest | EnsembleManifest):
        return ", ".join(str(step.get("kind")) for step in manifest.preprocessing) or "none"
    return None


def _parts(configuration: str, parts: Sequence[AnyPart]) -> Table:
    rows = [[p.name, p.detail, f"{p.weight:g}", number(p.indexed_rows)] for p in parts]
    said = "normal rows" if configuration == "clean" else "rows of which some may be anomalies"
    head = ["Part", "What it is", "Weight", "Rows it holds"]
    return Table(f"Parts of the score, fitted to {said}", head, rows, [2, 3])


def _members(manifest: EnsembleManifest) -> Table:
    rows = [
        [m.run, m.family, f"{m.weight:.4f}", figure(m.held_out.mean, m.held_out.se)]
        for m in manifest.members
    ]
    said = {
        "equal": "of equal weights",
        "fitted": "whose weights are the most likely ones of validation rows",
        "given": "of weights that were given",
    }[manifest.weighting]
    head = ["Run", "Family", "Weight", "log_prob of held-out rows, nats"]
    return Table(f"Members of the mixture, {said}", head, rows, [2, 3])


MODEL = Section("Model", write_model)

"""What the model is and how it does, in a few lines."""

from training.config import TYPED_FAMILIES
from training.html_report.blocks import AbsentError, Block, Facts
from training.html_report.reported import Reported
from training.html_report.section import Section
from training.html_report.words import duration, figure


def write_summary(reported: Reported) -> list[Block]:
    """The model, its data, its held-out score, and where this is from."""
    try:
        held_out = reported.held_out
        score = figure(held_out.log_prob, held_out.se, "nats per row")
    except AbsentError as error:
        score = str(error)
    pairs: list[tuple[str, str | None]] = [
        ("Model", f"{reported.name}, {_what(reported)}"),
        ("Trained on", _data(reported)),
        ("Held-out score", score),
    ]
    if reported.trained is not None:
        pairs += [
            ("Training took", duration(reported.trained.progress.seconds)),
            ("Run", str(reported.trained.run.folder)),
        ]
    if reported.detector is not None:
        pairs.append(("Run", str(reported.detector.folder)))
    if reported.bundle is not None:
        manifest = reported.bundle.manifest
        pairs.append(("Bundle", f"{manifest.name} version {manifest.version}"))
    return [Facts("What the model is", pairs)]


def _what(reported: Reported) -> str:
    if reported.is_detector:
        return "a detector of anomalies"
    if reported.family == "ensemble":
        return "an ensemble of flows"
    if reported.family in TYPED_FAMILIES:
        return f"a density over typed columns of family {reported.family}"
    return f"a flow of family {reported.family}"


def _data(reported: Reported) -> str:
    if reported.subject is not None:
        return reported.subject.traits.data_name
    if reported.bundle is not None:
        return reported.bundle.manifest.data.name
    if reported.detector is not None:
        return reported.detector.file.data_name
    return reported.learned.run.file.recipe.data.source


SUMMARY = Section("Summary", write_summary)

"""Whether the bundle is signed."""

from training.html_report.blocks import Block, Facts
from training.html_report.reported import Reported
from training.html_report.section import Section


def write_signature(reported: Reported) -> list[Block]:
    """The state of the signature, and what it is over."""
    exported = reported.exported
    return [
        Facts(
            "Of the bundle",
            [
                ("Signature", exported.signature),
                ("Checksum of the manifest", exported.manifest.checksum),
                ("sha256 of the weights", exported.manifest.weights_sha256),
            ],
        )
    ]


SIGNATURE = Section("Signature", write_signature)

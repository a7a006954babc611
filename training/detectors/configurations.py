"""The two configurations of a detector."""

from training.detectors.specification import (
    AnyPart,
    Configuration,
    GaussianizedPart,
    LatentPart,
    NearestPart,
)

_MAF = {"transforms": 5, "hidden": [128], "order": "random", "activation": "silu"}

CONFIGURATIONS: dict[Configuration, list[AnyPart]] = {
    "clean": [
        NearestPart(space="standard", members=6, rows=1024, weight=2.0),
        LatentPart(space="standard", members=4, rows=5000, options=_MAF, steps=1200),
    ],
    "contaminated": [
        GaussianizedPart(
            space="standard", members=4, rows=3000, deviation=0.3, steps=20, trimmed=0.15
        ),
        GaussianizedPart(space="standard", members=6, rows=3000, deviation=0.6, steps=4),
        GaussianizedPart(space="standard", members=6, rows=3000, deviation=1.0, steps=4),
        NearestPart(space="standard", members=6, rows=16),
    ],
}
"""The parts of a score. Rows are those of a member at most."""

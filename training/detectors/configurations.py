"""The two configurations of a detector."""

from training.detectors.specification import (
    AnyPart,
    Configuration,
    GaussianizedPart,
    LatentPart,
    NearestPart,
    TypedPart,
)

_TYPED = TypedPart(
    members=3,
    rows=100_000,
    weight=0.5,
    options={
        "hidden": (64, 64),
        "components": 4,
        "order": "random",
        "dropout": 0.2,
    },
    steps=200,
    dependence=0.5,
)

CONFIGURATIONS: dict[Configuration, list[AnyPart]] = {
    "clean": [
        NearestPart(space="standard", members=6, rows=1024),
        NearestPart(space="robust", members=6, rows=1024),
        NearestPart(space="normal", members=6, rows=1024, weight=0.5),
        LatentPart(
            space="robust",
            members=2,
            rows=3000,
            weight=0.5,
            options={"transforms": 3, "hidden": (64,), "order": "random", "activation": "silu"},
            steps=300,
        ),
        _TYPED,
    ],
    "contaminated": [
        GaussianizedPart(
            space="standard", members=4, rows=3000, deviation=0.3, steps=20, trimmed=0.15
        ),
        GaussianizedPart(space="standard", members=6, rows=3000, deviation=0.6, steps=4),
        GaussianizedPart(space="standard", members=6, rows=3000, deviation=1.0, steps=4),
        NearestPart(space="standard", members=6, rows=16),
        _TYPED.model_copy(update={"weight": 0.0, "members": 2}),
    ],
}
"""The parts of a score. Rows are those of a member at most."""

"""The families of the table, each with the options and the training it is measured with."""

from dataclasses import dataclass, field
from typing import Any

from training.config.recipe import Recipe
from training.data.toy import DENSITIES

DIGITS = "digits"
ROWS = 24_000


@dataclass(frozen=True)
class Entry:
    """One line of the table.

    Args:
        family: a key of `zoo.FAMILIES`.
        options: of the family; widths and depth are small enough for two cores.
        fit: what differs from `FIT`.
        image: trained on digits of 1 × 8 × 8 in place of the 2-D densities.
        zuko: name of the zuko flow that is trained beside it at the same size.
    """

    family: str
    options: dict[str, Any] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    image: bool = False
    zuko: str | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """What it is trained on."""
        return (DIGITS,) if self.image else tuple(DENSITIES)


FIT = {
    "epochs": 20,
    "patience": 20,
    "batch_size": 256,
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "threads": 1,
}
IMAGE_FIT = {
    "epochs": 30,
    "patience": 30,
    "batch_size": 64,
    "learning_rate": 2e-3,
    "weight_decay": 1e-3,
}

SMALL = {"transforms": 6, "hidden": [64, 64]}
CAUSAL = {"transforms": 6, "hidden": [32, 32]}
TOKENS = {"transforms": 4, "hidden": [32, 32]}
# scalar roots take nearly as long for few rows as for many; few parameters are soon learnt
ROOTS = {"batch_size": 512, "learning_rate": 6e-3, "epochs": 10}
CONVOLUTIONS = {"hidden": [32, 32], "dropout": 0.2}

ENTRIES: dict[str, Entry] = {
    "NICE": Entry("nice", SMALL | {"transforms": 8}),
    "RealNVP": Entry("realnvp", SMALL | {"transforms": 8}),
    "Glow": Entry("glow", SMALL | {"transforms": 8}),
    "NSF (coupling)": Entry("nsf", SMALL | {"transforms": 4}),
    # from zero, affine layers learn too much alike: 0.01 to 0.055 nats on these densities
    "MAF": Entry("maf", SMALL | {"zero_start": False}, zuko="MAF"),
    "NSF (autoregressive)": Entry("nsf-ar", SMALL | {"transforms": 3}, zuko="NSF"),
    "MAF, logistic mixtures": Entry("maf-logistic", SMALL | {"transforms": 3}),
    "MAF MoG": Entry("maf-mog", SMALL | {"transforms": 4}),
    "IAF": Entry("iaf", SMALL),
    "WaveNet": Entry("wavenet", CAUSAL),
    "Parallel WaveNet": Entry("parallel-wavenet", CAUSAL),
    "Transformer": Entry("transformer", TOKENS),
    "Parallel transformer": Entry("parallel-transformer", TOKENS),
    "Planar": Entry("planar", {"transforms": 24}, ROOTS),
    "Radial": Entry("radial", {"transforms": 24}),
    "Sylvester": Entry("sylvester", {"transforms": 12}, ROOTS),
    "Gaussianization": Entry("gaussianization", {"transforms": 8}),
    "Gaussianization, iterative": Entry("iterative-gaussianization", {"transforms": 30}),
    "NICE, images": Entry("nice", CONVOLUTIONS | {"transforms": 4}, image=True),
    "RealNVP, images": Entry("realnvp", CONVOLUTIONS | {"transforms": 4}, image=True),
    "Glow, images": Entry("glow", CONVOLUTIONS | {"transforms": 4}, image=True),
    "MintNet": Entry("mintnet", {"transforms": 4, "hidden": [8]}, image=True),
}


def recipe(entry: Entry, source: str) -> Recipe:
    """The training of one entry on one source."""
    data: dict[str, Any] = {"source": source}
    flow = {"family": entry.family, **entry.options}
    fit = FIT | entry.fit
    if entry.image:
        data["shape"] = [1, 8, 8]
        flow["preprocessing"] = "soft-logit"
        fit = FIT | IMAGE_FIT | entry.fit
    else:
        data["rows"] = ROWS
    return Recipe.model_validate({"data": data, "flow": flow, "fit": fit})

"""Figures that papers report on test sets, for tables beside ours.

From the papers' own tables, or tables of later papers that repeat them: Papamakarios et al. 2017
(MAF), Durkan et al. 2019 (NSF), Grathwohl et al. 2019 (FFJORD), Dinh et al. 2014 (NICE), Song et
al. 2019 (MintNet), Meng et al. 2020 (Gaussianization flows). Image models were trained for days on
GPUs.
"""

from typing import NamedTuple


class Figure(NamedTuple):
    """A published test score."""

    model: str
    value: float
    unit: str


def _published(unit: str, **figures: float) -> list[Figure]:
    return [Figure(model.replace("_", " "), value, unit) for model, value in figures.items()]


# by what the names of recipes begin with
FIGURES: dict[str, list[Figure]] = {
    "bsds300": _published(
        "nats",
        Gaussian=96.67,
        RealNVP=153.28,
        MAF=155.69,
        MAF_MoG=156.36,
        Glow=155.07,
        NSF_AR=157.31,
        NSF_C=157.54,
        FFJORD=157.40,
        MAF_with_LU=156.95,
        NAF=157.73,
    ),
    "power": _published(
        "nats",
        Gaussian=-7.74,
        RealNVP=0.17,
        MAF=0.24,
        MAF_MoG=0.30,
        Glow=0.17,
        NSF_AR=0.66,
        NSF_C=0.64,
    ),
    "gas": _published(
        "nats",
        Gaussian=-3.58,
        RealNVP=8.33,
        MAF=10.08,
        MAF_MoG=9.59,
        Glow=8.15,
        NSF_AR=13.09,
        NSF_C=13.09,
    ),
    "hepmass": _published(
        "nats",
        Gaussian=-27.93,
        RealNVP=-18.71,
        MAF=-17.70,
        MAF_MoG=-17.39,
        Glow=-18.92,
        NSF_AR=-14.01,
        NSF_C=-14.75,
    ),
    "miniboone": _published(
        "nats",
        Gaussian=-37.24,
        RealNVP=-13.55,
        MAF=-11.75,
        MAF_MoG=-11.68,
        Glow=-11.35,
        NSF_AR=-9.22,
        NSF_C=-9.67,
    ),
    "mnist": [
        Figure("NICE, on [0, 1]", 1980.50, "nats"),
        *_published(
            "bits/dim",
            RealNVP=1.06,
            Glow=1.05,
            FFJORD=0.99,
            Residual_Flow=0.97,
            MintNet=0.98,
            RBIG=1.71,
            Gaussianization_flow=1.29,
            MAF=1.89,
        ),
    ],
    "fashion-mnist": _published("bits/dim", RealNVP=2.85, Glow=2.95, Gaussianization_flow=3.35),
    "cifar10": _published("bits/dim", RealNVP=3.49, Glow=3.35, MintNet=3.32, NICE=4.48),
}

"""The [flow] section of a recipe: a family of the zoo and its options."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator, model_validator

from training.config.plain import shown

if TYPE_CHECKING:
    from models.families import Family, Tabular

NO_PREPROCESSING = "none"

TypedFamily = Literal["tabular", "tabular-transformer"]
"""The names of `models.families.TYPED_FAMILIES`, without torch."""

TYPED_FAMILIES: tuple[TypedFamily, ...] = get_args(TypedFamily)
"""The families of densities over columns of any kind."""

# Options of the family `tabular` that a recipe leaves out. On OddBench tables of 400 to 2500
# training rows 64 units scored worse than 128 (by 1.5 to 6 nats on two of three, alike on the
# third); with dropout two of 400 rows scored better after 100 epochs (by 0.7 and 3.3 nats), and one
# of 2500 rows worse after 40 (by 2).
TABULAR_OPTIONS: dict[str, Any] = {"hidden": [128, 128], "activation": "silu", "dropout": 0.1}

# Options beyond these make no flow that could be built, let alone fitted.
MAX_WHOLE_OPTION = 10_000
MAX_REAL_OPTION = 1e6
MAX_WIDTH = 2**20
MAX_HIDDEN_LAYERS = 1000


def families() -> "dict[str, type[Family] | type[Tabular]]":
    """The classes of the options of all families, by name."""
    from models import zoo  # imports torch, which reading [data] alone does not need

    return {**zoo.FAMILIES, **zoo.TYPED_FAMILIES}


def family_class(family: str) -> "type[Family] | type[Tabular]":
    """The class of a family's options.

    Raises:
        ValueError: an unknown family.
    """
    known = families()
    if family not in known:
        raise ValueError(f"family is one of {', '.join(known)}, not {shown(family)}")
    return known[family]


def complete_options(family: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """A family's options, validated, with its defaults for those that are absent.

    A checkpoint keeps them complete, so that a change of a default does not change its flow.

    Raises:
        ValueError: an unknown family or option, or a wrong value (`pydantic.ValidationError`).
    """
    from models import zoo
    from models.families import with_current_names

    of_family = family_class(family)
    current = with_current_names(options or {}, of_family.former_names)
    # before any layer is made of them, even to check them
    if said := "; ".join(_too_large(current)):
        raise ValueError(said)
    # strict: true is no 1, and "5" no 5, whose size nothing above has seen; as JSON, whose objects
    # and lists may stand for classes and tuples
    text = json.dumps(current, default=str)
    complete = asdict(TypeAdapter(of_family).validate_json(text, strict=True))
    if "base" in complete:
        zoo.check_base(complete["base"], complete["base_options"])
    return complete


def _too_large(options: Mapping[str, Any]) -> Iterator[str]:
    """What is said of options that are out of all proportion."""
    for name, value in options.items():
        if isinstance(value, list | tuple):
            wide = any(isinstance(width, int) and width > MAX_WIDTH for width in value)
            if wide or len(value) > MAX_HIDDEN_LAYERS:
                yield f"{name} has at most {MAX_HIDDEN_LAYERS} layers of at most {MAX_WIDTH} units"
        elif isinstance(value, Mapping):
            yield from _too_large(value)
        elif isinstance(value, float) and abs(value) > MAX_REAL_OPTION:
            yield f"{name} is at most {MAX_REAL_OPTION:g}, got {value:g}"
        elif isinstance(value, int) and name != "seed" and abs(value) > MAX_WHOLE_OPTION:
            yield f"{name} is at most {MAX_WHOLE_OPTION}, got {shown(value)}"


class FlowRecipe(BaseModel):
    """The flow: a family of the zoo, and the family's options beside it.

    Args:
        family: a key of `families()`.
        preprocessing: `none`, or a key of `zoo.PREPROCESSING`. `standardize`; `whiten`, which
            makes the standardized coordinates uncorrelated, principal directions first, the widest
            first; `logit` or `soft-logit`, whose result is standardized: `logit` is bounded by a
            box outside which there is no density, `soft-logit` is not; `normal-marginals`, which
            makes each coordinate normal by a spline through its quantiles.
        margin: how much wider than the range the logit's box is on each side, as a share of the
            range, so that values at the edge of the range stay well conditioned.
        per_pixel_marginals: of `normal-marginals` for images: whether each pixel has a spline of
            its own, or all pixels of a channel share one. By default they share one, unless the
            networks know each pixel's position.
        embedding: number of learned features that represent the class labels; one-hot if absent.

    Of these keys the families of typed columns have `embedding` alone: columns are fitted by kind.
    """

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    family: str
    preprocessing: str = "standardize"
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.01
    per_pixel_marginals: bool | None = None
    embedding: Annotated[int, Field(ge=1, le=MAX_WHOLE_OPTION)] | None = None

    @field_validator("preprocessing")
    @classmethod
    def _is_known(cls, name: str) -> str:
        from models import zoo

        known = (*zoo.PREPROCESSING, NO_PREPROCESSING)
        if name not in known:
            raise ValueError(f"preprocessing is one of {', '.join(known)}, not {shown(name)}")
        return name

    @model_validator(mode="after")
    def _completes_options(self) -> "FlowRecipe":
        defaults = TABULAR_OPTIONS if self.family == "tabular" else {}
        options = {**defaults, **(self.model_extra or {})}
        self.__pydantic_extra__ = complete_options(self.family, options)
        return self

    @model_validator(mode="after")
    def _fits_columns_by_kind(self) -> "FlowRecipe":
        if not self.typed:
            return self
        if "preprocessing" not in self.model_fields_set:
            self.preprocessing = NO_PREPROCESSING
        margin = type(self).model_fields["margin"].default
        kept = {"preprocessing": NO_PREPROCESSING, "margin": margin}
        if set_ := [key for key, value in kept.items() if getattr(self, key) != value]:
            raise ValueError(
                f"{' and '.join(set_)}, in [flow], {'is' if len(set_) == 1 else 'are'} for other "
                f"families: {self.family!r} fits each column by its kind"
            )
        return self

    @model_validator(mode="after")
    def _settles_marginals(self) -> "FlowRecipe":
        if self.preprocessing == "normal-marginals":
            if self.per_pixel_marginals is None:
                self.per_pixel_marginals = bool(self.options.get("positional_bias"))
        elif self.per_pixel_marginals is not None:
            raise ValueError(
                "per_pixel_marginals is for preprocessing = 'normal-marginals', not for "
                f"{self.preprocessing!r}"
            )
        return self

    @property
    def typed(self) -> bool:
        """Whether it is a density over typed columns."""
        return self.family in TYPED_FAMILIES

    @property
    def options(self) -> dict[str, Any]:
        """The family's options, complete."""
        return dict(self.model_extra or {})

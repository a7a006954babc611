"""The [flow] section of a recipe: a family of the zoo and its options."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator, model_validator

from models import zoo
from models.families import with_current_names

NO_PREPROCESSING = "none"


def complete_options(family: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """A family's options, validated, with its defaults for those that are absent.

    A checkpoint keeps them complete, so that a change of a default does not change its flow.

    Raises:
        ValueError: an unknown family or option, or a wrong value (`pydantic.ValidationError`).
    """
    if family not in zoo.FAMILIES:
        raise ValueError(f"family is one of {', '.join(zoo.FAMILIES)}, not {family!r}")
    family_class = zoo.FAMILIES[family]
    current = with_current_names(options or {}, family_class.former_names)
    return asdict(TypeAdapter(family_class).validate_python(current))


class FlowRecipe(BaseModel):
    """The flow: a family of the zoo, and the family's options beside it.

    Args:
        family: a key of `zoo.FAMILIES`.
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
    """

    model_config = ConfigDict(extra="allow")

    family: str
    preprocessing: str = "standardize"
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.01
    per_pixel_marginals: bool | None = None
    embedding: Annotated[int, Field(ge=1)] | None = None

    @field_validator("preprocessing")
    @classmethod
    def _is_known(cls, name: str) -> str:
        known = (*zoo.PREPROCESSING, NO_PREPROCESSING)
        if name not in known:
            raise ValueError(f"preprocessing is one of {', '.join(known)}, not {name!r}")
        return name

    @model_validator(mode="after")
    def _completes_options(self) -> "FlowRecipe":
        self.__pydantic_extra__ = complete_options(self.family, self.model_extra)
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
    def options(self) -> dict[str, Any]:
        """The family's options, complete."""
        return dict(self.model_extra or {})

"""The [flow] section of a recipe: a family of the zoo and its options."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from models import zoo


class FlowRecipe(BaseModel):
    """The flow: a family of the zoo, and the family's options beside it.

    Args:
        family: a key of `zoo.FAMILIES`.
        preprocessing: `standardize`; `whiten`, which makes the standardized coordinates
            uncorrelated, those along which they vary most first; `logit` or `soft-logit`, either
            then standardized: `logit` ends in a box outside which there is no density,
            `soft-logit` goes on; `normal-marginals`, which makes each coordinate normal by a
            spline through its quantiles; or `none`.
        margin: by what part of the range the logit's box is wider than it on each side, so that
            values at its very edge stay well conditioned.
        embedding: learned features that stand for the class labels; one-hot where left out.
    """

    model_config = ConfigDict(extra="allow")

    family: str
    preprocessing: Literal[
        "standardize", "whiten", "logit", "soft-logit", "normal-marginals", "none"
    ] = "standardize"
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.01
    embedding: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _known_family_and_options(self) -> "FlowRecipe":
        if self.family not in zoo.FAMILIES:
            raise ValueError(f"family is one of {', '.join(zoo.FAMILIES)}, not {self.family!r}")
        # the options as the family reads them, defaults included, so that a checkpoint built
        # from this recipe does not change when a default does
        family = zoo.FAMILIES[self.family]
        options = family.with_current_names(self.model_extra or {})
        read = TypeAdapter(family).validate_python(options)
        self.__pydantic_extra__ = asdict(read)
        return self

    @property
    def options(self) -> dict[str, Any]:
        """The family's options, complete."""
        return dict(self.model_extra or {})

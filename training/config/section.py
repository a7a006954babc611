"""What all sections of a recipe have in common."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

Seed = Annotated[int, Field(ge=0, le=2**63 - 2)]
"""A seed, to which 1 is added for noise that is not that of training."""

Real = Annotated[float, Field(ge=-1e30, le=1e30)]
"""A number that float32 holds, and its differences too."""

Count = Annotated[int, Field(ge=1, le=10**9)]
"""How many there are of something."""


class Section(BaseModel):
    """A table of a TOML file, all of whose keys are known.

    Subclasses name in `former_names` the keys that were renamed: former name → current name. Stored
    recipes and runs keep the former names for good.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    former_names: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _rename_former_keys(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not cls.former_names.keys() & values.keys():
            return values
        from models.families import with_current_names  # imports torch

        return with_current_names(values, cls.former_names)

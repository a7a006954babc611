"""What all sections of a recipe have in common."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

from models.families import with_current_names


class Section(BaseModel):
    """A table of a TOML file, all of whose keys are known.

    Subclasses name in `former_names` the keys that were renamed: former name → current name. Stored
    recipes and runs keep the former names for good.
    """

    model_config = ConfigDict(extra="forbid")
    former_names: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _rename_former_keys(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return with_current_names(values, cls.former_names)

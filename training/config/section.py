"""What all sections of a recipe have in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of a TOML file, all of whose keys are known."""

    model_config = ConfigDict(extra="forbid")

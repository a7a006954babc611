"""What all parts of a manifest have in common."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """What a manifest or a part of it is: it never changes, and all its keys are known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

"""What manifests of format 2 of every kind say.

Format 2 is of several kinds, told apart by the key `kind`. A kind is a class that has what
`KindManifest` has, and an entry of `files.KINDS`.
"""

from typing import Annotated, Literal

from pydantic import Field

from service.bundle.manifests.flow import (
    MAX_CONTEXT_COLUMNS,
    MAX_FILES,
    MAX_VERSION,
    NAME,
    FileName,
)
from service.bundle.manifests.part import (
    Arithmetic,
    ContextColumn,
    Cost,
    DataSource,
    ManifestPart,
    Tensor,
)

RawValues = Literal["classes", "constants", "indexed_rows", "point_masses", "ranges", "self_test"]
"""Values of the data that a bundle carries: names of classes, what columns are that are left out as
they are constant, rows that its graphs compare others with, values of large weight, the smallest
and largest values of columns, and a row to test the graphs with."""


class Graph(ManifestPart):
    """What the file `<name>.onnx` takes and gives.

    Args:
        inputs, outputs: by name.
        cost: of a run.
    """

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    cost: Cost


class KindManifest(ManifestPart):
    """What manifests of format 2 of every kind say."""

    format_version: Literal[2]
    kind: str
    name: Annotated[str, Field(pattern=rf"^{NAME.pattern}$")]
    version: Annotated[int, Field(ge=1, le=MAX_VERSION)]
    family: str
    context: Annotated[list[ContextColumn], Field(max_length=MAX_CONTEXT_COLUMNS)] | None = None
    graphs: dict[str, Graph] = Field(description="by the names of their files, without .onnx")
    arithmetic: Arithmetic = Field(description="what the networks in the graphs compute in")
    raw_values: list[RawValues] = Field(
        description="values of the data that the bundle carries, in the order of the alphabet"
    )
    data: DataSource
    files: Annotated[dict[FileName, str], Field(max_length=MAX_FILES)]
    weights_sha256: str | None = Field(
        None, description="of the weights that the run was exported with"
    )
    made_with: dict[str, str]
    checksum: str = Field(description="sha256 of this manifest without this key, see `checksum`")

    @property
    def context_shape(self) -> list[int] | None:
        """Shape of a row of context; None without."""
        return None if self.context is None else [len(self.context)]

    @property
    def cost(self) -> dict[str, Cost]:
        """Of each graph."""
        return {name: graph.cost for name, graph in self.graphs.items()}

    @property
    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Inputs and outputs of the graphs."""
        return {name: graph.inputs | graph.outputs for name, graph in self.graphs.items()}

    @property
    def required_files(self) -> list[str]:
        """Names of the files that there have to be."""
        return [f"{name}.onnx" for name in self.graphs]

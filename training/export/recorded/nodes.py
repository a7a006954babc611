"""What nodes read, and which of them are needed; the bodies of loops are part of their nodes."""

from collections.abc import Mapping, Sequence

import onnx


def names_read(nodes: Sequence[onnx.NodeProto]) -> set[str]:
    """The names that nodes read, those within loops too."""
    names: set[str] = set()
    for node in nodes:
        names.update(node.input)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                names |= names_read(attribute.g.node)
    return names


def rename(nodes: Sequence[onnx.NodeProto], names: Mapping[str, str]) -> None:
    """Give values other names, within loops too."""
    for node in nodes:
        for values in (node.input, node.output):
            for i, name in enumerate(values):
                if name in names:
                    values[i] = names[name]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                rename(attribute.g.node, names)


def needed(nodes: Sequence[onnx.NodeProto], results: set[str]) -> list[onnx.NodeProto]:
    """The nodes that results depend on, in their order."""
    wanted, kept = set(results), []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted |= names_read([node])
    return kept[::-1]

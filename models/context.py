"""The context of a flow: from columns as clients send them to features."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.bijection import Shape


class ContextFeatures(nn.Module):
    """Raw context → features: numbers standardised, class labels one-hot or embedded.

    Args:
        columns: for each column of the raw context, {"mean": m, "scale": s} for a number, or
            {"classes": [c, …]} for a label, whose values are these numbers.
        embedding: number of learned features that represent the labels: each class has a vector,
            and the vectors of all label columns are added up. One-hot if None.

    Raises:
        ValueError: no column, a column that is neither of the two, a scale that is not positive,
            classes that repeat, or an embedding without a label column.
    """

    number: Tensor
    mean: Tensor
    scale: Tensor
    label: Tensor
    classes: Tensor

    def __init__(self, columns: Sequence[Mapping[str, Any]], embedding: int | None = None) -> None:
        super().__init__()
        for column in columns:
            _check(column)
        numbers = [i for i, column in enumerate(columns) if "mean" in column]
        # for each class, the index of its column and the number that stands for it
        classes = [(i, c) for i, column in enumerate(columns) for c in column.get("classes", ())]
        if not columns or (embedding is not None and not (classes and embedding >= 1)):
            raise ValueError(
                "a context has at least one column, and an embedding at least one feature and "
                f"a column of classes; got {list(columns)} and embedding {embedding}"
            )
        buffers = {
            "number": torch.tensor(numbers, dtype=torch.long),
            "mean": torch.tensor([float(columns[i]["mean"]) for i in numbers]),
            "scale": torch.tensor([float(columns[i]["scale"]) for i in numbers]),
            "label": torch.tensor([i for i, _ in classes], dtype=torch.long),
            "classes": torch.tensor([float(c) for _, c in classes]),
        }
        for name, values in buffers.items():
            self.register_buffer(name, values, persistent=False)
        self.context_shape: Shape = (len(columns),)
        self.embedding = None if embedding is None else nn.Linear(len(classes), embedding, False)
        if self.embedding is not None:
            # the features of a class start with the variance of standardised numbers
            nn.init.normal_(self.embedding.weight)
        self.size = len(numbers) + (embedding or len(classes))

    def forward(self, context: Tensor | None) -> Tensor:
        """Map raw context to features: batch × columns → batch × size.

        A label that is none of the classes gives zeros.

        Raises:
            ValueError: there is no context, or its rows are not of `context_shape`.
        """
        if context is None or tuple(context.shape[1:]) != self.context_shape:
            got = None if context is None else tuple(context.shape[1:])
            raise ValueError(f"expected a context of row shape {self.context_shape}, got {got}")
        features = []
        if len(self.number):
            features.append((context[:, self.number] - self.mean) / self.scale)
        if len(self.label):
            one_hot = (context[:, self.label] == self.classes).to(context.dtype)
            features.append(one_hot if self.embedding is None else self.embedding(one_hot))
        return torch.cat(features, 1)


def _check(column: Mapping[str, Any]) -> None:
    if set(column) == {"mean", "scale"}:
        valid = column["scale"] > 0
    else:
        classes = column.get("classes", ())
        valid = set(column) == {"classes"} and 0 < len(set(classes)) == len(classes)
    if not valid:
        raise ValueError(
            'a context column is {"mean": m, "scale": s > 0} or {"classes": [different numbers]}, '
            f"not {dict(column)}"
        )

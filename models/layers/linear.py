"""Linear maps along the first axis: of the coordinates of a vector, or of a pixel's channels."""

import copy
import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.bijection import Bijection

# Bound of |log| of the diagonal of LU: float32 can invert how far it stretches any direction.
LOG_DIAGONAL = 4.0


class LinearMap(Bijection):
    """z = W x along the first axis; for images, C × H × W, an invertible 1 × 1 convolution.

    Kingma & Dhariwal 2018, §3.2. An exported graph has W, its inverse and its log-determinant as
    constants, computed in float64.

    Args:
        event_shape: shape of one row; n is the length of its first axis.
    """

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__(event_shape)
        self.n, self.pixels = self.event_shape[0], math.prod(self.event_shape[1:])
        self._folded: tuple[Tensor, Tensor, Tensor] | None = None

    @abstractmethod
    def matrix(self) -> Tensor:
        """W, n × n."""

    @abstractmethod
    def inverse_matrix(self) -> Tensor:
        """The inverse of W, n × n."""

    @abstractmethod
    def log_abs_det(self) -> Tensor:
        """log|det W|, in nats."""

    def fold(self) -> None:
        """Keep the matrices and the log-determinant (`folding.Foldable`)."""
        exact = copy.deepcopy(self).double()
        with torch.no_grad():
            derived = exact.matrix(), exact.inverse_matrix(), exact.log_abs_det()
        like = next(iter(self.state_dict().values()))
        matrix, inverse, log_abs_det = (value.to(like) for value in derived)
        self._folded = matrix, inverse, log_abs_det

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        matrix = self.matrix() if self._folded is None else self._folded[0]
        return _along_first_axis(matrix, x), self._log_det(x)

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        inverse = self.inverse_matrix() if self._folded is None else self._folded[1]
        return _along_first_axis(inverse, z), -self._log_det(z)

    def _log_det(self, rows: Tensor) -> Tensor:
        """The log-determinant of each row: batch."""
        per_pixel = self.log_abs_det() if self._folded is None else self._folded[2]
        return (self.pixels * per_pixel).expand(rows.shape[0])


class LU(LinearMap):
    """W = P L (U + diag s), with determinant ± the product of s (Kingma & Dhariwal 2018, eq. 10).

    P and the signs of s are fixed; log|s| is bounded by `LOG_DIAGONAL`.

    Args:
        event_shape: shape of one row.
        seed: seed of the random rotation that W is initialized to; None for the identity.
    """

    order: Tensor
    sign: Tensor

    def __init__(self, event_shape: Sequence[int], seed: int | None = None) -> None:
        super().__init__(event_shape)
        rotation = torch.eye(self.n, dtype=torch.float64)
        if seed is not None:
            generator = torch.Generator().manual_seed(seed)
            normal = torch.randn(self.n, self.n, generator=generator, dtype=torch.float64)
            rotation = torch.linalg.qr(normal).Q
        swaps, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal()
        # saved with the parameters, because another machine may choose other pivots
        self.register_buffer("order", swaps.argmax(1))
        self.register_buffer("sign", diagonal.sign().float())
        log_diagonal = diagonal.abs().log().clamp(-0.9 * LOG_DIAGONAL, 0.9 * LOG_DIAGONAL)
        self.lower = nn.Parameter(lower.tril(-1).float())
        self.upper = nn.Parameter(upper.triu(1).float())
        self.raw = nn.Parameter((LOG_DIAGONAL * torch.atanh(log_diagonal / LOG_DIAGONAL)).float())

    def matrix(self) -> Tensor:
        """W, n × n."""
        lower, upper = self._factors()
        return (lower @ upper)[self.order]

    def inverse_matrix(self) -> Tensor:
        """The inverse of W by two triangular solves, n × n."""
        # in float64: the factors of a rotation are worse conditioned than it, by 10³ for n = 784
        lower, upper = (factor.double() for factor in self._factors())
        eye = _eye(self.n, lower)
        inner = torch.linalg.solve_triangular(lower, eye, upper=False, unitriangular=True)
        inverse: Tensor = torch.linalg.solve_triangular(upper, inner, upper=True)
        return inverse[:, self.order].to(self.lower)

    def log_abs_det(self) -> Tensor:
        """log|det W|, in nats."""
        return self._log_diagonal().sum()

    def _log_diagonal(self) -> Tensor:
        return LOG_DIAGONAL * torch.tanh(self.raw / LOG_DIAGONAL)

    def _factors(self) -> tuple[Tensor, Tensor]:
        lower = self.lower.tril(-1) + _eye(self.n, self.lower)
        diagonal = self.sign * torch.exp(self._log_diagonal())
        return lower, self.upper.triu(1) + torch.diag(diagonal)


class Householder(LinearMap):
    """A rotation by a product of reflections; its log-determinant is exactly zero.

    Tomczak & Welling 2016. The product is computed at once as W = I − V T Vᵀ (Joffrin et al. 1987,
    the UT transform). The reflections are initialized at random.

    Args:
        event_shape: shape of one row.
        reflections: how many; n if left out, which can represent every rotation.

    Raises:
        ValueError: fewer than one reflection.
    """

    def __init__(self, event_shape: Sequence[int], reflections: int | None = None) -> None:
        super().__init__(event_shape)
        count = self.n if reflections is None else reflections
        if count < 1:
            raise ValueError(f"reflections is at least 1, got {count}")
        self.vectors = nn.Parameter(torch.randn(count, self.n))

    def matrix(self) -> Tensor:
        """W, n × n."""
        return rotation(self.vectors)

    def inverse_matrix(self) -> Tensor:
        """The inverse of W is its transpose, n × n."""
        return self.matrix().T

    def log_abs_det(self) -> Tensor:
        """Exactly zero."""
        return self.vectors.new_zeros(())


def rotation(vectors: Tensor) -> Tensor:
    """The product of the reflections I − 2 v vᵀ / |v|² of K vectors: K × n → n × n."""
    unit = F.normalize(vectors, dim=1)
    gram = unit @ unit.T
    # T⁻¹ = ½ I + strictly upper part of the Gram matrix
    t_inverse = gram.triu(1) + 0.5 * _eye(len(unit), unit)
    right: Tensor = torch.linalg.solve_triangular(t_inverse, unit, upper=True)
    return _eye(unit.shape[1], unit) - unit.T @ right


def _along_first_axis(matrix: Tensor, rows: Tensor) -> Tensor:
    """Multiply along the first axis of each row: n × n, batch × n × … → batch × n × …."""
    if rows.ndim == 2:
        return F.linear(rows, matrix)
    return torch.matmul(matrix, rows.flatten(2)).view_as(rows)


def _eye(n: int, like: Tensor) -> Tensor:
    # created on the device: a CUDA graph cannot capture a copy from the host (`fit.cuda_graph`)
    return torch.eye(n, dtype=like.dtype, device=like.device)

"""Products: who multiplies the matrices of a replay on the host."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Products"]

_Array = npt.NDArray[Any]


class Products(Protocol):
    """
    What multiplies NumPy's arrays: `koubai.compile.blas`, or a library in the same memory.

    Two libraries that multiply in one process have a pool of threads each, which spin
    against each other; so a replay has one for all its products.
    """

    @property
    def from_the_start(self) -> bool:
        """Tell whether a view may be handed over as the array that begins where it does."""

    def available(self) -> bool:
        """Tell whether there is a `gemm`."""

    def takes(self, c: _Array, a: _Array, b: _Array) -> bool:
        """Tell whether `gemm` is the better way for a product that is not added to anything."""

    def gemm(self, c: _Array, a: _Array, b: _Array) -> Callable[[Any, Any, Any, Any, Any], None]:
        """Prepare ``run(alpha, beta, c, a, b)``: C = alpha A B + beta C, of arrays that lie so."""

    def real(self, dtype: np.dtype[Any]) -> Callable[[Any], Any]:
        """Give what makes a number ready for that function."""

    def address(self, array: _Array) -> Any:
        """Make an array ready for that function; whoever asks keeps the array alive."""

    def dot(self, a: _Array, b: _Array, out: _Array) -> Any:
        """Multiply two vectors or matrices, as `numpy.dot` does."""

    def matmul(self, a: _Array, b: _Array, out: _Array) -> Any:
        """Multiply matrices, or stacks of them, as `numpy.matmul` does."""

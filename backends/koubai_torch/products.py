"""Products of NumPy's arrays by PyTorch: a `koubai.compile.products.Products`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["address", "available", "dot", "from_the_start", "gemm", "matmul", "real", "takes"]

_Array = npt.NDArray[Any]

from_the_start = False
_REAL = ("float32", "float64")
_ALONE = 8192  # elements of vectors that NumPy's BLAS multiplies in one thread, and far sooner


def address(array: _Array) -> torch.Tensor:
    """Look at an array as a tensor, which is an ordinary one in inference mode too."""
    if not array.flags.writeable:  # a constant
        array = array.copy()
    if not torch.is_inference_mode_enabled():
        return torch.from_numpy(array)
    with torch.inference_mode(mode=False):
        return torch.from_numpy(array)


def available() -> bool:
    """PyTorch has ``addmm`` everywhere."""
    return True


def takes(c: _Array, a: _Array, b: _Array) -> bool:
    """Tell whether PyTorch can look at all three: then it multiplies them."""
    dtypes = {array.dtype.name for array in (c, a, b)}
    return (
        len(dtypes) == 1
        and dtypes <= set(_REAL)
        and all(x.flags.writeable and min(x.strides, default=0) >= 0 for x in (c, a, b))
    )


def gemm(c: _Array, a: _Array, b: _Array) -> Callable[[Any, Any, Any, Any, Any], None]:
    """Give ``addmm_`` with its arguments in the order of BLAS."""
    del c, a, b

    def run(alpha: float, beta: float, c: Any, a: Any, b: Any) -> None:
        c.addmm_(a, b, beta=beta, alpha=alpha)

    return run


def real(dtype: np.dtype[Any]) -> type:
    """PyTorch takes Python's numbers."""
    del dtype
    return float


def matmul(a: _Array, b: _Array, out: _Array) -> None:
    """Multiply vectors, matrices, or stacks of them."""
    sides = a.ndim, b.ndim
    if sides == (1, 1) and a.size <= _ALONE:
        np.dot(a, b, out=out)
        return
    if not takes(out, a, b) or (1 in sides and max(sides) > 2):
        np.matmul(a, b, out=out)
        return
    first, second, result = map(address, (a, b, out))
    if sides == (1, 1):
        torch.dot(first, second, out=result)
    elif sides == (1, 2):
        torch.mv(second.T, first, out=result)
    elif sides == (2, 1):
        torch.mv(first, second, out=result)
    else:
        torch.matmul(first, second, out=result)


dot = matmul  # of vectors and matrices they are the same

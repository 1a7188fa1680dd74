"""NumPy's own OpenBLAS, called by ctypes: what NumPy's functions leave out."""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["address", "available", "gemm", "real"]

_Array = npt.NDArray[Any]

# NumPy's wheels bring an OpenBLAS whose functions have these names: with 64-bit integers, or 32.
_KINDS = (("scipy_cblas_{}{}64_", ctypes.c_int64), ("scipy_cblas_{}{}", ctypes.c_int32))
_SORTS = (("", "gemm"), (" gemv", "gemv"))
_LETTERS = {"s": "float32", "d": "float64"}
_REALS = {"float32": ctypes.c_float, "float64": ctypes.c_double}
_BYTE: Callable[[Any], ctypes.c_byte] = ctypes.c_byte.from_buffer
_ROWS_FIRST, _AS_IT_IS, _TRANSPOSED = 101, 111, 112


def available() -> bool:
    """
    Tell whether NumPy's BLAS can be called directly.

    Any other BLAS in the process would bring threads of its own, which take turns at
    spinning with NumPy's; so there is no other way than NumPy's own.
    """
    return _library() is not None


def gemm(c: _Array, a: _Array, b: _Array) -> Callable[[Any, Any, Any, Any, Any], None]:
    """
    Prepare C = alpha A B + beta C.

    Parameters
    ----------
    c, a, b : ndarray, shapes (M, N), (M, K) and (K, N)
        Arrays that lie in memory as C, A and B will: C row by row or column by column,
        A and B in one direction without gaps. Their values do not matter.

    Returns
    -------
    callable
        ``run(alpha, beta, c, a, b)``, with numbers as `real` makes them and addresses as
        `address` gives them.
    """
    library = _library()
    assert library is not None
    turned = not c.flags.c_contiguous
    if turned:  # C.T = B.T A.T
        c, a, b = c.T, b.T, a.T
    function, integer = library[c.dtype.name]
    (m, n), k = c.shape, a.shape[1]
    (turn_a, step_a), (turn_b, step_b) = _lies(a), _lies(b)
    rows, ta, tb = map(ctypes.c_int, (_ROWS_FIRST, turn_a, turn_b))
    cm, cn, ck, lda, ldb, ldc, one = map(integer, (m, n, k, step_a, step_b, n, 1))

    def run(alpha: Any, beta: Any, c: Any, a: Any, b: Any) -> None:
        function(rows, ta, tb, cm, cn, ck, alpha, a, lda, b, ldb, beta, c, ldc)

    def run_turned(alpha: Any, beta: Any, c: Any, a: Any, b: Any) -> None:
        function(rows, ta, tb, cm, cn, ck, alpha, b, lda, a, ldb, beta, c, ldc)

    if m > 1 or turned or turn_b == _TRANSPOSED:
        return run_turned if turned else run
    product, _ = library[f"{c.dtype.name} gemv"]
    transposed = ctypes.c_int(_TRANSPOSED)

    def run_row(alpha: Any, beta: Any, c: Any, a: Any, b: Any) -> None:
        product(rows, transposed, ck, cn, alpha, b, ldb, a, one, beta, c, one)

    return run_row


def real(dtype: np.dtype[Any]) -> type:
    """Give the type of C for numbers that meet arrays of a dtype."""
    return _REALS[dtype.name]


def address(array: _Array) -> Any:
    """Tell BLAS where an array begins."""
    try:
        return ctypes.byref(_BYTE(array))
    except (TypeError, ValueError, BufferError):  # read-only, or empty
        return ctypes.c_void_p(array.ctypes.data)


def _lies(array: _Array) -> tuple[int, int]:
    """Tell whether a matrix lies transposed, and how many elements lead to the next row."""
    rows, columns = (stride // array.itemsize for stride in array.strides)
    if columns == 1 and (rows >= array.shape[1] or array.shape[0] == 1):
        return _AS_IT_IS, max(rows, array.shape[1])
    return _TRANSPOSED, max(columns, array.shape[0])


@cache
def _library() -> dict[str, tuple[Callable[..., None], Any]] | None:
    """Find the library that NumPy has loaded, and see that it multiplies."""
    for path in _candidates():
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        for name, integer in _KINDS:
            wanted = {f"{d}{v}": name.format(s, k) for s, d in _LETTERS.items() for v, k in _SORTS}
            if all(hasattr(library, symbol) for symbol in wanted.values()):
                found = {label: getattr(library, symbol) for label, symbol in wanted.items()}
                for function in found.values():
                    function.restype = None
                return {label: (function, integer) for label, function in found.items()}
    return None


def _candidates() -> list[Path]:
    package = Path(np.__file__).parent
    places = (package.parent / "numpy.libs", package / ".libs", package / ".dylibs")
    return [path for place in places for path in sorted(place.glob("*openblas*"))]

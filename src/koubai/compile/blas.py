"""
NumPy's own OpenBLAS, called by ctypes: what NumPy's functions leave out.

This module is a `koubai.compile.products.Products`.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "address",
    "available",
    "cut",
    "dot",
    "from_the_start",
    "gemm",
    "matmul",
    "real",
    "takes",
    "threads",
]

dot, matmul = np.dot, np.matmul
from_the_start = True  # it is addresses that are handed over

_Array = npt.NDArray[Any]
_Product: TypeAlias = tuple[_Array, _Array, _Array]  # C, A and B
_Gemm: TypeAlias = Callable[[Any, Any, Any, Any, Any], None]

# NumPy's wheels bring an OpenBLAS whose functions have these names: with 64-bit integers, or 32.
_KINDS = (("scipy_{}64_", ctypes.c_int64), ("scipy_{}", ctypes.c_int32))
_LETTERS = {"s": "float32", "d": "float64"}
_REALS = {"float32": ctypes.c_float, "float64": ctypes.c_double}
_FLOATS = [{np.dtype(name)} for name in _REALS]
_BYTE: Callable[[Any], ctypes.c_byte] = ctypes.c_byte.from_buffer
_ROWS_FIRST, _AS_IT_IS, _TRANSPOSED = 101, 111, 112

_PAIR = 2  # threads: what halves were measured with
_ENOUGH = 1_100_000  # multiplications in a half; a batch of OpenBLAS 0.3.31 crashes up to 100**3


def available() -> bool:
    """
    Tell whether NumPy's BLAS can be called directly.

    Any other BLAS in the process would bring threads of its own, which take turns at
    spinning with NumPy's; so there is no other way than NumPy's own.
    """
    return _library() is not None


def threads() -> int:
    """Tell how many threads NumPy's BLAS has for a batch of products; 0 if it knows no batches."""
    library = _library()
    return 0 if library is None else library.threads()


def takes(c: _Array, a: _Array, b: _Array) -> bool:
    """
    Tell whether `gemm` is faster than NumPy: where it makes two products of one.

    In one product OpenBLAS's threads copy the operands for each other, part by part, and
    wait for each other at every part. Two products that know nothing of each other took
    0.5 to 0.97 of the time, on two cores, though each copies a whole operand. They go to
    OpenBLAS's own threads, as a batch.

    Parameters
    ----------
    c, a, b : ndarray, shapes (M, N), (M, K) and (K, N)
        As for `gemm`, but of any dtype and any strides.

    Returns
    -------
    bool
        True where OpenBLAS has batches and two threads, and the matrices are such that
        `gemm` takes them, and large enough.
    """
    dtypes = {array.dtype for array in (c, a, b)}
    readable = dtypes in _FLOATS and all(map(_is_matrix, (c, a, b)))
    return available() and readable and c.flags.c_contiguous and len(cut(c, a, b)) > 1


def gemm(c: _Array, a: _Array, b: _Array) -> _Gemm:
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
    if not c.flags.c_contiguous:  # C.T = B.T A.T
        turned = gemm(c.T, b.T, a.T)
        return lambda alpha, beta, c, a, b: turned(alpha, beta, c, b, a)
    parts = cut(c, a, b)
    if len(parts) > 1:
        return _batch(library, (c, a, b), parts)
    function, integer = library.functions[f"{c.dtype.name} gemm"], library.integer
    (m, n), k = c.shape, a.shape[1]
    (turn_a, step_a), (turn_b, step_b) = _lies(a), _lies(b)
    rows, ta, tb = map(ctypes.c_int, (_ROWS_FIRST, turn_a, turn_b))
    cm, cn, ck, lda, ldb, ldc, one = map(integer, (m, n, k, step_a, step_b, n, 1))

    def run(alpha: Any, beta: Any, c: Any, a: Any, b: Any) -> None:
        function(rows, ta, tb, cm, cn, ck, alpha, a, lda, b, ldb, beta, c, ldc)

    if m > 1 or _TRANSPOSED in {turn_a, turn_b}:
        return run
    product = library.functions[f"{c.dtype.name} gemv"]
    transposed = ctypes.c_int(_TRANSPOSED)

    def run_row(alpha: Any, beta: Any, c: Any, a: Any, b: Any) -> None:
        product(rows, transposed, ck, cn, alpha, b, ldb, a, one, beta, c, one)

    return run_row


def real(dtype: np.dtype[Any]) -> type:
    """Give the type of C for numbers that meet arrays of a dtype."""
    return _REALS[dtype.name]


def address(array: _Array) -> ctypes.c_void_p:
    """Tell BLAS where an array begins; whoever asks keeps the array alive."""
    try:
        return ctypes.c_void_p(ctypes.addressof(_BYTE(array)))
    except (TypeError, ValueError, BufferError):  # read-only, or empty
        return ctypes.c_void_p(array.ctypes.data)


def cut(c: _Array, a: _Array, b: _Array) -> list[_Product]:
    """
    Cut a product in two along the longer side of its result, where that is faster.

    Parameters
    ----------
    c, a, b : ndarray, shapes (M, N), (M, K) and (K, N)
        As for `gemm`.

    Returns
    -------
    list of (C, A, B)
        Views: two, or the one that was given.
    """
    (m, n), k = c.shape, a.shape[1]
    if threads() != _PAIR or min(m, n) == 1:  # a row is sooner done by gemv
        return [(c, a, b)]
    if n > m:
        at = -(-n // 32) * 16  # OpenBLAS computes 16 columns at a time,
        parts = [(c[:, s], a, b[:, s]) for s in (slice(at), slice(at, None))]
    else:
        at = -(-m // 8) * 4  # of 4 rows
        parts = [(c[s], a[s], b) for s in (slice(at), slice(at, None))]
    enough = all(part.size * k >= _ENOUGH for part, _, _ in parts)
    return parts if enough else [(c, a, b)]


def _batch(library: "_Library", whole: _Product, parts: list[_Product]) -> _Gemm:
    """Prepare a product in parts, which BLAS gets in one call."""
    name, count = whole[0].dtype.name, len(parts)
    function, integers = library.functions[f"{name} gemm_batch"], library.integer * count
    turns, reals, addresses = ctypes.c_int * count, _REALS[name] * count, ctypes.c_void_p * count
    rows, groups = ctypes.c_int(_ROWS_FIRST), library.integer(count)
    ms, ns = (integers(*sizes) for sizes in zip(*(c.shape for c, _, _ in parts), strict=True))
    ks, ones = integers(*(a.shape[1] for _, a, _ in parts)), integers(*[1] * count)
    lies = [[_lies(part[i]) for part in parts] for i in range(3)]
    _, ta, tb = (turns(*(turn for turn, _ in each)) for each in lies)
    _, lda, ldb = (integers(*(step for _, step in each)) for each in lies)
    ldc = integers(*[whole[0].shape[1]] * count)
    c_from, a_from, b_from = (
        [part[i].ctypes.data - whole[i].ctypes.data for part in parts] for i in range(3)
    )

    def run(alpha: Any, beta: Any, c: Any, a: Any, b: Any) -> None:
        alphas, betas = reals(*[alpha.value] * count), reals(*[beta.value] * count)
        c_at = addresses(*[c.value + offset for offset in c_from])
        a_at = addresses(*[a.value + offset for offset in a_from])
        b_at = addresses(*[b.value + offset for offset in b_from])
        function(
            rows, ta, tb, ms, ns, ks, alphas, a_at, lda, b_at, ldb, betas, c_at, ldc, groups, ones
        )

    return run


def _is_matrix(array: _Array) -> bool:
    """Tell whether a matrix lies in one direction without gaps, and no element in two places."""
    (rows, columns), (m, n), size = array.strides, array.shape, array.itemsize
    return (columns == size and rows >= n * size) or (rows == size and columns >= m * size)


def _lies(array: _Array) -> tuple[int, int]:
    """Tell whether a matrix lies transposed, and how many elements lead to the next row."""
    rows, columns = (stride // array.itemsize for stride in array.strides)
    if columns == 1 and (rows >= array.shape[1] or array.shape[0] == 1):
        return _AS_IT_IS, max(rows, array.shape[1])
    return _TRANSPOSED, max(columns, array.shape[0])


@dataclass(frozen=True)
class _Library:
    """The OpenBLAS that NumPy has loaded: what it does for each dtype, and what it counts in."""

    functions: dict[str, Callable[..., None]]
    integer: Any
    threads: Callable[[], int]


@cache
def _library() -> _Library | None:
    """Find the library that NumPy has loaded."""
    for path in _candidates():
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        for name, integer in _KINDS:
            found = _functions(library, name, ("gemm", "gemv"))
            if not found:
                continue
            batches = _functions(library, name, ("gemm_batch",))
            threads = getattr(library, name.format("openblas_get_num_threads"), None)
            if not batches or threads is None:
                return _Library(found, integer, lambda: 0)
            return _Library(found | batches, integer, threads)
    return None


def _functions(library: Any, name: str, verbs: tuple[str, ...]) -> dict[str, Callable[..., None]]:
    """Give functions of a library by dtype and verb; none where one is missing."""
    found = {}
    for letter, dtype in _LETTERS.items():
        for verb in verbs:
            function = getattr(library, name.format(f"cblas_{letter}{verb}"), None)
            if function is None:
                return {}
            function.restype = None
            found[f"{dtype} {verb}"] = function
    return found


def _candidates() -> list[Path]:
    package = Path(np.__file__).parent
    places = (package.parent / "numpy.libs", package / ".libs", package / ".dylibs")
    return [path for place in places for path in sorted(place.glob("*openblas*"))]

"""Initial weights: how far from zero they are drawn (the book, section 6.2)."""

from collections.abc import Callable, Mapping
from math import isfinite, prod, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from koubai.errors import KoubaiError, ShapeError
from koubai.typing import Shape

__all__ = ["fans", "initial_weights"]

_SCALES: Mapping[str, Callable[[int, int], float]] = {
    "relu": lambda n, _: sqrt(2.0 / n),
    "he": lambda n, _: sqrt(2.0 / n),
    "sigmoid": lambda n, _: sqrt(1.0 / n),
    "xavier": lambda n, _: sqrt(1.0 / n),
    "lecun": lambda n, _: sqrt(1.0 / n),
    "glorot": lambda n, m: sqrt(2.0 / (n + m)),
}


def initial_weights(
    shape: Shape,
    how: float | str = 0.01,
    rng: "int | np.random.Generator | None" = None,
) -> npt.NDArray[np.float64]:
    """
    Draw weights on the host, so that a seed gives the same ones for every backend.

    Parameters
    ----------
    shape : tuple of int
        (D, M) of a matrix from D inputs to M outputs, or (F, C, H, W) of F filters over
        C channels.
    how : float or str
        A number is the standard deviation of a normal distribution. So is a name, with n
        inputs and m outputs:

        - ``"relu"``, ``"he"``: sqrt(2 / n), for layers before a Relu (He et al. 2015,
          https://arxiv.org/abs/1502.01852, equation 10; the book, section 6.2.3);
        - ``"sigmoid"``, ``"xavier"``: sqrt(1 / n), for layers before a Sigmoid or Tanh, as
          the book simplifies the next but one (section 6.2.2);
        - ``"lecun"``: sqrt(1 / n) (LeCun et al. 1998, Efficient BackProp, equation 16);
        - ``"glorot"``: sqrt(2 / (n + m)) (Glorot and Bengio 2010,
          https://proceedings.mlr.press/v9/glorot10a.html, equation 12).

        ``"orthogonal"``: a random matrix with orthonormal rows or columns, those of which
        there are fewer, so that it keeps lengths (Saxe et al. 2014,
        https://arxiv.org/abs/1312.6120); filters are rows, one each.
    rng : int or numpy.random.Generator, optional
        The source; a Generator goes on from where it is. Without one, weights differ each
        time.

    Returns
    -------
    numpy.ndarray of float64
        The weights.

    Raises
    ------
    KoubaiError
        If there is no such way, or the number is negative or not finite.
    ShapeError
        If a name is given, but the shape is not that of a matrix or of filters.

    Examples
    --------
    >>> W = initial_weights((400, 100), "relu", rng=0)
    >>> W.shape, round(float(W.std()), 3)
    ((400, 100), 0.071)
    >>> Q = initial_weights((3, 2), "orthogonal", rng=0)
    >>> bool(np.allclose(Q.T @ Q, np.eye(2)))
    True
    """
    draw = np.random.default_rng(rng).standard_normal
    if how == "orthogonal":
        fans(shape)
        return _orthogonal(draw(shape))
    return _scale(shape, how) * draw(shape)


def fans(shape: Shape) -> tuple[int, int]:
    """
    Tell how many inputs an output has, and how many outputs an input.

    Parameters
    ----------
    shape : tuple of int
        (D, M) of a matrix, or (F, C, H, W) of filters.

    Returns
    -------
    tuple of int
        D and M, or C H W and F H W.

    Raises
    ------
    ShapeError
        If it is neither, or has no inputs or outputs.

    Examples
    --------
    >>> fans((784, 50)), fans((30, 1, 5, 5))
    ((784, 50), (25, 750))
    """
    shape = tuple(shape)
    if len(shape) not in {2, 4} or min(shape) < 1:
        raise ShapeError(
            f"initial_weights: the shape is {shape}, but (D, M) of a matrix or (F, C, H, W) of "
            "filters is wanted, without a zero."
        )
    if len(shape) == 2:
        return shape[0], shape[1]
    return prod(shape[1:]), shape[0] * prod(shape[2:])


def _scale(shape: Shape, how: float | str) -> float:
    if isinstance(how, str):
        if how.lower() not in _SCALES:
            known = ", ".join(f'"{name}"' for name in (*_SCALES, "orthogonal"))
            raise KoubaiError(
                f"initial_weights: there is no way {how!r}. Give a standard deviation, or one of "
                f"{known}."
            )
        return _SCALES[how.lower()](*fans(shape))
    if not isfinite(how) or how < 0:
        raise KoubaiError(
            f"initial_weights: the standard deviation is {how!r}, but a finite number, at least 0, "
            "is wanted."
        )
    return how


def _orthogonal(drawn: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Make the rows or the columns orthonormal, whichever are fewer."""
    rows = drawn if drawn.ndim == 2 else drawn.reshape(drawn.shape[0], -1)
    tall = rows if rows.shape[0] >= rows.shape[1] else rows.T
    q, r = np.linalg.qr(tall)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)  # else not every such matrix is as likely
    return (q if tall is rows else q.T).reshape(drawn.shape)

"""Data from files: .npz, .npy and CSV, or MNIST."""

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from koubai.datasets import load_mnist
from koubai.errors import DatasetError

__all__ = ["TEST_PART", "Part", "read_parts", "read_samples"]

Host: TypeAlias = npt.NDArray[Any]
Part: TypeAlias = tuple[Host, Host]
TEST_PART = 0.2
"""Which part of the samples is kept for tests, where a file does not say which are."""


def read_parts(path: Path | None, labels: Path | None, dtype: str) -> tuple[Part, Part | None]:
    """
    Read the samples to learn from, and those for tests.

    Parameters
    ----------
    path : Path, optional
        ``.npz`` with ``x_train``, ``t_train`` and perhaps ``x_test``, ``t_test``, or with
        ``x`` and ``t``; ``.npy`` of samples, with ``labels``; ``.csv`` with the label in the
        last column. By default MNIST.
    labels : Path, optional
        ``.npy`` of labels.
    dtype : str
        The floating-point dtype of the samples.

    Returns
    -------
    train, test : pair of numpy.ndarray
        Samples and labels; no test where the file has none and only ``x`` and ``t``.

    Raises
    ------
    DatasetError
        If a file cannot be read, or does not hold what is wanted.
    """
    if path is None:
        train, test = load_mnist(dtype=dtype, device="cpu")
        return _hosted(train), _hosted(test)
    if path.suffix == ".npz":
        return _from_npz(path, dtype)
    if path.suffix == ".npy":
        if labels is None:
            raise DatasetError(f"{path}: .npy holds the samples only; --labels t.npy goes with it.")
        x, t = _load(path), _load(labels)
    else:
        x, t = _from_csv(path)
    return (_floating(path, x, dtype), t), None


def read_samples(path: Path, dtype: str) -> Host:
    """
    Read samples without labels.

    Parameters
    ----------
    path : Path
        ``.npy``, ``.npz`` with ``x``, or ``.csv`` of features only.
    dtype : str
        Their floating-point dtype.

    Returns
    -------
    numpy.ndarray, shape (N, ...)
        The samples.

    Raises
    ------
    DatasetError
        If the file cannot be read.
    """
    if path.suffix == ".npz":
        arrays = _load(path)
        x = next((arrays[name] for name in ("x", "x_test") if name in arrays), None)
        if x is None:
            raise DatasetError(f"{path}: there is no x in it; there are {', '.join(arrays)}.")
        return _floating(path, x, dtype)
    return _floating(path, _load(path) if path.suffix == ".npy" else _table(path), dtype)


def _from_npz(path: Path, dtype: str) -> tuple[Part, Part | None]:
    arrays = _load(path)
    pairs = [(f"x{part}", f"t{part}") for part in ("_train", "", "_test")]
    train, plain, test = (
        (_floating(path, arrays[x], dtype), arrays[t]) if x in arrays and t in arrays else None
        for x, t in pairs
    )
    found = train or plain
    if found is None:
        raise DatasetError(
            f"{path}: wanted are x_train and t_train, or x and t, and perhaps x_test and t_test; "
            f"there are {', '.join(arrays) or 'no arrays'}."
        )
    return found, test


def _from_csv(path: Path) -> Part:
    table = _table(path)
    if table.ndim != 2 or table.shape[1] < 2:
        raise DatasetError(f"{path}: wanted are columns of numbers, the label in the last one.")
    t = table[:, -1]
    whole = np.all(t == np.round(t))
    return table[:, :-1], t.astype(np.int64) if whole else t[:, np.newaxis]


def _table(path: Path) -> Host:
    """Read numbers between commas; a first line that is no numbers is a heading."""
    try:
        with path.open(encoding="utf-8") as file:
            heading = file.readline()
        try:
            [float(cell) for cell in heading.split(",")]
            skip = 0
        except ValueError:
            skip = 1
        return np.loadtxt(path, delimiter=",", skiprows=skip, ndmin=2)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as a table of numbers: {error}") from error


def _load(path: Path) -> Any:
    try:
        found = np.load(path, allow_pickle=False, mmap_mode="r" if path.suffix == ".npy" else None)
        return dict(found) if path.suffix == ".npz" else found
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error


def _floating(path: Path, x: Host, dtype: str) -> Host:
    if x.ndim < 2 or x.dtype.kind not in "fiub":
        raise DatasetError(
            f"{path}: samples are {x.dtype} of the shape {x.shape}, but numbers of the shape "
            "(N, ...) are wanted."
        )
    return x if x.dtype == dtype else x.astype(dtype)


def _hosted(part: Any) -> Part:
    x, t = part
    return x, t

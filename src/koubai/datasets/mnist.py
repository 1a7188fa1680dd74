"""MNIST: the handwritten digits of the book, found or fetched, verified, on any device."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from koubai.backend import Device, get_default_device, to_numpy
from koubai.backend import device as select_device
from koubai.datasets.download import cache_folder, download
from koubai.datasets.idx import ContentError, IdxFile
from koubai.errors import DatasetError, DTypeError
from koubai.typing import Array

__all__ = ["FILES", "MIRRORS", "load_mnist"]

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
FILES = (
    IdxFile(
        "train-images-idx3-ubyte",
        (60_000, 28, 28),
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    IdxFile(
        "train-labels-idx1-ubyte",
        (60_000,),
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    IdxFile(
        "t10k-images-idx3-ubyte",
        (10_000, 28, 28),
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    IdxFile(
        "t10k-labels-idx1-ubyte",
        (10_000,),
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)
_CLASSES = 10
_WHITE = 255


def load_mnist(
    normalize: bool = True,  # noqa: FBT001, FBT002  (the book's signature)
    flatten: bool = True,  # noqa: FBT001, FBT002
    one_hot_label: bool = False,  # noqa: FBT001, FBT002
    *,
    root: str | os.PathLike[str] | None = None,
    device: str | Device | None = None,
    dtype: str | None = None,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """
    Load MNIST: 60,000 handwritten digits to train on, 10,000 to test (the book, section 3.6).

    Each file is looked for, gzipped or not, in ``root`` alone if it is given; else, if the
    environment variable ``KOUBAI_DATA`` is set, in that folder and its sub-folder
    ``mnist``; else in ``examples/data/mnist`` of the clone that koubai runs from, then
    among the user's caches. Only ``root`` excepted, a file that is missing is fetched once,
    which needs the extra ``data``. Wherever a file comes from, its SHA-256 is checked.

    Parameters
    ----------
    normalize
        True for pixels from 0 to 1; False for the raw ones, from 0 to 255.
    flatten
        True for an image as a vector of 784; False for one of shape (1, 28, 28), the
        channel first.
    one_hot_label
        True for labels as one-hot rows; False for class indices.
    root
        The folder of the four files, gzipped or not.
    device
        Where the arrays are made, as in `koubai.device`; by default the default device.
    dtype
        The dtype of the images; by default float32 if they are normalised, else uint8.

    Returns
    -------
    x_train : Array, shape (60000, 784) or (60000, 1, 28, 28)
        The images to train on. The arrays come as ``(x_train, t_train), (x_test, t_test)``.
    t_train : Array, shape (60000,), uint8, or (60000, 10)
        Their labels. One-hot rows have the dtype of the images if that is floating point,
        else float32.
    x_test : Array, shape (10000, 784) or (10000, 1, 28, 28)
        The images to test with.
    t_test : Array, shape (10000,), uint8, or (10000, 10)
        Their labels.

    Raises
    ------
    DatasetError
        If a file is missing, truncated or altered, or cannot be fetched or stored.
    DTypeError
        If the device does not have the dtype, or the dtype cannot hold the pixels.

    Notes
    -----
    The MNIST database of Yann LeCun and Corinna Cortes is under CC BY-SA 3.0. Nothing is
    kept between calls: the arrays are the caller's to change.

    Examples
    --------
    >>> from koubai.datasets import load_mnist
    >>> (x_train, t_train), (x_test, t_test) = load_mnist(device="cpu")
    >>> x_train.shape, x_train.dtype, x_test.shape
    ((60000, 784), dtype('float32'), (10000, 784))
    >>> t_train[:5]
    array([5, 0, 4, 1, 9], dtype=uint8)
    """
    place = get_default_device() if device is None else select_device(device)
    image_dtype = _image_dtype(place, dtype, normalize=normalize)
    label_dtype = image_dtype if image_dtype.kind == "f" else np.dtype(np.float32)

    x_train, t_train, x_test, t_test = (_read(file, root) for file in FILES)

    def images(pixels: npt.NDArray[np.uint8]) -> Array:
        host = _pixels_as(image_dtype, pixels, normalize=normalize)
        rows = (-1,) if flatten else (1, *pixels.shape[1:])
        return place.asarray(host.reshape((len(pixels), *rows)))

    def labels(t: npt.NDArray[np.uint8]) -> Array:
        return place.asarray(np.eye(_CLASSES, dtype=label_dtype)[t] if one_hot_label else t.copy())

    return (images(x_train), labels(t_train)), (images(x_test), labels(t_test))


def _image_dtype(place: Device, dtype: str | None, *, normalize: bool) -> np.dtype[np.generic]:
    if dtype is None:
        dtype = "float32" if normalize else "uint8"
    found = to_numpy(place.asarray(np.zeros(1, np.uint8), dtype=dtype)).dtype
    if normalize and found.kind != "f":
        raise DTypeError(
            f"load_mnist: dtype={dtype!r} cannot hold pixels from 0 to 1. Ask for a floating-point "
            'one, such as dtype="float32", or for pixels from 0 to 255 with normalize=False.'
        )
    if not np.can_cast(np.uint8, found):
        raise DTypeError(
            f"load_mnist: dtype={dtype!r} cannot hold pixels from 0 to 255. Ask for another one, "
            'such as dtype="uint8" or dtype="float32".'
        )
    return found


def _pixels_as(
    dtype: np.dtype[np.generic], pixels: npt.NDArray[np.uint8], *, normalize: bool
) -> npt.NDArray[np.generic]:
    return np.divide(pixels, _WHITE, dtype=dtype) if normalize else pixels.astype(dtype)


def _read(file: IdxFile, root: str | os.PathLike[str] | None) -> npt.NDArray[np.uint8]:
    if root is not None:
        return _read_from_root(file, _folder(root))
    if data := os.environ.get("KOUBAI_DATA"):
        found = _find(file, _folder(data))
        return _find_or_fetch(file, _folder(data) / "mnist") if found is None else found
    found = _find(file, _clone_folder())
    return _find_or_fetch(file, cache_folder() / "mnist") if found is None else found


def _read_from_root(file: IdxFile, root: Path) -> npt.NDArray[np.uint8]:
    found = _find(file, root, "Put a sound copy in its place.")
    if found is None:
        raise DatasetError(
            f"load_mnist: there is neither {file.name}.gz nor {file.name} in root={str(root)!r}. "
            "Put it there, or leave root away, and koubai fetches the files that it does not find."
        )
    return found


def _find_or_fetch(file: IdxFile, folder: Path) -> npt.NDArray[np.uint8]:
    found = _find(file, folder)
    return download(file, folder, MIRRORS) if found is None else found


def _find(
    file: IdxFile, folder: Path, remedy: str = "Delete it, and koubai fetches it anew."
) -> npt.NDArray[np.uint8] | None:
    for path in (folder / file.name, folder / f"{file.name}.gz"):
        try:
            if path.is_file():
                return file.read(path)
        except ContentError as error:
            raise DatasetError(f"load_mnist: {path} {error}. {remedy}") from error
        except OSError as error:
            raise DatasetError(
                f"load_mnist: {path} cannot be read: {error}. Make it readable."
            ) from error
    return None


def _folder(path: str | os.PathLike[str]) -> Path:
    # Unlike Path.expanduser, os.path's leaves a ~name that nobody has as it is.
    return Path(os.path.expanduser(path)).absolute()  # noqa: PTH111


def _clone_folder() -> Path:
    package = Path(__file__).resolve().parent.parent
    return package.parent.parent / "examples" / "data" / "mnist"

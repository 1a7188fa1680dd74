"""IDX files whose content is known beforehand: read, verified, parsed."""

import gzip
import struct
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["ContentError", "IdxFile", "is_gzipped"]

_UNSIGNED_BYTE = 0x08


class ContentError(Exception):
    """A file that holds something else than it should; the message says what, of "it"."""


@dataclass(frozen=True)
class IdxFile:
    """
    An IDX file of unsigned bytes, as its publisher made it.

    The format, from http://yann.lecun.com/exdb/mnist/: two zero bytes, the type of the
    elements, the number of dimensions, each dimension as a big-endian 32-bit integer,
    and then the elements, the last dimension running fastest.

    Attributes
    ----------
    name : str
        The name of the file when it is unzipped.
    shape : tuple of int
        The shape of what it holds.
    sha256 : str
        The SHA-256 of the file when it is unzipped, in hexadecimal.

    Examples
    --------
    >>> file = IdxFile("train-labels-idx1-ubyte", (60000,), "65a50cbb...")
    >>> file.header.hex(" ", 4), file.size
    ('00000801 0000ea60', 60008)
    """

    name: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def header(self) -> bytes:
        """The bytes before the elements."""
        dimensions = len(self.shape)
        return struct.pack(f">HBB{dimensions}I", 0, _UNSIGNED_BYTE, dimensions, *self.shape)

    @property
    def size(self) -> int:
        """The number of bytes of the file when it is unzipped."""
        return len(self.header) + prod(self.shape)

    def read(self, path: Path) -> npt.NDArray[np.uint8]:
        """
        Read a copy of this file, gzipped or not, and prove that it is one.

        Never more than one byte above `size` is unzipped, whatever the file holds.

        Parameters
        ----------
        path
            The copy. Its first bytes, not its name, tell whether it is gzipped.

        Returns
        -------
        numpy.ndarray, uint8, of this file's shape
            The elements; read-only.

        Raises
        ------
        ContentError
            If the copy is truncated, too large, altered, or no IDX file.
        OSError
            If it is not there or cannot be read.
        """
        content = _unzip(path, self.size + 1)
        self._verify(content)
        elements = np.frombuffer(content, np.uint8, offset=len(self.header))
        return elements.reshape(self.shape)

    def _verify(self, content: bytes) -> None:
        if len(content) > self.size:
            raise ContentError(f"holds more than the {self.size} bytes of {self.name}")
        if len(content) < self.size:
            raise ContentError(
                f"holds {len(content)} bytes instead of the {self.size} of {self.name}"
            )
        found = content[: len(self.header)]
        if found != self.header:
            raise ContentError(
                f"has another IDX header than {self.name}: {found.hex(' ', 4)} instead of "
                f"{self.header.hex(' ', 4)}"
            )
        import hashlib  # noqa: PLC0415  (not before a file is read: it takes 2 ms)

        digest = hashlib.sha256(content).hexdigest()
        if digest != self.sha256:
            raise ContentError(
                f"is altered: unzipped, its SHA-256 is {digest} instead of {self.sha256}"
            )


def is_gzipped(path: Path) -> bool:
    """Tell from its first two bytes whether a file is gzipped."""
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _unzip(path: Path, limit: int) -> bytes:
    if not is_gzipped(path):
        with path.open("rb") as stream:
            return stream.read(limit)
    try:
        with gzip.open(path) as stream:
            return stream.read(limit)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ContentError(f"is a truncated or damaged gzip file ({error})") from error

"""Downloading a known file: from one mirror after another, and whole or not at all."""

import importlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from koubai.datasets.idx import ContentError, IdxFile, is_gzipped
from koubai.errors import DatasetError

__all__ = ["cache_folder", "download"]

_TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 16
_OVERHEAD = 1 << 16  # what gzip can add to a file that it cannot compress


def cache_folder() -> Path:
    """
    Give koubai's folder among the user's caches, as pooch and the system have it.

    Returns
    -------
    Path
        The folder; it need not exist yet.

    Raises
    ------
    DatasetError
        If pooch is not installed.
    """
    return Path(_import("pooch").os_cache("koubai"))


def download(file: IdxFile, folder: Path, mirrors: Sequence[str]) -> npt.NDArray[np.uint8]:
    """
    Fetch a file into a folder, from the first mirror that has it sound.

    The bytes go to a file of a name of their own, are verified there, and get the real
    name last; whatever happens before, nothing stays behind.

    Parameters
    ----------
    file
        The file, and what it must hold.
    folder
        Where it is put; made if need be.
    mirrors
        Addresses to which ``<name>.gz`` is appended, tried in turn.

    Returns
    -------
    numpy.ndarray, uint8, of the file's shape
        The elements; read-only.

    Raises
    ------
    DatasetError
        If pooch is not installed, no mirror has the file, or the folder cannot take it.
    """
    _import("pooch")
    requests = _import("requests")
    failures: list[Exception] = []
    report = ""
    for mirror in mirrors:
        url = f"{mirror}{file.name}.gz"
        try:
            return _download_from(url, file, folder)
        except ContentError as error:
            failures.append(error)
            report += f"\n  {url}: what came {error}"
        except requests.RequestException as error:
            failures.append(error)
            report += f"\n  {url}: {type(error).__name__}: {error}"
        except OSError as error:
            raise DatasetError(
                f"load_mnist: {file.name} cannot be stored in {folder}: {error}. Make room or "
                "give the permission there, or set the environment variable KOUBAI_DATA to a "
                "folder that can be written."
            ) from error
    raise DatasetError(
        f"load_mnist: {file.name} is not here and cannot be fetched. The mirrors said:{report}\n"
        "See whether this machine reaches the network and try again, or fetch the file "
        f"yourself, put it into {folder} (or any folder: load_mnist(root=...)), and koubai "
        "will find it."
    ) from failures[-1]


def _download_from(url: str, file: IdxFile, folder: Path) -> npt.NDArray[np.uint8]:
    folder.mkdir(parents=True, exist_ok=True)
    with _part(folder, file.name) as part:
        with part.open("xb") as stream:
            _stream(url, _Limited(stream, file.size + _OVERHEAD))
        elements = file.read(part)
        target = folder / (f"{file.name}.gz" if is_gzipped(part) else file.name)
        try:
            part.replace(target)
        except PermissionError:
            # Windows replaces no file that is being read: another process was here first.
            if not target.exists():
                raise
    return elements


@contextmanager
def _part(folder: Path, name: str) -> Iterator[Path]:
    path = folder / f".{name}.{os.urandom(8).hex()}.part"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


class _Limited:
    """A stream that takes no more than so many bytes."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self.stream = stream
        self.limit = limit
        self.written = 0

    def write(self, chunk: bytes) -> int:
        self.written += len(chunk)
        if self.written > self.limit:
            raise ContentError(f"is larger than {self.limit} bytes, gzipped")
        return self.stream.write(chunk)

    def flush(self) -> None:
        self.stream.flush()


def _stream(url: str, stream: _Limited) -> None:
    pooch = _import("pooch")
    pooch.get_logger().info("Downloading %s", url)
    with ExitStack() as responses:

        def close_later(response: Any, **_: object) -> None:
            responses.callback(response.close)

        fetch = pooch.HTTPDownloader(
            chunk_size=_CHUNK, timeout=_TIMEOUT, hooks={"response": close_later}
        )
        fetch(url, stream, None)


def _import(library: str) -> ModuleType:
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise DatasetError(
            f"load_mnist: MNIST is not here, and fetching it needs {library}, which is not "
            "installed: pip install pooch. Or put the four files into a folder and "
            "name it: load_mnist(root=...), or the environment variable KOUBAI_DATA."
        ) from error

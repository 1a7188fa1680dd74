"""Writing a file whole or not at all."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["flush_folder", "left_over", "write_whole"]

_PREFIX, _SUFFIX = ".koubai-", ".part"
_NO_WAY = frozenset({errno.EINVAL, errno.ENOTSUP})  # of some network file systems


def write_whole(path: Path, data: bytes | bytearray) -> None:
    """
    Write a file so that its name only ever stands for all of the old or all of the new.

    The bytes go to a file of another name in the same folder, are flushed to the disk,
    and get the real name last; then the folder is flushed. Whatever happens before the
    renaming, a file that was there stays as it was.

    Parameters
    ----------
    path : Path
        The file.
    data : bytes
        All that it shall hold.

    Raises
    ------
    OSError
        If the system refuses; nothing of the new file stays behind.
    """
    part = path.with_name(f"{_PREFIX}{os.urandom(8).hex()}{_SUFFIX}")
    try:
        with part.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    flush_folder(path.parent)


def left_over(folder: Path) -> Iterator[Path]:
    """Give the files that writers left unfinished which were killed."""
    return folder.glob(f"{_PREFIX}*{_SUFFIX}")


def flush_folder(folder: Path) -> None:
    """Let the names in a folder reach the disk, where the system has a way to."""
    if sys.platform == "win32":  # which opens no folder, and keeps names by itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_WAY:
            raise
    finally:
        os.close(handle)

"""One process at a time writes into a folder; the system frees it when the process ends."""

import os
import sys
from pathlib import Path
from threading import Lock
from weakref import WeakValueDictionary, finalize

from koubai.errors import CheckpointError

__all__ = ["FolderLock", "lock_folder"]

_NAME = ".lock"


class FolderLock:
    """
    The right of this process to write into a folder, for as long as the object lives.

    Attributes
    ----------
    turn : threading.Lock
        To be held while writing, by one thread at a time.
    exclusive : bool
        Whether the file system really locks; some network file systems do not.
    """

    def __init__(self, folder: Path) -> None:
        self.pid = os.getpid()
        self.turn = Lock()
        handle = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT, 0o644)
        finalize(self, os.close, handle)
        try:
            _lock(handle)
        except BlockingIOError as error:
            raise CheckpointError(
                f"CheckpointFolder: {folder} is being written to by another process{_who(handle)}. "
                "Two trainings in one folder would push each other's checkpoints out: give each a "
                "folder of its own, or end the other one."
            ) from error
        except OSError:
            self.exclusive = False
        else:
            self.exclusive = True
            os.ftruncate(handle, 0)
            os.write(handle, str(self.pid).encode())


_looking = Lock()
_held: WeakValueDictionary[Path, FolderLock] = WeakValueDictionary()


def lock_folder(folder: Path) -> FolderLock:
    """
    Take a folder for this process, or find that it has it already.

    Parameters
    ----------
    folder : Path
        A folder that is there.

    Returns
    -------
    FolderLock
        To be kept by the writer.

    Raises
    ------
    CheckpointError
        If another process has it.
    OSError
        If no file can be written there.
    """
    key = folder.resolve()
    with _looking:
        lock = _held.get(key)
        if lock is None or lock.pid != os.getpid():  # a forked child has not its parent's right
            lock = _held[key] = FolderLock(key)
    return lock


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415

        try:
            # Far behind the process number, which others read.
            os.lseek(handle, 1 << 30, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(*error.args) from error
        os.lseek(handle, 0, os.SEEK_SET)
    else:
        import fcntl  # noqa: PLC0415

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _who(handle: int) -> str:
    os.lseek(handle, 0, os.SEEK_SET)
    pid = os.read(handle, 20).decode(errors="replace")
    return f" (number {pid})" if pid else ""

"""Checkpoints: all that a training needs to go on after it was cut off."""

import operator
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy.typing as npt

from koubai.errors import CheckpointError, SavingError
from koubai.saving.lock import FolderLock, lock_folder
from koubai.saving.sealed import DamagedError, read, seal, understood
from koubai.saving.whole import flush_folder, left_over, write_whole
from koubai.typing import Array

__all__ = ["Checkpoint", "CheckpointFolder", "CheckpointWarning"]

_FILE = re.compile(r"(\d{6,})-step-(\d+)(-best)?\.safetensors")


class CheckpointWarning(UserWarning):
    """A checkpoint was damaged, and the one before it was taken."""


@dataclass(frozen=True, eq=False, repr=False)
class Checkpoint:
    """
    What was written at one step, read again and proved to be unaltered.

    Attributes
    ----------
    path : Path
        Its file.
    step : int
        The step of the training.
    arrays : dict of str to numpy.ndarray
        The arrays, on the host; `koubai.asarray` and `load_weights` take them to a device.
    state : dict
        What was given beside them.
    best : bool
        Whether it was the best when it was written.
    """

    path: Path
    step: int
    arrays: dict[str, npt.NDArray[Any]]
    state: dict[str, Any]
    best: bool

    def __repr__(self) -> str:
        best = ", best" if self.best else ""
        return f"Checkpoint(step {self.step}, {len(self.arrays)} arrays{best}, {self.path.name})"

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Self:
        """
        Read one checkpoint.

        Parameters
        ----------
        path : str or Path
            Its file.

        Returns
        -------
        Checkpoint
            What it holds.

        Raises
        ------
        CheckpointError
            If it cannot be read, is truncated, altered, of a newer format, or none.
        """
        try:
            return cls._open(path)
        except CheckpointError:
            raise
        except SavingError as error:
            raise CheckpointError(str(error)) from error

    @classmethod
    def _open(cls, path: str | PathLike[str]) -> Self:
        contents = read("Checkpoint", path)
        notes = contents.notes
        if notes is None or notes.get("kind") != "checkpoint":
            what = "of another origin" if notes is None else "of a network: koubai.load reads it"
            raise DamagedError(f"Checkpoint: {path} is no checkpoint, but a file {what}.")
        with understood(f"Checkpoint: {path}"):
            return cls(Path(path), notes["step"], contents.arrays, notes["state"], notes["best"])


class _Entry(NamedTuple):
    number: int
    best: bool
    path: Path


class CheckpointFolder:
    """
    A folder with the last checkpoints of one training, and the best.

    A checkpoint is one file, which is there whole or not at all, even if the machine
    loses power while it is written; a SHA-256 within it is verified on reading. Files are
    numbered as they are written, so that the newest is the last one written, whatever its
    step.

    Parameters
    ----------
    path : str or Path
        The folder; made at the first `write` if need be.
    keep : int
        How many of the last checkpoints stay; the best stays besides.

    Raises
    ------
    CheckpointError
        If ``keep`` is less than 1.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as path:
    ...     folder = CheckpointFolder(path, keep=2)
    ...     for step in (10, 20, 30, 40):
    ...         arrays = {"W1": np.full((2, 2), float(step))}
    ...         _ = folder.write(step, arrays, {"loss": 1 / step}, best=step == 20)
    ...     print(folder.newest(), folder.best(), len(folder.paths()))
    Checkpoint(step 40, 1 arrays, 000004-step-40.safetensors)
    Checkpoint(step 20, 1 arrays, best, 000002-step-20-best.safetensors) 3
    """

    def __init__(self, path: str | PathLike[str], keep: int = 3) -> None:
        if not keep >= 1:
            raise CheckpointError(f"CheckpointFolder: keep is {keep!r}, but at least 1 is wanted.")
        self.path = Path(path)
        self.keep = keep
        self._lock: FolderLock | None = None

    def __repr__(self) -> str:
        return f"CheckpointFolder({str(self.path)!r}, keep={self.keep})"

    def paths(self) -> list[Path]:
        """
        Give the files of the checkpoints, in the order in which they were written.

        Returns
        -------
        list of Path
            Empty if there are none, or no folder.

        Raises
        ------
        CheckpointError
            If the folder cannot be read.
        """
        return [entry.path for entry in self._entries()]

    def write(
        self,
        step: int,
        arrays: Mapping[str, Array],
        state: Mapping[str, Any] | None = None,
        *,
        best: bool = False,
    ) -> Path:
        """
        Write a checkpoint, then remove those that need not stay.

        Parameters
        ----------
        step : int
            The step of the training, from 0.
        arrays : dict of str to Array
            Arrays of any backend, by any names: parameters, momenta, running means.
        state : dict, optional
            All else: numbers, strings, lists, tuples, dicts, integers of any size and
            NumPy arrays, as the states of random generators have them.
        best : bool
            Whether it is the best so far; then it stays until the next best.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        CheckpointError
            If there is no room or no permission, or another process writes there. All
            earlier checkpoints are as they were.
        SavingError, NotAnArrayError, DTypeError
            If something can be saved in no file; nothing was written.
        """
        notes = {
            "kind": "checkpoint",
            "step": _step(step),
            "best": bool(best),
            "state": dict(state or {}),
        }
        data = seal("CheckpointFolder.write", arrays, notes)
        with self._writing():
            last = max((entry.number for entry in self._entries()), default=0)
            mark = "-best" if best else ""
            path = self.path / f"{last + 1:06}-step-{notes['step']}{mark}.safetensors"
            write_whole(path, data)
            self._prune()
        return path

    def newest(self) -> Checkpoint | None:
        """
        Read the last checkpoint, or if it is damaged the one before.

        Returns
        -------
        Checkpoint or None
            None if none was ever written.

        Raises
        ------
        CheckpointError
            If there are some, but none can be read; or a newer koubai wrote the last.

        Warns
        -----
        CheckpointWarning
            If one was damaged: which, and why.
        """
        return self._last_whole(self._entries())

    def best(self) -> Checkpoint | None:
        """
        Read the last checkpoint that was written as the best.

        Returns
        -------
        Checkpoint or None
            None if none was.

        Raises
        ------
        CheckpointError
            As `newest`.

        Warns
        -----
        CheckpointWarning
            As `newest`.
        """
        return self._last_whole(entry for entry in self._entries() if entry.best)

    def _entries(self) -> list[_Entry]:
        try:
            found = [(_FILE.fullmatch(path.name), path) for path in self.path.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CheckpointError(
                f"CheckpointFolder: {self.path} cannot be read: {error}."
            ) from error
        return sorted(_Entry(int(match[1]), bool(match[3]), path) for match, path in found if match)

    def _last_whole(self, entries: Iterable[_Entry]) -> Checkpoint | None:
        damage: list[SavingError] = []
        for entry in reversed(list(entries)):
            try:
                found = Checkpoint._open(entry.path)  # noqa: SLF001
            except SavingError as error:
                if not isinstance(error, DamagedError) and not isinstance(error.__cause__, OSError):
                    raise CheckpointError(str(error)) from error
                damage.append(error)
                continue
            for reason in damage:
                warnings.warn(
                    f"{reason} Going back to {found.path.name}, of step {found.step}.",
                    CheckpointWarning,
                    stacklevel=3,
                )
            return found
        if damage:
            report = "".join(f"\n  {error}" for error in damage)
            raise CheckpointError(
                f"CheckpointFolder: no checkpoint in {self.path} can be read:{report}\n"
                "Take a copy of one that is whole, or begin anew in another folder."
            ) from damage[0]
        return None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the folder, and tell clearly what the system refuses."""
        try:
            if not self.path.is_dir():
                self.path.mkdir(parents=True, exist_ok=True)
                flush_folder(self.path.parent)
            self._lock = lock_folder(self.path)
            with self._lock.turn:
                if self._lock.exclusive:  # then nobody is at work on them
                    for part in left_over(self.path):
                        part.unlink(missing_ok=True)
                yield
        except CheckpointError:
            raise
        except OSError as error:
            raise CheckpointError(
                f"CheckpointFolder: no checkpoint can be written to {self.path}: {error}. Make "
                "room or give the permission there; all earlier checkpoints are as they were."
            ) from error

    def _prune(self) -> None:
        entries = self._entries()
        best = [entry for entry in entries if entry.best]
        stay = {*entries[-self.keep :], *best[-1:]}
        for entry in entries:
            if entry not in stay:
                with suppress(OSError):  # Windows removes no file that is being read
                    entry.path.unlink(missing_ok=True)


def _step(step: object) -> int:
    try:
        found = operator.index(step)  # type: ignore[arg-type]
    except TypeError:
        found = -1
    if found < 0 or isinstance(step, bool):
        raise CheckpointError(
            f"CheckpointFolder.write: step is {step!r}, but a whole number from 0 is wanted."
        )
    return found

"""Sealed files: safetensors whose metadata holds a checksum of the whole file.

The SHA-256 lies within the file that it proves, so that neither is ever there without the
other. It is that of the file with 64 zeros in its own place.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from koubai import __version__
from koubai.backend import to_numpy
from koubai.errors import DTypeError, KoubaiError, NotAnArrayError, SavingError
from koubai.saving.plain import from_plain, to_plain
from koubai.typing import Array

__all__ = ["FORMAT", "Contents", "DamagedError", "read", "seal", "understood", "unseal"]

FORMAT = 1
_KEY = "koubai"
_BLANK = b"0" * 64
_DTYPES = {
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
    "I8": "<i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
    "U8": "<u1",
    "U16": "<u2",
    "U32": "<u4",
    "U64": "<u8",
    "BOOL": "|b1",
}
_NAMES = frozenset(np.dtype(code).name for code in _DTYPES.values())


class DamagedError(SavingError):
    """The bytes are not those that were written."""


@dataclass(frozen=True, eq=False)
class Contents:
    """
    What a file holds.

    Attributes
    ----------
    arrays : dict of str to numpy.ndarray
        The arrays by name.
    notes : dict or None
        What koubai wrote beside them; None in a file of somebody else.
    """

    arrays: dict[str, npt.NDArray[Any]]
    notes: dict[str, Any] | None


def seal(owner: str, arrays: Mapping[str, Array], notes: Mapping[str, object]) -> bytearray:
    """
    Make the bytes of a file; the same arrays and notes give the same bytes everywhere.

    Parameters
    ----------
    owner : str
        Whom an error names.
    arrays : mapping of str to Array
        Arrays of any backend.
    notes : mapping
        What shall stand beside them; see `to_plain` for what it may hold.

    Returns
    -------
    bytearray
        A safetensors file.

    Raises
    ------
    SavingError
        If the notes hold what JSON cannot, or a name is no name.
    NotAnArrayError, DTypeError
        If something is no array, or of a dtype that the format does not have.
    """
    host = {name: _on_host(owner, name, array) for name, array in arrays.items()}
    head = {"sha256": _BLANK.decode(), "format": FORMAT, "koubai": __version__}
    text = json.dumps(head | {key: to_plain(note, key) for key, note in notes.items()})
    data = bytearray(safetensors.numpy.save(host, {_KEY: text}))
    place = data.index(_BLANK)
    data[place : place + len(_BLANK)] = sha256(data).hexdigest().encode()
    return data


def read(owner: str, path: str | PathLike[str]) -> Contents:
    """
    Read a file and see that it is what was written.

    Parameters
    ----------
    owner : str
        Whom an error names.
    path : str or Path
        A safetensors file, of koubai or of somebody else.

    Returns
    -------
    Contents
        Arrays and notes.

    Raises
    ------
    DamagedError
        If it is no safetensors file, truncated, or altered.
    SavingError
        If it cannot be read, or a newer koubai wrote it in a newer format.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise SavingError(f"{owner}: {path} cannot be read: {error}.") from error
    return unseal(f"{owner}: {path}", data)


def unseal(name: str, data: bytes) -> Contents:
    """Do the work of `read` on bytes; an error names ``name``."""
    try:
        tensors = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise DamagedError(f"{name} {_no_safetensors(data)} ({error}).") from error
    header = data[8 : 8 + int.from_bytes(data[:8], "little")]
    text = (json.loads(header).get("__metadata__") or {}).get(_KEY)
    notes = None if text is None else _notes(name, data, header, text)
    with understood(name):
        return Contents({key: _array(name, key, tensor) for key, tensor in tensors}, notes)


@contextmanager
def understood(name: str) -> Iterator[None]:
    """Turn the surprises of reading what a file says into one clear error."""
    try:
        yield
    except KoubaiError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise SavingError(
            f"{name} holds something that this koubai ({__version__}) does not understand: "
            f"{type(error).__name__}: {error}. It was made by another version, or by hand."
        ) from error


def _on_host(owner: str, name: object, array: Array) -> npt.NDArray[Any]:
    if not isinstance(name, str) or name == "__metadata__":
        raise SavingError(f"{owner}: {name!r} cannot be the name of an array; a string can.")
    try:
        host = np.asarray(to_numpy(array))
    except NotAnArrayError as error:
        raise NotAnArrayError(f"{owner}: {name}: {error}") from error
    if host.dtype.name not in _NAMES:
        raise DTypeError(
            f"{owner}: {name} is {host.dtype.name}; a file can hold {', '.join(sorted(_NAMES))}. "
            'Change it first, as with koubai.asarray(x, dtype="float32").'
        )
    return np.asarray(host, host.dtype.newbyteorder("<"), order="C")


def _no_safetensors(data: bytes) -> str:
    # The size of a header may begin like a pickle; behind it comes a brace.
    if data[8:9] != b"{" and (data[:1] == b"\x80" or data[:2] == b"PK"):
        return (
            "is a pickle or a zip file (torch.save, numpy.savez), which koubai never opens: "
            "unpickling runs whatever the file says. Save it as safetensors where it comes from"
        )
    return "is no safetensors file, or is truncated or altered"


def _notes(name: str, data: bytes, header: bytes, text: str) -> dict[str, Any]:
    """Read the notes, having seen that not one byte of the file has changed."""
    try:
        notes = json.loads(text)
        seal_ = notes["sha256"].encode()
        place = 8 + header.index(seal_)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _altered(name, "its checksum is gone") from error
    proof = sha256(data[:place])
    proof.update(_BLANK)
    proof.update(memoryview(data)[place + len(_BLANK) :])
    if proof.hexdigest().encode() != seal_:
        raise _altered(name, "its SHA-256 is not the one that it was written with")
    found = notes.get("format")
    if found != FORMAT:
        raise SavingError(
            f"{name} is of format {found!r}, written by koubai {notes.get('koubai')}; this is "
            f"koubai {__version__}, which reads format {FORMAT}. "
            "Install a newer one: pip install --upgrade koubai."
        )
    with understood(name):
        return {key: from_plain(note) for key, note in notes.items()}


def _altered(name: str, reason: str) -> DamagedError:
    return DamagedError(
        f"{name} has been altered since koubai wrote it: {reason}. Take a copy that is whole. If "
        "another program changed it on purpose, read it with safetensors.numpy.load_file(path) "
        "and give load_weights the dict."
    )


def _array(name: str, key: str, tensor: Any) -> npt.NDArray[Any]:
    code, shape, data = tensor["dtype"], tensor["shape"], tensor["data"]
    if code == "BF16":  # NumPy has none; as float32 it is exact
        wide = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return wide.view(np.float32).reshape(shape)
    if code not in _DTYPES:
        raise SavingError(
            f"{name}: {key} is of the dtype {code}, which NumPy does not have. Convert it where it "
            "comes from; float16, bfloat16, float32 and float64 can be read."
        )
    array = np.frombuffer(data, _DTYPES[code]).reshape(shape)
    return array.astype(array.dtype.newbyteorder("="))

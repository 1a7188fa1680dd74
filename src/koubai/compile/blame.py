"""Whose line was it? What an error tells of the code that cannot be compiled."""

import linecache
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_stack, walk_tb
from types import FrameType, TracebackType

from koubai.errors import CompileError

__all__ = ["cannot"]

_KOUBAI = str(Path(__file__).parents[1])
_NOBODYS = (
    str(Path(__file__).parent),
    f"{_KOUBAI}/arrays.py",
    sysconfig.get_path("purelib"),
    sysconfig.get_path("platlib"),
    "<frozen",
    "<koubai",
)


def cannot(what: str, instead: str, trace: TracebackType | None = None) -> CompileError:
    """
    Make the error for something that a compiled step cannot do.

    Parameters
    ----------
    what : str
        What the code does, such as ``reads a value on the host``.
    instead : str
        What to write.
    trace : traceback, optional
        Where it happened; by default here.

    Returns
    -------
    CompileError
        With the line that did it: the innermost that is no array library's, and where
        that is one of koubai's, the line that called it as well.
    """
    lines = list(_guilty(sys._getframe(1) if trace is None else trace))  # noqa: SLF001
    where = "\n".join(map(_told, lines)) or "  (no line of Python)"
    return CompileError(f"This cannot be compiled, because it {what}:\n{where}\n{instead}")


def _guilty(place: FrameType | TracebackType) -> Iterator[tuple[str, int, str]]:
    """Give file, line and function of those who are to blame, the innermost first."""
    for name, line, function in _stack(place):
        inside = name.startswith(_KOUBAI)
        if name.startswith(_NOBODYS):
            continue
        yield name, line, function
        if not inside:
            return


def _stack(place: FrameType | TracebackType) -> list[tuple[str, int, str]]:
    if isinstance(place, TracebackType):
        walked = [(frame.f_code, line) for frame, line in walk_tb(place)][::-1]
    else:
        walked = [(frame.f_code, line) for frame, line in walk_stack(place)]
    return [(code.co_filename, line, code.co_name) for code, line in walked]


def _told(place: tuple[str, int, str]) -> str:
    name, line, function = place
    return (
        f'  File "{name}", line {line}, in {function}\n    {linecache.getline(name, line).strip()}'
    )

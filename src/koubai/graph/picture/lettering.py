"""How much room a text takes, and what of a text may be shown at all."""

import unicodedata
from dataclasses import dataclass
from typing import TypeAlias

from koubai.graph.picture.scene import Amount

__all__ = [
    "FONTS",
    "Line",
    "Mark",
    "clean",
    "describe",
    "height_of",
    "role_width",
    "shorten",
    "text_width",
    "width_of",
]

FONTS = ("DejaVu Sans", "Verdana", "sans-serif")
ASCENT, DESCENT, LINE = 0.93, 0.24, 1.2
BOLD = 1.12
LONGEST_NAME, LONGEST_AMOUNT = 28, 44

# Of DejaVu Sans and Verdana the wider letter counts, in parts of the font size.
_WIDTHS = {
    0.36: "ijl'",
    0.5: ' .,:;!()[]-/\\IJfrt`"|',
    0.7: "ABCEFLPRSTVXYZ",
    0.84: "wGOQDHNUK+=<>^~#&",
    1.08: "mMW@%…",
}
_WIDTH = {letter: width for width, letters in _WIDTHS.items() for letter in letters}
_JOINERS = "\u200c\u200d"


Mark: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Line:
    """
    One line of text.

    Attributes
    ----------
    text : str
        The text, clean.
    role : str
        What it tells: ``name``, ``value``, ``derivative``, ``symbol`` ...
    size : float
        The font size, in pixels.
    mark : tuple of str, optional
        What a program knows it by: ``("value", "n3")``.
    """

    text: str
    role: str
    size: float = 15
    mark: Mark | None = None


Lines: TypeAlias = tuple[Line, ...]


def clean(text: str) -> str:
    r"""
    Give a text on one line, without what XML forbids or what would turn the line round.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        White space in it is one space; control characters and the like are gone.

    Examples
    --------
    >>> clean("a\x00  b\n")
    'a b'
    """
    kept = (" " if letter.isspace() else letter for letter in text if _may_stand(letter))
    return " ".join("".join(kept).split())


def _may_stand(letter: str) -> bool:
    if letter.isspace() or letter in _JOINERS:
        return True
    return unicodedata.category(letter) not in {"Cc", "Cf", "Cs"} and letter not in "\ufffe\uffff"


def shorten(text: str, longest: int = LONGEST_NAME) -> str:
    """Give the clean text, cut off with an ellipsis where it is too long to be drawn."""
    text = clean(text)
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def describe(
    amount: Amount | None,
    role: str,
    before: str = "",
    size: float = 15,
    mark: Mark | None = None,
) -> Lines:
    """Give the lines on which a value or a derivative is written; none of None."""
    if amount is None:
        return ()
    first = Line(before + shorten(amount.text, LONGEST_AMOUNT), role, size, mark)
    detail = shorten(amount.detail, LONGEST_AMOUNT)
    return (first, Line(detail, f"{role} detail", size - 3, mark)) if detail else (first,)


def text_width(text: str, size: float) -> float:
    """
    Estimate the width of a text, rather too wide than too narrow.

    Parameters
    ----------
    text : str
        The text, on one line.
    size : float
        The font size, in pixels.

    Returns
    -------
    float
        The width in pixels, in any of `FONTS`.
    """
    return size * sum(map(_letter_width, text))


def _letter_width(letter: str) -> float:
    known = _WIDTH.get(letter)
    if known is not None:
        return known
    if letter.isascii():
        return 0.64
    if unicodedata.category(letter) in {"Mn", "Me", "Cf"}:
        return 0.0
    if unicodedata.category(letter) == "So":
        return 1.4
    return 1.04 if unicodedata.east_asian_width(letter) in {"W", "F"} else 0.9


def width_of(lines: Lines) -> float:
    """Give the width of lines of text that stand one below the other."""
    return max((role_width(line.text, line.role, line.size) for line in lines), default=0.0)


def role_width(text: str, role: str, size: float) -> float:
    """Estimate the width of a text in its role; names are bold."""
    return text_width(text, size) * (BOLD if role.startswith("name") else 1.0)


def height_of(lines: Lines) -> float:
    """Give the height of lines of text that stand one below the other."""
    return LINE * sum(line.size for line in lines)

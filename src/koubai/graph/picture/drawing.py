"""A picture in which everything has its place: shapes, lines and texts, in pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import hypot
from typing import Literal, Self, TypeAlias

from koubai.graph.picture.lettering import ASCENT, DESCENT, LINE, Lines, Mark, role_width
from koubai.graph.picture.scene import Scene

__all__ = ["Drawing", "Extent", "Figure", "Path", "Point", "Shape", "Text", "write"]

Anchor: TypeAlias = Literal["start", "middle", "end"]
Point: TypeAlias = tuple[float, float]
Extent: TypeAlias = tuple[float, float, float, float]

CORNER = 9.0
ARROW, BARB = 9.0, 3.6


@dataclass(frozen=True)
class Text:
    """One line of text; x is where its anchor stands, and y its base line."""

    x: float
    y: float
    text: str
    role: str
    size: float
    anchor: Anchor = "middle"
    mark: Mark | None = None

    def moved(self, dx: float, dy: float) -> Self:
        """Give the same text elsewhere."""
        return replace(self, x=self.x + dx, y=self.y + dy)

    @property
    def extent(self) -> Extent:
        """Left, top, right and bottom of the room that it takes."""
        width = role_width(self.text, self.role, self.size)
        left = self.x - width * {"start": 0, "middle": 0.5, "end": 1}[self.anchor]
        return left, self.y - ASCENT * self.size, left + width, self.y + DESCENT * self.size


@dataclass(frozen=True)
class Shape:
    """A box with round corners, or with nothing else a circle; x and y are its centre."""

    x: float
    y: float
    width: float
    height: float
    radius: float
    role: str
    mark: Mark | None = None

    def moved(self, dx: float, dy: float) -> Self:
        """Give the same shape elsewhere."""
        return replace(self, x=self.x + dx, y=self.y + dy)

    @property
    def extent(self) -> Extent:
        """Left, top, right and bottom."""
        x, y, across, down = self.x, self.y, self.width / 2, self.height / 2
        return x - across, y - down, x + across, y + down

    @property
    def is_circle(self) -> bool:
        """Whether its corners are all that there is of it."""
        return self.width == self.height == 2 * self.radius


@dataclass(frozen=True)
class Path:
    """A line through points, with an arrow head at its end."""

    points: tuple[Point, ...]
    role: str
    rule: str = ""
    mark: Mark | None = None

    def moved(self, dx: float, dy: float) -> Self:
        """Give the same line elsewhere."""
        return replace(self, points=tuple((x + dx, y + dy) for x, y in self.points))

    @property
    def head(self) -> tuple[Point, Point, Point]:
        """The corners of the arrow head, its tip first."""
        x, y = self.points[-1]
        across, down = self._direction()
        back_x, back_y = x - ARROW * across, y - ARROW * down
        left = (back_x - BARB * down, back_y + BARB * across)
        return (x, y), left, (back_x + BARB * down, back_y - BARB * across)

    def strokes(self) -> Iterator[tuple[Point, ...]]:
        """Give the line up to its arrow head: a start, then ends, or knees with their end."""
        x, y = self.points[-1]
        across, down = self._direction()
        points = [*self.points[:-1], (x - 0.7 * ARROW * across, y - 0.7 * ARROW * down)]
        yield (points[0],)
        for before, knee, after in zip(points, points[1:], points[2:], strict=False):
            yield (_towards(knee, before),)
            yield knee, _towards(knee, after)
        yield (points[-1],)

    def _direction(self) -> Point:
        (start_x, start_y), (x, y) = self.points[-2:]
        length = hypot(x - start_x, y - start_y) or 1.0
        return (x - start_x) / length, (y - start_y) / length


def _towards(knee: Point, other: Point) -> Point:
    across, down = other[0] - knee[0], other[1] - knee[1]
    part = min(0.5, CORNER / (hypot(across, down) or 1.0))
    return knee[0] + part * across, knee[1] + part * down


@dataclass(frozen=True)
class Figure:
    """
    What belongs together, drawn around the point (0, 0) or moved from there.

    Attributes
    ----------
    width, up, down : float
        The room that it takes: half of the width to either side, and above and below.
    key : str
        The place that it shows, or the source of the edge whose label it is.
    hint : str
        What is told where a pointer rests on it.
    left, right : float
        Where on the height of the centre lines end and start.
    half : float
        How far above and below the centre lines may end.
    align : {"start", "middle", "end"}
        Where it stands in a column that is wider.
    shapes, paths, texts : tuple
        What is drawn.
    """

    width: float
    up: float
    down: float
    key: str = ""
    hint: str = ""
    left: float = 0.0
    right: float = 0.0
    half: float = 0.0
    align: Anchor = "middle"
    shapes: tuple[Shape, ...] = ()
    paths: tuple[Path, ...] = ()
    texts: tuple[Text, ...] = ()

    def moved(self, dx: float, dy: float) -> Self:
        """Give the same figure with its centre elsewhere."""
        return replace(
            self,
            shapes=tuple(shape.moved(dx, dy) for shape in self.shapes),
            paths=tuple(path.moved(dx, dy) for path in self.paths),
            texts=tuple(text.moved(dx, dy) for text in self.texts),
        )


@dataclass(frozen=True)
class Drawing:
    """
    A scene with geometry.

    Attributes
    ----------
    scene : Scene
        What is drawn.
    width, height : float
        Of the whole picture.
    figures : tuple of Figure
        The places and the labels of the edges, at their places.
    paths : tuple of Path
        The edges.
    """

    scene: Scene
    width: float
    height: float
    figures: tuple[Figure, ...] = field(default=())
    paths: tuple[Path, ...] = field(default=())


def write(lines: Lines, x: float, top: float, anchor: Anchor = "middle") -> tuple[Text, ...]:
    """Give lines of text their places, one below the other."""
    tops = [top]
    for line in lines:
        tops.append(tops[-1] + LINE * line.size)
    return tuple(
        Text(x, start + ASCENT * line.size, line.text, line.role, line.size, anchor, line.mark)
        for line, start in zip(lines, tops, strict=False)
    )


def straight(points: Sequence[Point]) -> tuple[Point, ...]:
    """Leave out the points where a line does not bend, and those that are there twice."""
    points = [here for here, after in pairwise(points) if here != after] + [points[-1]]
    kept = [points[0]]
    for here, after in pairwise(points[1:]):
        across, down = here[0] - kept[-1][0], here[1] - kept[-1][1]
        if abs(across * (after[1] - here[1]) - down * (after[0] - here[0])) > 1e-6:
            kept.append(here)
    return (*kept, points[-1])

"""Parameters, which stand above and below the layer that uses them."""

from math import sqrt

from koubai.graph.picture.drawing import Figure, Path, Shape, write
from koubai.graph.picture.lettering import (
    Line,
    Lines,
    clean,
    describe,
    height_of,
    shorten,
    width_of,
)
from koubai.graph.picture.scene import Edge, Place

__all__ = ["BACK", "PAD", "TOTAL", "parameter_figure", "share_key", "with_asides"]

PAD = 8.0
CONNECTOR = 28.0
BACK, TOTAL = "← ", "total ← "


def parameter_figure(place: Place, share: Edge | None = None, *, first: bool = True) -> Figure:
    """Draw a parameter; one that is shared shows its share, and at its first use the total."""
    name = shorten(place.name)
    lines = (
        *((Line(name, "name", 14),) if name else ()),
        *describe(place.value, "value", size=13, mark=("value", place.key)),
        *_returned(place, share, first=first),
    )
    width, height = width_of(lines) + 2 * PAD, height_of(lines) + PAD
    box = Shape(0, 0, width, height, 5, "parameter", ("place", place.key))
    return Figure(
        width=width,
        up=height / 2,
        down=height / 2,
        key=place.key,
        hint=clean(place.name),
        right=width / 2,
        shapes=(box,),
        texts=write(lines, 0, -height_of(lines) / 2),
    )


def share_key(edge: Edge) -> str:
    """Give the name by which programs know an edge."""
    return f"{edge.source}-{edge.target}-{edge.slot}"


def _returned(place: Place, share: Edge | None, *, first: bool) -> Lines:
    mark = ("total", place.key)
    if share is None:
        return describe(place.gradient, "derivative", BACK, 13, mark)
    told = describe(share.gradient, "derivative", BACK, 13, ("gradient", share_key(share)))
    return told + describe(place.gradient, "derivative", TOTAL, 13, mark) if first else told


def with_asides(figure: Figure, asides: tuple[Figure, ...]) -> Figure:
    """Draw parameters above and below what uses them."""
    # The first stands above and the second below, so that the row in the middle stays straight.
    # Below a caption there is no way to the shape.
    step = 1 if figure.down > figure.up else 2
    above = _row(figure, asides[0::step], -1)
    below = _row(figure, asides[1::step] if step > 1 else (), 1)
    parts = (figure, *above, *below)
    widths = [sum(part.width for part in row) + PAD * (len(row) - 1) for row in (above, below)]
    return Figure(
        width=max(figure.width, *widths),
        up=figure.up + max((2 * part.up + CONNECTOR for part in above), default=0),
        down=figure.down + max((2 * part.down + CONNECTOR for part in below), default=0),
        key=figure.key,
        hint=figure.hint,
        left=figure.left,
        right=figure.right,
        half=figure.half,
        shapes=tuple(shape for part in parts for shape in part.shapes),
        paths=tuple(path for part in parts for path in part.paths),
        texts=tuple(text for part in parts for text in part.texts),
    )


def _row(figure: Figure, row: tuple[Figure, ...], side: int) -> tuple[Figure, ...]:
    reach = figure.up if side < 0 else figure.down
    left = -(sum(part.width for part in row) + PAD * (len(row) - 1)) / 2
    placed = []
    for part in row:
        x, y = left + part.width / 2, side * (reach + CONNECTOR + part.up)
        # Straight down where the shape is wide enough, else slanted towards its middle.
        foot = max(0.6 * figure.left, min(0.6 * figure.right, x))
        start = (x, side * (reach + CONNECTOR))
        tip = (foot, side * _edge_above(figure.shapes[0], foot))
        moved = part.moved(x, y)
        joined = Path((start, tip), "aside", mark=("aside", part.key))
        placed.append(
            Figure(
                part.width,
                part.up,
                part.down,
                shapes=moved.shapes,
                texts=moved.texts,
                paths=(joined,),
            )
        )
        left += part.width + PAD
    return tuple(placed)


def _edge_above(shape: Shape, x: float) -> float:
    straight_part = shape.width / 2 - shape.radius
    beyond = max(0.0, abs(x) - straight_part)
    return shape.height / 2 - shape.radius + sqrt(shape.radius**2 - beyond**2)

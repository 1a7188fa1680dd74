"""What a place looks like, with everything that belongs to it, before it has a place."""

from dataclasses import replace

from koubai.graph.picture.asides import (
    BACK,
    PAD,
    TOTAL,
    parameter_figure,
    share_key,
    with_asides,
)
from koubai.graph.picture.drawing import Anchor, Figure, Shape, Text, write
from koubai.graph.picture.lettering import (
    Line,
    Lines,
    Mark,
    clean,
    describe,
    height_of,
    shorten,
    text_width,
    width_of,
)
from koubai.graph.picture.scene import Amount, Edge, Place

__all__ = [
    "end_figure",
    "figure_of",
    "label_figure",
    "lane_figure",
    "parameter_figure",
    "share_key",
]

GAP = 6.0
RADIUS = 20.0


def figure_of(place: Place, uses: int, lines_in: int, asides: tuple[Figure, ...] = ()) -> Figure:
    """
    Draw a place around the point (0, 0).

    Parameters
    ----------
    place : Place
        What is drawn.
    uses : int
        How many lines leave it; from two on, it tells its name and its derivative itself.
    lines_in : int
        How many lines come in from the left.
    asides : tuple of Figure
        The parameters that are drawn above and below it.

    Returns
    -------
    Figure
        All of it.
    """
    if place.kind in {"input", "constant"}:
        return _outside(place, uses)
    if place.kind == "parameter":
        return parameter_figure(place)
    return with_asides(_operation(place, uses, lines_in), asides)


def _outside(place: Place, uses: int) -> Figure:
    quiet = " quiet" if place.kind == "constant" else ""
    name = shorten(place.name)
    total = _total(place, uses)
    if not name and not total:
        return Figure(6, 5, 5, place.key, right=3, align="end", shapes=(_dot(place, 0),))
    # Without a name, nothing but the sum of its derivatives stands at the start of its lines.
    named = (Line(name, f"name{quiet}"),) if name else ()
    width = width_of(named + total) + GAP
    half = height_of(named or total) / 2
    texts = write(named + total, width / 2 - GAP, -half, "end")
    down = height_of(named + total) - half
    hint = clean(place.name)
    return Figure(width, half, down, place.key, hint, right=width / 2, align="end", texts=texts)


def _dot(place: Place, x: float) -> Shape:
    role = "dot quiet" if place.kind == "constant" else "dot"
    return Shape(x, 0, 6, 6, 3, role, ("place", place.key))


def _total(place: Place, uses: int) -> Lines:
    if uses < 2:
        return ()
    return describe(place.gradient, "derivative", TOTAL, mark=("total", place.key))


def _operation(place: Place, uses: int, lines_in: int) -> Figure:
    symbol = shorten(place.symbol)
    size = 20.0 if len(symbol) == 1 else 15.0 if place.kind == "layer" else 13.0
    inside = text_width(symbol, size)
    half = max(RADIUS, 4.5 * lines_in)
    drawn = _layer_box(inside, half) if place.kind == "layer" else _circle(inside, half)
    shape = replace(drawn, mark=("place", place.key))
    caption = _caption(place, uses)
    sign = Text(0, 0.33 * size, symbol, "symbol", size)
    hint = ": ".join(filter(None, (clean(place.layer), clean(place.formula))))
    return Figure(
        width=max(shape.width, width_of(caption)),
        up=shape.height / 2,
        down=shape.height / 2 + (height_of(caption) + 3 if caption else 0),
        key=place.key,
        hint=hint,
        left=-shape.width / 2,
        right=shape.width / 2,
        half=shape.height / 2,
        shapes=(shape,),
        texts=(sign, *write(caption, 0, shape.height / 2 + 3)),
    )


def _circle(inside: float, half: float) -> Shape:
    radius = max(RADIUS, inside / 2 + 4)
    if half == RADIUS and radius <= 1.5 * RADIUS:
        return Shape(0, 0, 2 * radius, 2 * radius, radius, "operation")
    # A long sign or many lines make it long or high.
    return Shape(0, 0, max(2 * RADIUS, inside + 2 * PAD), 2 * half, RADIUS, "operation")


def _layer_box(inside: float, half: float) -> Shape:
    return Shape(0, 0, max(inside + 3 * PAD, 2 * half), 2 * half, 8, "layer")


def _caption(place: Place, uses: int) -> Lines:
    if uses < 2:
        return ()
    name = shorten(place.name)
    return ((Line(name, "name"),) if name else ()) + _total(place, uses)


def label_figure(
    place: Place, gradient: Amount | None, mark: Mark, *, named: bool = False
) -> Figure:
    """Draw what stands on a line: the value above it, and the derivative below it."""
    quiet = " quiet" if place.kind == "constant" else ""
    told = named and place.kind in {"operation", "layer"}
    before = f"{shorten(place.name)} = " if told and clean(place.name) else ""
    value = describe(place.value, f"value{quiet}", before, mark=("value", place.key))
    derivative = describe(gradient, "derivative", BACK, mark=mark)
    up, down = height_of(value) + 3, height_of(derivative) + 3
    texts = write(value, 0, -up) + write(derivative, 0, 3)
    return Figure(width_of(value + derivative) + 2 * PAD, up, down, place.key, texts=texts)


def stub_figure(place: Place, edge: Edge) -> Figure:
    """Draw a number that stands on its own line, which starts with a dot."""
    label = label_figure(place, edge.gradient, ("gradient", share_key(edge)))
    start = 3 - label.width / 2
    return replace(label, right=start, shapes=(_dot(place, start),))


def lane_figure() -> Figure:
    """Keep room for a line that passes a column."""
    return Figure(0, 6, 6)


def end_figure(place: Place) -> Figure:
    """Draw the end of the output: its name, where it has one that does not stand at its start."""
    told = place.kind in {"operation", "layer"} and clean(place.name)
    name = (Line(shorten(place.name), "name output"),) if told else ()
    width, half = width_of(name) + (GAP if name else 0), max(6.0, height_of(name) / 2)
    anchor: Anchor = "start"
    texts = write(name, -width / 2 + GAP, -half, anchor)
    return Figure(
        width, half, half, place.key, clean(place.name), left=-width / 2, align=anchor, texts=texts
    )

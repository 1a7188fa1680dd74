"""Layout: a scene with geometry, from left to right as in the book."""

from collections import defaultdict
from itertools import pairwise
from math import atan2, sin, sqrt

from koubai.graph.picture.columns import Grid, Wire, grid_of
from koubai.graph.picture.drawing import Drawing, Figure, Path, Point, straight
from koubai.graph.picture.order import settle_order
from koubai.graph.picture.rails import GAP, heights_of
from koubai.graph.picture.rows import Rows, Spans, rows_of
from koubai.graph.picture.scene import Scene

__all__ = ["lay_out"]

MARGIN = 20.0
NARROWEST, WIDEST, SLOPE = 16.0, 100.0, 0.75
LANDING = 14.0
PORT_GAP = 11.0


def lay_out(scene: Scene, widest: float = 1800) -> Drawing:
    """
    Give everything in a scene its place.

    Inputs stand at the left and the output at the right; parameters of a layer stand above
    and below it. No text meets another text, a shape or a line.

    Parameters
    ----------
    scene : Scene
        What is drawn.
    widest : float
        From about which width on, in pixels, a picture goes on in a further row.

    Returns
    -------
    Drawing
        The same for the same scene, always.
    """
    grid = grid_of(scene)
    settle_order(grid)
    heights = heights_of(grid)
    columns = _columns(grid, heights)
    centres = [
        (_centre(figure, columns[grid.column_of[cell]]), heights[cell])
        for cell, figure in enumerate(grid.figures)
    ]
    rows = rows_of(grid, columns, centres, MARGIN, widest)
    width, height = rows.size
    return Drawing(
        scene=scene,
        width=width,
        height=height,
        figures=tuple(
            figure.moved(*_moved(rows, cell, centres[cell]))
            for cell, figure in enumerate(grid.figures)
            if figure.shapes or figure.texts
        ),
        paths=tuple(_paths(grid, columns, centres, rows)),
    )


def _moved(rows: Rows, cell: int, point: Point) -> Point:
    row = rows.rows[rows.row_of[cell]]
    return point[0] + row.dx, point[1] + row.dy


def _columns(grid: Grid, heights: list[float]) -> Spans:
    steepest: dict[int, float] = defaultdict(float)
    for start, end in grid.links():
        column = grid.column_of[start]
        steepest[column] = max(steepest[column], abs(heights[end] - heights[start]))
    columns: Spans = []
    left = MARGIN
    for number, cells in enumerate(grid.columns):
        right = left + max((grid.figures[cell].width for cell in cells), default=0.0)
        columns.append((left, right))
        # Odd columns hold labels: behind them a line needs room to land with its arrow.
        least = NARROWEST + (LANDING if number % 2 else 0)
        left = right + max(least, min(WIDEST, SLOPE * steepest[number]))
    return columns


def _centre(figure: Figure, column: tuple[float, float]) -> float:
    left, right = column
    if figure.align == "start":
        return left + figure.width / 2
    return right - figure.width / 2 if figure.align == "end" else (left + right) / 2


def _paths(grid: Grid, columns: Spans, centres: list[Point], rows: Rows) -> list[Path]:
    ports = _ports(grid, columns, centres)
    paths = []
    for number, wire in enumerate(grid.wires):
        points = _points(grid, wire, columns, centres, ports[number])
        placed = [_moved(rows, *points[0])]
        for before, after in pairwise(points):
            if rows.row_of[before[0]] != rows.row_of[after[0]]:
                row, end = rows.rows[rows.row_of[before[0]]], _moved(rows, *before)
                placed += rows.turn(row, number, end, _moved(rows, after[0], before[1]))
            placed.append(_moved(rows, *after))
        role = "edge quiet" if wire.source.kind == "constant" else "edge"
        paths.append(Path(straight(placed), role, wire.rule, ("edge", wire.key)))
    return paths


def _points(
    grid: Grid, wire: Wire, columns: Spans, centres: list[Point], port: Point
) -> list[tuple[int, Point]]:
    source, target = wire.cells[0], wire.cells[-1]
    x, y = centres[source]
    points = [(source, (x + grid.figures[source].right, y))]
    points.append((source, (columns[grid.column_of[source]][1], y)))
    for cell in wire.cells[1:-1]:
        left, right = columns[grid.column_of[cell]]
        points += [(cell, (left, centres[cell][1])), (cell, (right, centres[cell][1]))]
    (start_x, start_y), (end_x, end_y) = points[-1][1], port
    left = columns[grid.column_of[target]][0]
    inside = (end_x - left) * (end_y - start_y) / (end_x - start_x)
    room = _room(grid.figures[target], end_y - centres[target][1])
    if end_x - left > LANDING or abs(inside) > room:
        # The column is wider than the shape, or the line steep: it may not run over others.
        points.append((target, (min(left, end_x) - LANDING, end_y)))
    return [*points, (target, port)]


def _room(figure: Figure, offset: float) -> float:
    # How far beside its end a slanted line may enter the column without coming near others.
    bare = figure.up == figure.half == figure.down
    return figure.half + 0.7 * GAP - abs(offset) if bare else PORT_GAP / 2


def _ports(grid: Grid, columns: Spans, centres: list[Point]) -> dict[int, Point]:
    entering: dict[int, list[int]] = defaultdict(list)
    for number, wire in enumerate(grid.wires):
        entering[wire.cells[-1]].append(number)
    ports = {}
    for target, numbers in entering.items():
        figure, (x, y) = grid.figures[target], centres[target]
        numbers.sort(key=lambda number: (centres[grid.wires[number].cells[-2]][1], number))
        # Lines meet a circle as if they went to its centre, but a box not at its corners.
        reach = figure.half * (0.6 if "layer" in {shape.role for shape in figure.shapes} else 0.8)
        wishes = []
        for number in numbers:
            before = grid.wires[number].cells[-2]
            across = x + figure.left - columns[grid.column_of[before]][1]
            wishes.append(reach * sin(atan2(centres[before][1] - y, across)))
        for number, offset in zip(numbers, _spread(wishes, reach), strict=True):
            ports[number] = (x + _border(figure, offset), y + offset)
    return ports


def _spread(wishes: list[float], reach: float) -> list[float]:
    gap = min(PORT_GAP, 2 * reach / max(1, len(wishes) - 1))
    if all(after - before >= gap for before, after in pairwise(wishes)):
        return wishes
    level = [number for number, wish in enumerate(wishes) if abs(wish) < 1]
    middle = level[0] if level else (len(wishes) - 1) / 2
    offsets = [(number - middle) * gap for number in range(len(wishes))]
    if max(-offsets[0], offsets[-1]) > reach:
        middle = (len(wishes) - 1) / 2
        offsets = [(number - middle) * gap for number in range(len(wishes))]
    return offsets


def _border(figure: Figure, offset: float) -> float:
    if not figure.shapes:
        return figure.left
    shape = figure.shapes[0]
    beyond = max(0.0, abs(offset) - (shape.height / 2 - shape.radius))
    return figure.left + shape.radius - sqrt(max(0.0, shape.radius**2 - beyond**2))

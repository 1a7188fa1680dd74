"""A picture that would be too wide is broken into rows, as a text is into lines."""

from dataclasses import dataclass
from math import ceil

from koubai.graph.picture.columns import Grid
from koubai.graph.picture.drawing import Point

__all__ = ["Row", "Rows", "Spans", "rows_of"]

Spans = list[tuple[float, float]]

MOST_CROSSING = 4
LANE, TURN = 8.0, 17.0


@dataclass(frozen=True)
class Row:
    """
    Some columns that stand side by side.

    Attributes
    ----------
    dx, dy : float
        How far they are moved.
    right, bottom : float
        Where they end, moved.
    lanes : dict of int to int
        The wires that go on in the next row, and the lane that each takes on its way there,
        from top to bottom; those that leave a place together stay together.
    """

    dx: float
    dy: float
    right: float
    bottom: float
    lanes: dict[int, int]

    @property
    def depth(self) -> float:
        """How much room the lanes take, side by side."""
        return LANE * len(set(self.lanes.values()))


@dataclass(frozen=True)
class Rows:
    """
    All rows, the row of each cell, and the left margin.

    Attributes
    ----------
    rows : tuple of Row
        From top to bottom.
    row_of : tuple of int
        The row of each cell.
    margin : float
        What is left free around everything.
    """

    rows: tuple[Row, ...]
    row_of: tuple[int, ...]
    margin: float

    @property
    def size(self) -> Point:
        """The width and the height of the whole picture."""
        width = max(row.right + bool(row.lanes) * (TURN + row.depth) for row in self.rows)
        return width + self.margin, self.rows[-1].bottom + self.margin

    def turn(self, row: Row, wire: int, end: Point, start: Point) -> tuple[Point, ...]:
        """Give the way of a wire from where it leaves a row to where it enters the next."""
        # The uppermost wire turns farthest out and comes back lowest, so that none cross.
        away = row.depth - LANE * (row.lanes[wire] + 1)
        right, between = row.right + TURN + away, row.bottom + TURN + away
        left = self.margin + away
        return end, (right, end[1]), (right, between), (left, between), (left, start[1]), start


def rows_of(grid: Grid, columns: Spans, centres: list[Point], margin: float, widest: float) -> Rows:
    """
    Break a picture into rows where few lines go on.

    Parameters
    ----------
    grid : Grid
        The cells.
    columns : list of tuple of float
        Left and right of each column, in one row.
    centres : list of tuple of float
        Of each cell, in one row.
    margin : float
        What is left free around everything.
    widest : float
        What a row should not exceed; a picture a little wider stays in one.

    Returns
    -------
    Rows
        At least one.
    """
    fed = {right for _, right in grid.links()}
    cuts = _cuts(grid, columns, fed, widest)
    # What only gives stands at the start of the row where it is used, not before the break.
    row_of = tuple(
        sum(column > cut or (column == cut and cell not in fed) for cut in cuts)
        for cell, column in enumerate(grid.column_of)
    )
    rows: list[Row] = []
    for number in range(len(cuts) + 1):
        cells = [cell for cell, row in enumerate(row_of) if row == number]
        lanes = _lanes(grid, cuts[number], fed, centres) if number < len(cuts) else {}
        ghosts = [_cell_at(grid, wire, cuts[number - 1]) for wire in rows[-1].lanes] if rows else []
        top, bottom = _reach(grid, centres, cells, ghosts)
        begin = min(
            (centres[cell][0] - grid.figures[cell].width / 2 for cell in cells), default=0.0
        )
        dx, above = 0.0, margin
        if number:
            begin = min(begin, columns[cuts[number - 1]][1])
            dx = margin + rows[-1].depth + TURN - begin
            above = rows[-1].bottom + 2 * TURN + rows[-1].depth
        last = columns[cuts[number] if number < len(cuts) else -1][1] if columns else margin
        rows.append(Row(dx, above - top, last + dx, bottom - top + above, lanes))
    return Rows(tuple(rows), row_of, margin)


def _cuts(grid: Grid, columns: Spans, fed: set[int], widest: float) -> list[int]:
    total = columns[-1][1] if columns else 0.0
    if total <= 1.25 * widest:
        return []
    limit = 1.08 * total / ceil(total / widest)
    wires = _wires_after(grid, fed)
    cuts: list[int] = []
    start, chance = 0.0, 0
    for column in range(2, len(columns) - 1, 2):
        right = columns[column][1]
        if chance and right - start > limit:
            cuts.append(chance)
            start, chance = columns[chance][1], 0
        if wires[column] <= MOST_CROSSING:
            chance = column
    return cuts


def _wires_after(grid: Grid, fed: set[int]) -> list[int]:
    changes = [0] * (len(grid.columns) + 1)
    for wire in grid.wires:
        source = wire.cells[0]
        changes[grid.column_of[source] + (source not in fed)] += 1
        changes[grid.column_of[wire.cells[-1]]] -= 1
    for column in range(1, len(changes)):
        changes[column] += changes[column - 1]
    return changes


def _lanes(grid: Grid, cut: int, fed: set[int], centres: list[Point]) -> dict[int, int]:
    cells = {}
    for number, wire in enumerate(grid.wires):
        source = wire.cells[0]
        if grid.column_of[source] + (source not in fed) <= cut < grid.column_of[wire.cells[-1]]:
            cells[number] = _cell_at(grid, number, cut)
    order = sorted(set(cells.values()), key=lambda cell: centres[cell][1])
    return {number: order.index(cell) for number, cell in cells.items()}


def _cell_at(grid: Grid, wire: int, column: int) -> int:
    cells = grid.wires[wire].cells
    return cells[column - grid.column_of[cells[0]]]


def _reach(
    grid: Grid, centres: list[Point], cells: list[int], ghosts: list[int]
) -> tuple[float, float]:
    tops = [centres[cell][1] - grid.figures[cell].up for cell in cells]
    bottoms = [centres[cell][1] + grid.figures[cell].down for cell in cells]
    passing = [centres[cell][1] for cell in ghosts]
    return min([*tops, *passing], default=0.0), max([*bottoms, *passing], default=0.0)

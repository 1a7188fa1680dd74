"""The height of every cell: cells on one rail are level, so that lines run straight."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf

from koubai.graph.picture.columns import Grid, Wire

__all__ = ["GAP", "heights_of"]

GAP = 16.0
SWEEPS = 10
LARGE = 20_000
OUT, IN, BETWEEN = 1, 3, 2
OPERATIONS = ("operation", "layer")


@dataclass
class _Rail:
    cells: list[int] = field(default_factory=list)
    above: list[tuple[int, float]] = field(default_factory=list)
    below: list[tuple[int, float]] = field(default_factory=list)
    joined: list[int] = field(default_factory=list)


def heights_of(grid: Grid) -> list[float]:
    """
    Give every cell its height.

    The cells are gathered to rails that cross nowhere: the main row through the operations,
    and the way of each edge. Rails are then packed from the top, and moved to their neighbours
    as far as the rails beside them let them.

    Parameters
    ----------
    grid : Grid
        Cells in columns, in their final order.

    Returns
    -------
    list of float
        For each cell the height of its line, downwards.
    """
    rails, rail_of = _rails(grid)
    order = _from_top(rails)
    heights = [0.0] * len(rails)
    for number in order:
        heights[number] = max(
            (heights[other] + gap for other, gap in rails[number].above), default=0.0
        )
    for sweep in range(SWEEPS if len(grid.figures) < LARGE else 2):
        for number in order if sweep % 2 else reversed(order):
            heights[number] = _settle(rails[number], heights, heights[number])
    return [heights[rail] for rail in rail_of]


def _settle(rail: _Rail, heights: list[float], height: float) -> float:
    if not rail.joined:
        return height
    wish = sum(heights[other] for other in rail.joined) / len(rail.joined)
    lowest = min((heights[other] - gap for other, gap in rail.below), default=inf)
    highest = max((heights[other] + gap for other, gap in rail.above), default=-inf)
    return max(highest, min(wish, lowest))


def _rails(grid: Grid) -> tuple[list[_Rail], list[int]]:
    level = dict(_level_links(grid))
    reached = set(level.values())
    rails: list[_Rail] = []
    rail_of = [0] * len(grid.figures)
    for column in grid.columns:
        for start in column:
            if start in reached:
                continue
            rail, cell = _Rail(), start
            while True:
                rail.cells.append(cell)
                rail_of[cell] = len(rails)
                if cell not in level:
                    break
                cell = level[cell]
            rails.append(rail)
    _set_apart(grid, rails, rail_of)
    # Only what comes in at its start and goes out at its end pulls at a rail: what joins it in
    # the middle comes to the rail.
    for left, right in grid.links():
        one, other = rails[rail_of[left]], rails[rail_of[right]]
        if one is not other and right == other.cells[0]:
            other.joined.append(rail_of[left])
        if one is not other and left == one.cells[-1]:
            one.joined.append(rail_of[right])
    return rails, rail_of


def _set_apart(grid: Grid, rails: list[_Rail], rail_of: list[int]) -> None:
    gaps: dict[tuple[int, int], float] = defaultdict(float)
    for column in grid.columns:
        for upper, lower in pairwise(column):
            between = (rail_of[upper], rail_of[lower])
            gap = grid.figures[upper].down + GAP + grid.figures[lower].up
            gaps[between] = max(gaps[between], gap)
    for (upper, lower), gap in gaps.items():
        rails[upper].below.append((lower, gap))
        rails[lower].above.append((upper, gap))


def _from_top(rails: list[_Rail]) -> list[int]:
    waiting = [len(rail.above) for rail in rails]
    order = [number for number, count in enumerate(waiting) if count == 0]
    for number in order:
        for other, _ in rails[number].below:
            waiting[other] -= 1
            if waiting[other] == 0:
                order.append(other)
    return order


def _level_links(grid: Grid) -> Iterator[tuple[int, int]]:
    wanted: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for left, right, weight in _wanted(grid):
        wanted[grid.column_of[left]].append((left, right, weight))
    place = {cell: number for column in grid.columns for number, cell in enumerate(column)}
    for column in sorted(wanted):
        links = sorted(wanted[column], key=lambda link: place[link[0]])
        numbers = [(place[right], weight) for _, right, weight in links]
        for chosen in _heaviest_rise(numbers, len(grid.columns[column + 1])):
            yield links[chosen][:2]


def _wanted(grid: Grid) -> Iterator[tuple[int, int, int]]:
    entering = _main_entries(grid)
    leaving: dict[int, Wire] = {}
    for wire in grid.wires:
        first = leaving.setdefault(wire.cells[0], wire)
        if id(wire) in entering and id(first) not in entering:
            leaving[wire.cells[0]] = wire
    for wire in grid.wires:
        last = len(wire.cells) - 2
        for number, (left, right) in enumerate(pairwise(wire.cells)):
            if number == last and id(wire) in entering:
                yield left, right, IN
            elif number == 0 < last and leaving[left] is wire:
                yield left, right, OUT
            elif 0 < number < last:
                yield left, right, BETWEEN


def _main_entries(grid: Grid) -> set[int]:
    entering: dict[int, list[Wire]] = defaultdict(list)
    uses: dict[str, int] = defaultdict(int)
    for wire in grid.wires:
        entering[wire.cells[-1]].append(wire)
        uses[wire.source.key] += 1
    return {
        id(wires[0])
        for found in entering.values()
        if not _even(wires := sorted(found, key=_lesser), uses)
    }


def _lesser(wire: Wire) -> int:
    # A line from an operation goes on straight rather than one from outside.
    kind = wire.source.kind
    return 0 if kind in OPERATIONS else 2 if kind == "constant" else 1


def _even(wires: list[Wire], uses: dict[str, int]) -> bool:
    # Branches alike meet in the middle, as the sum of two products does.
    kinds = {_lesser(wire) for wire in wires}
    if len(wires) > 3 and len(kinds) == 1:
        return True
    return len(wires) > 1 and all(
        wire.source.kind in OPERATIONS
        and uses[wire.source.key] == 1
        and len(wire.cells) == len(wires[0].cells)
        for wire in wires[:2]
    )


def _heaviest_rise(numbers: list[tuple[int, int]], size: int) -> list[int]:
    # Of links sorted by their left end, those that rise at the right as well do not cross.
    # The tree holds for every right end the heaviest choice that ends at it or above it.
    tree: list[tuple[int, int]] = [(0, -1)] * (size + 1)
    previous = []
    best = (0, -1)
    for number, (place, weight) in enumerate(numbers):
        found, index = (0, -1), place
        while index:
            found = max(found, tree[index], key=lambda choice: choice[0])
            index &= index - 1
        previous.append(found[1])
        choice = (found[0] + weight, number)
        best = max(best, choice, key=lambda choice: choice[0])
        index = place + 1
        while index <= size:
            tree[index] = max(tree[index], choice, key=lambda choice: choice[0])
            index += index & -index
    chosen = []
    number = best[1]
    while number >= 0:
        chosen.append(number)
        number = previous[number]
    return chosen[::-1]

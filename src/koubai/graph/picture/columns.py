"""From a scene to columns: places and the labels of edges stand in columns in turn.

An edge runs through one cell of every column between its ends: first the cell of its label,
then empty cells that keep its way free. So no line can meet a text, and no text another one.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from koubai.graph.picture.asides import parameter_figure, share_key
from koubai.graph.picture.drawing import Figure
from koubai.graph.picture.figures import (
    end_figure,
    figure_of,
    label_figure,
    lane_figure,
    stub_figure,
)
from koubai.graph.picture.lettering import clean
from koubai.graph.picture.ranks import ranks_of, reading_order
from koubai.graph.picture.scene import Edge, Place, Scene

__all__ = ["Grid", "Wire", "grid_of"]


@dataclass(frozen=True)
class Wire:
    """
    An edge, or what leaves the graph at its end, and the cells that it runs through.

    Attributes
    ----------
    source, target : Place
        Its ends; no target where the graph ends.
    cells : tuple of int
        From the cell of the source to that of the target.
    rule : str
        The local derivative, for a reader.
    key : str
        What a program knows the edge by: ``n0-n3-1`` of source, target and slot, or the
        key of the source where there is no target.
    """

    source: Place
    target: Place | None
    cells: tuple[int, ...]
    rule: str = ""
    key: str = ""


@dataclass
class Grid:
    """
    Cells in columns.

    Attributes
    ----------
    figures : list of Figure
        What stands in each cell.
    columns : list of list of int
        The cells from top to bottom, of each column from left to right.
    column_of : list of int
        The column of each cell.
    wires : list of Wire
        The edges, by target and slot.
    """

    figures: list[Figure] = field(default_factory=list)
    columns: list[list[int]] = field(default_factory=list)
    column_of: list[int] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)

    def add(self, figure: Figure, column: int) -> int:
        """Put a figure below what stands in a column, and give its cell."""
        while len(self.columns) <= column:
            self.columns.append([])
        self.columns[column].append(len(self.figures))
        self.figures.append(figure)
        self.column_of.append(column)
        return len(self.figures) - 1

    def links(self) -> Iterable[tuple[int, int]]:
        """Give every two cells that a line joins."""
        for wire in self.wires:
            yield from zip(wire.cells, wire.cells[1:], strict=False)


def grid_of(scene: Scene) -> Grid:
    """
    Put a scene into columns.

    Parameters
    ----------
    scene : Scene
        What is drawn.

    Returns
    -------
    Grid
        In each column the order in which a reader meets the places from the output on.
    """
    plan = _plan(scene)
    grid = Grid()
    cells = _add_places(grid, plan, _parameters(scene, plan))
    for edge in plan.edges:
        source, target = plan.places[edge.source], plan.places[edge.target]
        way: tuple[int, ...] = (cells[source.key], cells[target.key])
        if source.key not in plan.stubs:
            mark = ("gradient", share_key(edge))
            label = label_figure(source, edge.gradient, mark, named=plan.uses[source.key] == 1)
            way = _way(grid, label, *way)
        grid.wires.append(Wire(source, target, way, edge.rule, share_key(edge)))
    last = max(plan.ranks.values(), default=0)
    for place in plan.ends:
        rank = last if place.key == scene.output else plan.ranks[place.key]
        end = grid.add(end_figure(place), 2 * rank + 2)
        gradient = place.gradient if plan.uses[place.key] == 1 else None
        way = _way(grid, label_figure(place, gradient, ("total", place.key)), cells[place.key], end)
        grid.wires.append(Wire(place, None, way, key=place.key))
    _sort_by_reading(grid, {cells[key]: number for number, key in enumerate(plan.reading)})
    return grid


@dataclass(frozen=True)
class _Plan:
    places: dict[str, Place]
    aside: set[str]
    edges: list[Edge]
    ends: list[Place]
    uses: dict[str, int]
    stubs: dict[str, Edge]
    ranks: dict[str, int]
    reading: list[str]


def _plan(scene: Scene) -> _Plan:
    places = {place.key: place for place in scene.places}
    aside = _asides(scene, places)
    edges = [edge for edge in scene.edges if edge.source not in aside]
    shown = [place for place in scene.places if place.key not in aside]
    used = {edge.source for edge in edges}
    ends = [place for place in shown if place.key not in used or place.key == scene.output]
    uses = _count([edge.source for edge in edges] + [place.key for place in ends])
    return _Plan(
        places=places,
        aside=aside,
        edges=edges,
        ends=ends,
        uses=uses,
        stubs={edge.source: edge for edge in edges if _is_stub(places[edge.source], uses)},
        ranks=ranks_of(shown, edges),
        reading=reading_order(shown, edges, scene.output),
    )


def _add_places(grid: Grid, plan: _Plan, parameters: dict[str, list[Figure]]) -> dict[str, int]:
    entering = _count(edge.target for edge in plan.edges)
    cells = {}
    for key in plan.reading:
        place, column = plan.places[key], 2 * plan.ranks[key]
        if key in plan.stubs:
            stub = plan.stubs[key]
            figure, column = stub_figure(place, stub), 2 * plan.ranks[stub.target] - 1
        else:
            figure = figure_of(place, plan.uses[key], entering[key], tuple(parameters[key]))
        cells[key] = grid.add(figure, column)
    return cells


def _is_stub(place: Place, uses: dict[str, int]) -> bool:
    # A number in the formula, such as 2 in 2 * x, is a line of its own beside its operation.
    return place.kind == "constant" and not clean(place.name) and uses[place.key] == 1


def _asides(scene: Scene, places: dict[str, Place]) -> set[str]:
    used = {edge.source for edge in scene.edges}
    return {
        key
        for key, place in places.items()
        if place.kind == "parameter" and key in used and key != scene.output
    }


def _parameters(scene: Scene, plan: _Plan) -> dict[str, list[Figure]]:
    # A parameter that several layers share is drawn at each, for no line to run along them all.
    uses = _count(edge.source for edge in scene.edges)
    figures: dict[str, list[Figure]] = defaultdict(list)
    told: set[str] = set()
    for edge in scene.edges:
        if edge.source in plan.aside:
            place = plan.places[edge.source]
            share = edge if uses[place.key] > 1 else None
            figure = parameter_figure(place, share, first=place.key not in told)
            figures[edge.target].append(figure)
            told.add(place.key)
    return figures


def _count(keys: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for key in keys:
        counts[key] += 1
    return counts


def _way(grid: Grid, label: Figure, source: int, target: int) -> tuple[int, ...]:
    first, last = grid.column_of[source] + 1, grid.column_of[target]
    cells = [grid.add(label, first)]
    cells += [grid.add(lane_figure(), column) for column in range(first + 1, last)]
    return (source, *cells, target)


def _sort_by_reading(grid: Grid, numbers: dict[int, int]) -> None:
    for wire in grid.wires:
        number = numbers[wire.cells[0]]
        for cell in wire.cells[1:]:
            numbers.setdefault(cell, number)
    for column in grid.columns:
        column.sort(key=numbers.__getitem__)

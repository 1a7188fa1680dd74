"""The order of the cells in each column, in which lines cross as little as can be had soon."""

from collections import defaultdict

from koubai.graph.picture.columns import Grid

__all__ = ["settle_order"]

SWEEPS = 12
LARGE = 20_000


def settle_order(grid: Grid) -> None:
    """
    Sort the cells of every column, so that fewer lines cross.

    The order in which the grid comes is kept where it is as good as any that is found, since
    it is the order of reading.

    Parameters
    ----------
    grid : Grid
        Changed in place.
    """
    before: dict[int, list[int]] = defaultdict(list)
    after: dict[int, list[int]] = defaultdict(list)
    for left, right in grid.links():
        before[right].append(left)
        after[left].append(right)
    best, fewest = [list(column) for column in grid.columns], _crossings(grid, after)
    for sweep in range(SWEEPS if len(grid.figures) < LARGE else 2):
        if fewest == 0:
            break
        _sweep(grid, after if sweep % 2 else before, backwards=bool(sweep % 2))
        crossings = _crossings(grid, after)
        if crossings < fewest:
            best, fewest = [list(column) for column in grid.columns], crossings
    grid.columns = best


def _sweep(grid: Grid, neighbours: dict[int, list[int]], *, backwards: bool) -> None:
    # Heights are parts of the column, for a cell without neighbours to keep about its height.
    height: dict[int, float] = {}
    for column in reversed(grid.columns) if backwards else grid.columns:
        own = {cell: (place + 0.5) / len(column) for place, cell in enumerate(column)}
        wish = {}
        for cell in column:
            beside = neighbours[cell]
            wish[cell] = (
                sum(height[other] for other in beside) / len(beside) if beside else own[cell]
            )
        column.sort(key=wish.__getitem__)
        height |= {cell: (place + 0.5) / len(column) for place, cell in enumerate(column)}


def _crossings(grid: Grid, after: dict[int, list[int]]) -> int:
    place = {cell: number for column in grid.columns for number, cell in enumerate(column)}
    total = 0
    for column, following in zip(grid.columns, grid.columns[1:], strict=False):
        ends = [end for cell in column for end in sorted(place[other] for other in after[cell])]
        total += _inversions(ends, len(following))
    return total


def _inversions(numbers: list[int], size: int) -> int:
    # A Fenwick tree counts the numbers that came before; those above cross the new line.
    tree, total = [0] * (size + 1), 0
    for seen, number in enumerate(numbers):
        at_most, index = 0, number + 1
        while index:
            at_most += tree[index]
            index &= index - 1
        total += seen - at_most
        index = number + 1
        while index <= size:
            tree[index] += 1
            index += index & -index
    return total

"""Staging: from the nodes of a graph to the places and edges of a picture."""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from inspect import signature
from typing import Any

import numpy as np

from koubai.arrays import dtype_name
from koubai.backend import to_numpy
from koubai.errors import KoubaiError
from koubai.graph.node import Node
from koubai.graph.picture.openings import opened_graph
from koubai.graph.picture.scene import Amount, Edge, Kind, Place, Scene, Setting
from koubai.graph.picture.symbols import symbol_of
from koubai.graph.variable import Variable
from koubai.graph.walk import computed

__all__ = ["amount_of", "stage"]

_FEW = 6  # elements that are written out on an edge
_MANY = 64  # elements that are handed on as numbers


def stage(
    y: object, *, opened: bool | Collection[str], title: str | None, digits: int | None
) -> Scene:
    """
    Make the scene of a graph.

    Parameters
    ----------
    y : Variable
        The end of the graph.
    opened : bool or collection of str
        Whether layers are opened into their elementary nodes; or the classes of those
        that are.
    title : str, optional
        What the picture is called.
    digits : int, optional
        How many significant digits are written; by default all.

    Returns
    -------
    Scene
        What there is to draw.

    Raises
    ------
    KoubaiError
        If y is no Variable, or came out of no layer.
    """
    if not isinstance(y, Variable) or y.creator is None:
        raise KoubaiError(
            f"draw: {y!r} is not the end of a graph. Compute it from Variables: "
            "y = Variable(100) * Variable(2)."
        )
    staging = _Staging(opened=opened, digits=digits)
    output = staging.graph(y, {})
    return staging.scene(output, title)


class _Staging:
    def __init__(self, *, opened: bool | Collection[str], digits: int | None) -> None:
        self._opened = opened
        self._digits = digits
        self._places: list[Place] = []
        self._edges: list[Edge] = []
        self._keys: dict[object, str] = {}
        self._held: list[Any] = []  # so that no identity is given twice

    def graph(self, y: Variable, known: dict[int, str]) -> str:
        """Stage all that leads to y, and give the key of its place."""
        found = dict(known)
        for variable in computed(y):
            node = variable.creator
            assert node is not None
            sources = [self._source(each, found) for each in (*node.inputs, *node.learned)]
            for source in sources[len(node.inputs) :]:
                self._set_aside(source)
            inner = self._inner(variable, node)
            if inner is None:
                found[id(variable)] = self._operation(variable, node, sources)
            else:
                out, leaves = inner
                inside = {id(leaf): key for leaf, key in zip(leaves, sources, strict=True)}
                self._held.append(out)
                found[id(variable)] = self.graph(out, inside)
        return found[id(y)]

    def scene(self, output: str, title: str | None) -> Scene:
        used = {output, *(edge.source for edge in self._edges)}
        places = tuple(_numbered([place for place in self._places if place.key in used]))
        end = next(place for place in places if place.key == output)
        name = title or (f"The graph of {end.name}" if end.name else "A computational graph")
        return Scene(places, tuple(self._edges), output, name, _told(places, end))

    def _inner(self, variable: Variable, node: Node) -> tuple[Variable, list[Any]] | None:
        name = type(node.bare).__name__
        wanted = self._opened if isinstance(self._opened, bool) else name in self._opened
        if not wanted or symbol_of(name).sign:
            return None
        return opened_graph(variable, node)

    def _source(self, value: Any, found: dict[int, str]) -> str:
        """Give the key of an input, and its place if it comes in here for the first time."""
        if isinstance(value, Variable):
            if id(value) in found:
                return found[id(value)]
            # Layers make a Variable of a parameter at each use; the array is the same.
            learned = value.creator is None and value.name is not None
            key: object = (value.name, id(value.array)) if learned else id(value)
            kind: Kind = "input"
        else:
            key, kind = object(), "constant"
        if key not in self._keys:
            self._held.append(value)
            self._keys[key] = self._outside(value, kind)
        if isinstance(value, Variable):
            found[id(value)] = self._keys[key]
        return self._keys[key]

    def _outside(self, value: Any, kind: Kind) -> str:
        amount = self._amount(getattr(value, "array", value))
        name = getattr(value, "name", None) or ""
        gradient = self._gradient(value) if isinstance(value, Variable) else None
        return self._put(
            kind, symbol=name or amount.text, value=amount, name=name, gradient=gradient
        )

    def _operation(self, variable: Variable, node: Node, sources: list[str]) -> str:
        kind = type(node.bare).__name__
        symbol = symbol_of(kind)
        sizes = [str(size) for each in node.learned[:1] for size in each.shape]
        key = self._put(
            "operation" if symbol.sign else "layer",
            symbol=symbol.sign or (f"{kind}({', '.join(sizes)})" if sizes else kind),
            value=self._amount(variable.array),
            layer=kind,
            name=variable.name or "",
            gradient=self._gradient(variable),
            settings=_settings(node.bare),
            formula=symbol.formula,
        )
        shares = node.shares or (None,) * len(sources)
        for slot, (source, share) in enumerate(zip(sources, shares, strict=True)):
            rule = symbol.rules[slot] if slot < len(symbol.rules) else ""
            gradient = None if share is None else self._amount(getattr(share, "array", share))
            if self._places[int(source[1:])].kind == "constant":
                gradient = None
            self._edges.append(Edge(source, key, slot, gradient, rule))
        return key

    def _set_aside(self, key: str) -> None:
        place = self._places[int(key[1:])]
        if place.kind == "input":
            self._places[int(key[1:])] = replace(place, kind="parameter")

    def _put(self, kind: Kind, **told: Any) -> str:
        key = f"n{len(self._places)}"
        self._places.append(Place(key, kind, **told))
        return key

    def _gradient(self, variable: Variable) -> Amount | None:
        if variable.grad is None:
            return None
        return self._amount(getattr(variable.grad, "array", variable.grad))

    def _amount(self, value: Any) -> Amount:
        return amount_of(value, self._digits)


def amount_of(value: Any, digits: int | None = None) -> Amount:
    """
    Write a value as it stands on an edge.

    Parameters
    ----------
    value : Array or float
        A value or a derivative.
    digits : int, optional
        How many significant digits are written; by default all.

    Returns
    -------
    Amount
        Its text, its shape, and its numbers where they are few.
    """
    if type(value) in (int, float):
        return Amount(_written(value, digits), numbers=value)
    array = np.asarray(to_numpy(value))
    numbers = array.tolist() if array.size <= _MANY else None
    told: dict[str, Any] = {"shape": array.shape, "dtype": dtype_name(value), "numbers": numbers}
    if array.shape == ():
        return Amount(_written(array[()], digits), **told)
    form = f"{dtype_name(value)} {array.shape}"
    if array.size <= _FEW:
        write: Callable[[Any], str] = lambda x: _written(x, digits or 6)  # noqa: E731
        return Amount(_rows(array, write), form, **told)
    return Amount(form, _range(array), **told)


def _written(number: Any, digits: int | None) -> str:
    plain = number.item() if isinstance(number, np.generic) else number
    if digits is None:
        return str(number) if isinstance(number, np.generic) else repr(number)
    return repr(plain) if isinstance(plain, (bool, int)) else f"{plain + 0.0:.{digits}g}"  # no -0


def _rows(array: "np.ndarray[Any, Any]", write: Callable[[Any], str]) -> str:
    parts = [_rows(row, write) if row.ndim else write(row[()]) for row in map(np.asarray, array)]
    return f"[{', '.join(parts)}]"


def _range(array: "np.ndarray[Any, Any]") -> str:
    if array.dtype.kind not in "fiu":
        return ""
    exact = array.astype(np.float64)
    low, high = f"{exact.min():.3g}", f"{exact.max():.3g}"
    if array.dtype.kind != "f":
        return f"{low} … {high}"
    return f"norm {np.sqrt(np.sum(exact * exact)):.3g}, {low} … {high}"


def _settings(layer: Any) -> dict[str, Setting]:
    """Give what a layer was made with, as far as it is plain."""
    made = [name for name in signature(type(layer)).parameters if name in vars(layer)]
    values = {name: vars(layer)[name] for name in made}
    return {name: value for name, value in values.items() if _is_plain(value)}


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(isinstance(each, int) for each in value)
    return value is None or isinstance(value, (bool, int, float, str))


def _numbered(places: list[Place]) -> list[Place]:
    """Tell parameters of one name apart, as the book does: W1, b1, W2, b2."""
    counts = Counter(place.name for place in places if place.kind == "parameter")
    seen: Counter[str] = Counter()
    found = []
    for place in places:
        name = place.name
        if place.kind == "parameter" and counts[name] > 1:
            seen[name] += 1
            name = f"{name}{seen[name]}"
            place = replace(place, name=name, symbol=name)  # noqa: PLW2901
        found.append(place)
    return found


def _told(places: tuple[Place, ...], end: Place) -> str:
    outside = [place for place in places if place.kind in {"input", "parameter"}]
    inside = [place for place in places if place.kind in {"operation", "layer"}]
    names = ", ".join(
        f"{place.name} = {place.value.text}" if place.name else place.value.text
        for place in outside[:12]
    )
    more = ", …" if len(outside) > 12 else ""
    steps = ", ".join(place.symbol for place in inside[:12]) + (", …" if len(inside) > 12 else "")
    name = f"{end.name} = " if end.name else ""
    derivative = "; derivatives go back along the edges" if end.gradient is not None else ""
    return f"From {names}{more} by {steps} to {name}{end.value.text}{derivative}."

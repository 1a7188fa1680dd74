"""Scene: what a picture of a graph shows, before anything has a place or a colour.

The drawings (SVG, PNG, Graphviz, Mermaid) and the page that steps through a graph are all
made from a scene, and know nothing else of a graph.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = ["Amount", "Edge", "Kind", "Place", "Scene", "Setting"]

Kind: TypeAlias = Literal["input", "parameter", "constant", "operation", "layer"]
Setting: TypeAlias = "int | float | bool | str | tuple[int, ...] | None"
Numbers: TypeAlias = "float | list[Numbers]"


@dataclass(frozen=True)
class Amount:
    """
    A value or a derivative, as it is written on an edge.

    Attributes
    ----------
    text : str
        One short line: ``220``, ``[1, 2, 3]``, or of a large array ``float32 (100, 784)``.
    detail : str
        A second line for a large array, its norm and its range; else empty.
    shape : tuple of int
        The shape; ``()`` of a number.
    dtype : str
        The name of the dtype; ``number`` of a Python number.
    numbers : float or nested list of float, optional
        Every element, where there are few; None where they are too many to be shown.
    """

    text: str
    detail: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = "number"
    numbers: "Numbers | None" = None


@dataclass(frozen=True)
class Place:
    """
    A node of the picture: a value that comes in from outside, an operation, or a whole layer.

    Attributes
    ----------
    key : str
        A name for programs, such as ``n3``; letters and digits only.
    kind : str
        ``input``, ``parameter`` (of a layer, drawn aside) or ``constant`` (has no
        derivative): a value from outside; ``operation``: a circle with a symbol;
        ``layer``: a box with the layer's name.
    symbol : str
        What stands in the circle or box: ``×``, ``exp``, ``Affine(784, 50)``.
    layer : str
        The class of the layer that computes it, such as ``MulLayer``; empty of a value.
    name : str
        What the user called the value that it gives; may be empty, may be any text.
    value : Amount
        The value that it gives.
    gradient : Amount, optional
        The derivative of the output with respect to it, all its uses added up.
    settings : dict of str to setting
        How the layer was made: ``{"axis": 0, "keepdims": True}``.
    formula : str
        What it computes, for a reader: ``z = x × y``; empty of a value.
    """

    key: str
    kind: Kind
    symbol: str
    value: Amount
    layer: str = ""
    name: str = ""
    gradient: Amount | None = None
    settings: dict[str, Setting] = field(default_factory=dict)
    formula: str = ""


@dataclass(frozen=True)
class Edge:
    """
    One use of a value by an operation.

    Attributes
    ----------
    source, target : str
        Keys of places; the source gives the value, and the target takes it.
    slot : int
        As which of its inputs the target takes it, from 0.
    gradient : Amount, optional
        The share of the derivative that comes back along this edge.
    rule : str
        The local derivative, for a reader: ``∂z/∂x = y``.
    """

    source: str
    target: str
    slot: int
    gradient: Amount | None = None
    rule: str = ""


@dataclass(frozen=True)
class Scene:
    """
    A whole picture.

    Attributes
    ----------
    places : tuple of Place
        In an order in which every source stands before its targets.
    edges : tuple of Edge
        Between them, by target and slot.
    output : str
        The key of the place whose value ends the graph.
    title : str
        What the picture is called, for screen readers as well.
    description : str
        The graph in a sentence or two, for whoever cannot see it.
    """

    places: tuple[Place, ...]
    edges: tuple[Edge, ...]
    output: str
    title: str
    description: str

"""The scene as Graphviz text, for whoever has ``dot`` and wants its layout."""

from collections import Counter
from html import escape

from koubai.graph.picture.lettering import clean
from koubai.graph.picture.scene import Amount, Place, Scene
from koubai.graph.picture.svg import LIGHT

__all__ = ["dot_of"]

COLOURS = {"input": "ink", "constant": "quiet"}


def dot_of(scene: Scene) -> str:
    """
    Write a scene in the language of Graphviz.

    Parameters
    ----------
    scene : Scene
        What is drawn.

    Returns
    -------
    str
        A digraph from left to right, with values and derivatives on its edges.
    """
    places = {place.key: place for place in scene.places}
    uses = Counter(edge.source for edge in scene.edges)
    lines = [
        "digraph {",
        f'  graph [rankdir=LR, label={_html(scene.title)}, labelloc=t, fontname="DejaVu Sans"];',
        f'  node [fontname="DejaVu Sans", color="{LIGHT["node"]}", fillcolor="{LIGHT["fill"]}"];',
        '  edge [fontname="DejaVu Sans", fontsize=11, arrowsize=0.7];',
        *(f"  {_quoted(place.key)} [{_look(place, uses)}];" for place in scene.places),
    ]
    for edge in scene.edges:
        source = places[edge.source]
        label = _label(source, edge.gradient, _before(source))
        ends = f"{_quoted(edge.source)} -> {_quoted(edge.target)}"
        lines.append(f"  {ends} [label={label}, tooltip={_quoted(edge.rule)}];")
    if scene.output in places:
        output = places[scene.output]
        lines += [
            f"  output_ [shape=plaintext, label={_html(output.name)}];",
            f"  {_quoted(output.key)} -> output_ [label={_label(output, output.gradient)}];",
        ]
    return "\n".join([*lines, "}"]) + "\n"


def _look(place: Place, uses: Counter[str]) -> str:
    total = place.gradient if uses[place.key] > 1 else None
    beside = f", xlabel=<{_back(total, 'total ← ')}>" if total is not None else ""
    if place.kind == "operation":
        look = "shape=circle, style=filled, margin=0.02"
    elif place.kind == "layer":
        look = 'shape=box, style="rounded,filled"'
    elif place.kind == "parameter":
        look = f'shape=box, style=rounded, color="{LIGHT["quiet"]}"'
    elif not clean(place.name):
        look = "shape=point, width=0.06"
    else:
        look = f'shape=plaintext, fontcolor="{LIGHT[COLOURS[place.kind]]}"'
    inside = place.symbol if place.kind in {"operation", "layer"} else place.name
    return f"{look}, label={_html(inside)}{beside}"


def _before(place: Place) -> str:
    named = clean(place.name) if place.kind in {"operation", "layer"} else ""
    return f"{named} = " if named else ""


def _label(place: Place, gradient: Amount | None, before: str = "") -> str:
    rows = [escape(row) for row in _rows(place.value, before)]
    if gradient is not None:
        rows.append(_back(gradient, "← "))
    return f"<{'<BR/>'.join(rows)}>"


def _back(gradient: Amount, before: str) -> str:
    rows = "<BR/>".join(escape(row) for row in _rows(gradient, before))
    return f'<FONT COLOR="{LIGHT["back"]}"><I>{rows}</I></FONT>'


def _rows(amount: Amount, before: str = "") -> list[str]:
    return [row for row in (before + clean(amount.text), clean(amount.detail)) if row]


def _html(text: str) -> str:
    # Graphviz takes an empty HTML-like label for a mistake.
    return f"<{escape(clean(text))}>" if clean(text) else '""'


def _quoted(text: str) -> str:
    # What follows a backslash may be an escape of Graphviz, such as \N, the name of the node.
    return '"' + clean(text).replace("\\", "\\\\").replace('"', '\\"') + '"'

"""The scene as a Mermaid flowchart, which GitHub and many notebooks draw."""

from collections import Counter

from koubai.graph.picture.lettering import clean
from koubai.graph.picture.scene import Amount, Place, Scene

__all__ = ["mermaid_of"]

# An empty label is a mistake in some versions.
EMPTY = "#8193;"
BRACKETS = {
    "operation": ("((", "))"),
    "layer": ("[", "]"),
    "parameter": ("[", "]"),
    "input": ("([", "])"),
    "constant": ("([", "])"),
}


def mermaid_of(scene: Scene) -> str:
    """
    Write a scene in the language of Mermaid.

    Parameters
    ----------
    scene : Scene
        What is drawn.

    Returns
    -------
    str
        A flowchart from left to right, with values and derivatives on its edges.
    """
    places = {place.key: place for place in scene.places}
    uses = Counter(edge.source for edge in scene.edges)
    lines = [
        "flowchart LR",
        f"  accTitle: {_escaped(scene.title)}",
        f"  accDescr: {_escaped(scene.description)}",
        *(f"  {_id(place.key)}{_node(place, uses[place.key])}" for place in scene.places),
    ]
    for edge in scene.edges:
        source = places[edge.source]
        label = _label(_rows(source.value, _before(source)), edge.gradient)
        lines.append(f"  {_id(edge.source)} -->|{label}| {_id(edge.target)}")
    if scene.output in places:
        output = places[scene.output]
        lines.append(f'  output_(["{_escaped(output.name) or EMPTY}"])')
        label = _label(_rows(output.value), output.gradient)
        lines.append(f"  {_id(output.key)} -->|{label}| output_")
    aside = [_id(place.key) for place in scene.places if place.kind in {"parameter", "constant"}]
    if aside:
        lines += ["  classDef aside stroke-dasharray: 3 3", f"  class {','.join(aside)} aside"]
    return "\n".join(lines) + "\n"


def _id(key: str) -> str:
    # A key may be a word of the language, such as end.
    return f"{key}_"


def _node(place: Place, uses: int) -> str:
    before, after = BRACKETS[place.kind]
    inside = place.symbol if place.kind in {"operation", "layer"} else place.name
    rows = [_escaped(inside) or EMPTY]
    if uses > 1 and place.gradient is not None:
        rows += _rows(place.gradient, "total ← ")
    return f'{before}"{"<br/>".join(rows)}"{after}'


def _before(place: Place) -> str:
    named = clean(place.name) if place.kind in {"operation", "layer"} else ""
    return f"{named} = " if named else ""


def _label(rows: list[str], gradient: Amount | None) -> str:
    if gradient is not None:
        rows = rows + _rows(gradient, "← ")
    return f'"{"<br/>".join(rows)}"'


def _rows(amount: Amount, before: str = "") -> list[str]:
    rows = (before + clean(amount.text), clean(amount.detail))
    return [_escaped(row) for row in rows if row]


def _escaped(text: str) -> str:
    # Mermaid reads Markdown in a label, and has no other escape than the number of a letter.
    # A full stop may stay where it makes no list, so that numbers can be read in the text itself.
    text = clean(text)
    return "".join(
        f"#{ord(letter)};" if _special(before, letter, after) else letter
        for before, letter, after in zip(f" {text}", text, f"{text[1:]} ", strict=False)
    )


def _special(before: str, letter: str, after: str) -> bool:
    if letter == ".":
        return before.isdigit() and not after.isdigit()
    return letter.isascii() and not letter.isalnum() and letter not in " ,()[]=_"

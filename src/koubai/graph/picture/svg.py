"""The drawing as SVG: one text that loads nothing and disturbs nothing around it."""

from hashlib import sha256
from html import escape

from koubai.graph.picture.drawing import Drawing, Figure, Path, Point, Shape, Text
from koubai.graph.picture.lettering import FONTS, Mark, clean

__all__ = ["svg_of"]

# Okabe and Ito's blue and vermillion, darkened or lightened until they read as text.
LIGHT = {
    "paper": "#ffffff",
    "ink": "#1a1a1a",
    "quiet": "#666666",
    "node": "#0072b2",
    "fill": "#e6f1f8",
    "aside": "#f4f4f4",
    "back": "#b34700",
}
DARK = {
    "paper": "#16181c",
    "ink": "#ececec",
    "quiet": "#a0a4a8",
    "node": "#56b4e9",
    "fill": "#17303f",
    "aside": "#24272c",
    "back": "#f5a05a",
}


def svg_of(drawing: Drawing) -> str:
    """
    Write a drawing as SVG.

    Parameters
    ----------
    drawing : Drawing
        From `koubai.graph.picture.layout.lay_out`.

    Returns
    -------
    str
        A whole SVG element, light or dark as the reader's system is. Its identifiers come
        from what it shows, so that two pictures on a page keep apart.
    """
    scene = drawing.scene
    name = "koubai-" + sha256(repr(scene).encode("utf-8", "replace")).hexdigest()[:12]
    width, height = _number(drawing.width), _number(drawing.height)
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    told = f'role="img" aria-labelledby="{name}-title {name}-desc"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" id="{name}" {told} {size}>',
        f'<title id="{name}-title">{_escape(scene.title)}</title>',
        f'<desc id="{name}-desc">{_escape(scene.description)}</desc>',
        f"<style>{_style(name)}</style>",
        f'<rect class="paper" width="{width}" height="{height}" rx="6"/>',
        *(_edge(path) for path in drawing.paths),
        *(_figure(figure) for figure in drawing.figures),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _style(name: str) -> str:
    family = ", ".join(f'"{font}"' if " " in font else font for font in FONTS)
    dark = _colours(name, DARK)
    return (
        f"#{name} text {{ font-family: {family}; white-space: pre }}"
        f" #{name} .name {{ font-weight: 600 }}"
        f" #{name} .derivative {{ font-style: italic }}"
        f" #{name} path {{ fill: none; stroke-width: 1.4; stroke-linecap: round }}"
        f" {_colours(name, LIGHT)} @media (prefers-color-scheme: dark) {{ {dark} }}"
    )


def _colours(name: str, colours: dict[str, str]) -> str:
    rules = {
        ".paper": "fill: {paper}",
        "text": "fill: {ink}",
        "path": "stroke: {ink}",
        "polygon, .dot": "fill: {ink}",
        ".operation, .layer": "fill: {fill}; stroke: {node}; stroke-width: 1.8",
        ".parameter": "fill: {aside}; stroke: {quiet}",
        ".aside, path.quiet": "stroke: {quiet}",
        ".detail, .quiet:not(path), polygon.aside": "fill: {quiet}",
        ".derivative": "fill: {back}",
    }
    return " ".join(
        f"{_scoped(name, selector)} {{ {rule.format(**colours)} }}"
        for selector, rule in rules.items()
    )


def _scoped(name: str, selectors: str) -> str:
    return ", ".join(f"#{name} {selector}" for selector in selectors.split(", "))


def _edge(path: Path) -> str:
    title = f"<title>{_escape(path.rule)}</title>" if path.rule else ""
    return f"<g>{title}{_line(path)}</g>"


def _line(path: Path) -> str:
    strokes = iter(path.strokes())
    commands = ["M" + _pair(next(strokes)[0])]
    commands += [("Q" if len(part) == 2 else "L") + " ".join(map(_pair, part)) for part in strokes]
    corners = " ".join(map(_pair, path.head))
    mark = _mark(path.mark)
    line = f'<path class="{path.role}"{mark} d="{" ".join(commands)}"/>'
    return f'{line}<polygon class="{path.role}"{mark} points="{corners}"/>'


def _figure(figure: Figure) -> str:
    title = f"<title>{_escape(figure.hint)}</title>" if figure.hint else ""
    drawn = [_line(path) for path in figure.paths]
    drawn += [_shape(shape) for shape in figure.shapes]
    drawn += [_text(text) for text in figure.texts]
    return f'<g data-place="{_escape(figure.key)}">{title}{"".join(drawn)}</g>'


def _shape(shape: Shape) -> str:
    start = f'class="{shape.role}"{_mark(shape.mark)}'
    if shape.is_circle:
        centre = f'cx="{_number(shape.x)}" cy="{_number(shape.y)}"'
        return f'<circle {start} {centre} r="{_number(shape.radius)}"/>'
    left, top, _, _ = shape.extent
    size = f'width="{_number(shape.width)}" height="{_number(shape.height)}"'
    corner = f'x="{_number(left)}" y="{_number(top)}"'
    return f'<rect {start} {corner} {size} rx="{_number(shape.radius)}"/>'


def _text(text: Text) -> str:
    place = f'x="{_number(text.x)}" y="{_number(text.y)}" font-size="{_number(text.size)}"'
    anchor = f' text-anchor="{text.anchor}"' if text.anchor != "start" else ""
    start = f'class="{text.role}"{_mark(text.mark)}'
    return f"<text {start} {place}{anchor}>{_escape(text.text)}</text>"


def _mark(mark: Mark | None) -> str:
    return f' data-{mark[0]}="{_escape(mark[1])}"' if mark else ""


def _pair(point: Point) -> str:
    return f"{_number(point[0])},{_number(point[1])}"


def _number(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _escape(text: str) -> str:
    return escape(clean(text))

"""The drawing as a PNG, by matplotlib, which is imported only here."""

import warnings
from functools import lru_cache
from importlib import import_module
from io import BytesIO
from math import sqrt
from types import SimpleNamespace
from typing import Any

from koubai.errors import KoubaiError
from koubai.graph.picture.drawing import Drawing, Path, Shape, Text
from koubai.graph.picture.svg import LIGHT

__all__ = ["png_of"]

SCALE = 2.0
LONGEST, MOST_PIXELS = 30_000, 40_000_000
DOTS = 100
POINTS = 72 / DOTS
FALLBACKS = ("CJK", "IPA", "Gothic", "Hiragino", "Meiryo", "WenQuanYi", "Heiti", "Unicode")


def png_of(drawing: Drawing) -> bytes:
    """
    Draw a drawing with matplotlib.

    Parameters
    ----------
    drawing : Drawing
        From `koubai.graph.picture.layout.lay_out`.

    Returns
    -------
    bytes
        A PNG, light, of twice as many pixels as the SVG has, or fewer for a very long one.

    Raises
    ------
    KoubaiError
        If matplotlib is not installed.
    """
    plot = _matplotlib()
    figure = plot.Figure(figsize=(drawing.width / DOTS, drawing.height / DOTS), dpi=DOTS)
    figure.patch.set_facecolor(LIGHT["paper"])
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, drawing.width), ylim=(drawing.height, 0))
    axes.set_axis_off()
    for path in drawing.paths:
        _draw_path(plot, axes, path)
    texts = [text for part in drawing.figures for text in part.texts]
    fonts = _fonts("".join(sorted({letter for text in texts for letter in text.text})))
    for part in drawing.figures:
        for path in part.paths:
            _draw_path(plot, axes, path)
        for shape in part.shapes:
            _draw_shape(plot, axes, shape)
        for text in part.texts:
            _draw_text(axes, text, fonts)
    # A very large picture gets fewer pixels, for matplotlib's sake and for the memory's.
    longest, pixels = max(drawing.width, drawing.height), drawing.width * drawing.height
    scale = min(SCALE, LONGEST / longest, sqrt(MOST_PIXELS / pixels))
    figure.set_dpi(scale * DOTS)
    file = BytesIO()
    with warnings.catch_warnings():
        # A letter that no font has becomes a box, which is no reason to fail.
        warnings.filterwarnings("ignore", message=r".*[Gg]lyph")
        plot.Canvas(figure).print_png(file)
    return file.getvalue()


def _matplotlib() -> SimpleNamespace:
    try:
        return SimpleNamespace(
            Canvas=import_module("matplotlib.backends.backend_agg").FigureCanvasAgg,
            Figure=import_module("matplotlib.figure").Figure,
            patches=import_module("matplotlib.patches"),
            Path=import_module("matplotlib.path").Path,
        )
    except ImportError as error:
        message = 'a PNG is drawn by matplotlib, which is missing: pip install "koubai[plot]"'
        raise KoubaiError(message) from error


def _draw_path(plot: SimpleNamespace, axes: Any, path: Path) -> None:
    strokes = list(path.strokes())
    codes = [plot.Path.MOVETO]
    for part in strokes[1:]:
        codes += [plot.Path.CURVE3] * 2 if len(part) == 2 else [plot.Path.LINETO]
    line = plot.Path([point for part in strokes for point in part], codes)
    colour = LIGHT["ink"] if path.role == "edge" else LIGHT["quiet"]
    style = {"edgecolor": colour, "linewidth": 1.4 * POINTS, "capstyle": "round"}
    axes.add_patch(plot.patches.PathPatch(line, facecolor="none", **style))
    axes.add_patch(plot.patches.Polygon(path.head, facecolor=colour, edgecolor="none"))


def _draw_shape(plot: SimpleNamespace, axes: Any, shape: Shape) -> None:
    colours = _shape_colours(shape.role)
    if shape.is_circle:
        axes.add_patch(plot.patches.Circle((shape.x, shape.y), shape.radius, **colours))
        return
    left, top, _, _ = shape.extent
    rounded = f"round,pad=0,rounding_size={shape.radius}"
    box = (left, top), shape.width, shape.height
    axes.add_patch(plot.patches.FancyBboxPatch(*box, boxstyle=rounded, **colours))


def _shape_colours(role: str) -> dict[str, str | float]:
    if role.startswith("dot"):
        colour = LIGHT["quiet" if "quiet" in role else "ink"]
        return {"facecolor": colour, "edgecolor": "none"}
    if role == "parameter":
        return {"facecolor": LIGHT["aside"], "edgecolor": LIGHT["quiet"], "linewidth": POINTS}
    return {"facecolor": LIGHT["fill"], "edgecolor": LIGHT["node"], "linewidth": 1.8 * POINTS}


def _draw_text(axes: Any, text: Text, fonts: list[str]) -> None:
    # The fonts that help out have no bold face, and matplotlib would complain of it.
    roles = text.role.split()
    colour = "back" if "derivative" in roles else "ink"
    axes.text(
        text.x,
        text.y,
        text.text,
        color=LIGHT["quiet" if colour == "ink" and {"quiet", "detail"} & {*roles} else colour],
        family=fonts,
        size=text.size * POINTS,
        style="italic" if "derivative" in roles else "normal",
        weight="bold" if "name" in roles and len(fonts) == 1 else "normal",
        ha={"start": "left", "middle": "center", "end": "right"}[text.anchor],
        va="baseline",
        parse_math=False,
        usetex=False,
    )


@lru_cache(maxsize=32)
def _fonts(letters: str) -> list[str]:
    manager = import_module("matplotlib.font_manager")
    known = {entry.name: entry.fname for entry in manager.fontManager.ttflist}
    known = {name: file for name, file in known.items() if not name.startswith("Last Resort")}
    fonts = ["DejaVu Sans"]
    missing = set(letters) - _letters(manager, manager.findfont("DejaVu Sans"))
    # Fonts are opened only while a letter is missing, those first that are likely to have it.
    for name in sorted(known, key=lambda name: (not any(part in name for part in FALLBACKS), name)):
        if not missing:
            break
        found = missing & _letters(manager, known[name])
        if found:
            fonts.append(name)
            missing -= found
    return fonts


def _letters(manager: Any, file: str) -> set[str]:
    try:
        return {chr(code) for code in manager.get_font(file).get_charmap()}
    except (OSError, RuntimeError):
        return set()

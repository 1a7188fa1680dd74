"""The page of a graph: one HTML file in which a reader steps through it."""

import json
import re
from base64 import b64encode
from dataclasses import asdict
from hashlib import sha256
from html import escape
from importlib.resources import files
from math import isfinite

from koubai.graph.picture.layout import lay_out
from koubai.graph.picture.scene import Scene
from koubai.graph.picture.svg import svg_of

__all__ = ["page"]

SCRIPTS = (
    "calculus.js",
    "numbers.js",
    "model.js",
    "telling.js",
    "editor.js",
    "exercise.js",
    "player.js",
)


def page(scene: Scene) -> str:
    """
    Write the page on which a reader steps through a graph, changes its numbers and is asked.

    Parameters
    ----------
    scene : Scene
        What is shown.

    Returns
    -------
    str
        A whole HTML file. It loads nothing, forbids the browser to load anything, and works
        from a disk as well as in a frame.

    Examples
    --------
    >>> from koubai.graph.picture.scene import Amount, Place
    >>> x = Place("n0", "input", "x", Amount("2", numbers=2), name="x")
    >>> page(Scene((x,), (), "n0", "One number", "The number x."))[:15]
    '<!doctype html>'
    """
    scripts = [_read(name) for name in SCRIPTS]
    parts = {
        "title": escape(scene.title),
        "description": escape(scene.description),
        "style": _read("page.css"),
        "hashes": " ".join(f"'sha256-{_digest(script)}'" for script in scripts),
        "drawing": svg_of(lay_out(scene)),
        "scene": _json(scene),
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _read("page.html"))


def _read(name: str) -> str:
    return files("koubai.graph.picture").joinpath(name).read_text("utf-8")


def _digest(script: str) -> str:
    return b64encode(sha256(script.encode()).digest()).decode()


def _json(scene: Scene) -> str:
    # In JSON a < stands only inside of strings, where its escape means the same.
    written = json.dumps(_plain(asdict(scene)), allow_nan=False)
    return written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(value: object) -> object:
    """Give what JSON can hold: NaN and the infinities as words."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value

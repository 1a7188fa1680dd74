"""Picture: a scene in every form in which it can be shown or saved."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path

from koubai.errors import KoubaiError
from koubai.graph.picture.dot import dot_of
from koubai.graph.picture.drawing import Drawing
from koubai.graph.picture.layout import lay_out
from koubai.graph.picture.lettering import clean
from koubai.graph.picture.mermaid import mermaid_of
from koubai.graph.picture.png import png_of
from koubai.graph.picture.scene import Scene
from koubai.graph.picture.svg import svg_of

__all__ = ["Picture"]


@dataclass(frozen=True)
class Picture:
    """
    A computational graph, drawn as in the book.

    The value of each place stands above its edge, and the derivative that comes back below
    it, after an arrow to the left. Jupyter shows a picture that ends a cell.

    Attributes
    ----------
    scene : Scene
        What is drawn.
    """

    scene: Scene

    @cached_property
    def _drawing(self) -> Drawing:
        return lay_out(self.scene)

    @property
    def svg(self) -> str:
        """The drawing as an SVG element, which loads nothing."""
        return svg_of(self._drawing)

    @property
    def png(self) -> bytes:
        """The drawing as a PNG; needs matplotlib."""
        return png_of(self._drawing)

    @property
    def dot(self) -> str:
        """The graph in the language of Graphviz."""
        return dot_of(self.scene)

    @property
    def mermaid(self) -> str:
        """The graph as a flowchart of Mermaid."""
        return mermaid_of(self.scene)

    @property
    def html(self) -> str:
        """A page of its own that steps through the graph, forward and backward."""
        from koubai.graph.picture.html import page  # noqa: PLC0415 - it is large, and rarely asked

        return page(self.scene)

    @property
    def markdown(self) -> str:
        """The Mermaid flowchart in a fenced block, below a heading with the title."""
        title = "".join(
            f"\\{letter}" if letter in "\\`*_{}[]<>()#+-.!|~&$" else letter
            for letter in clean(self.scene.title)
        )
        return f"# {title}\n\n```mermaid\n{self.mermaid}```\n"

    def save(self, path: str | PathLike[str]) -> Path:
        """
        Write the picture into a file.

        Parameters
        ----------
        path : str or path-like
            The suffix says what is written: ``.svg``, ``.png`` (needs matplotlib), ``.html``
            (the page that steps through the graph), ``.dot`` (Graphviz) or ``.md`` (Markdown
            with a Mermaid flowchart). A file that is there is replaced.

        Returns
        -------
        Path
            Where it was written.

        Raises
        ------
        KoubaiError
            For another suffix, or a PNG without matplotlib.
        OSError
            If the file cannot be written.
        """
        path = Path(path)
        forms: dict[str, Callable[[], str | bytes]] = {
            ".svg": lambda: self.svg,
            ".png": lambda: self.png,
            ".html": lambda: self.html,
            ".dot": lambda: self.dot,
            ".md": lambda: self.markdown,
        }
        form = forms.get(path.suffix.lower())
        if form is None:
            raise KoubaiError(f"a picture is saved as {', '.join(forms)}, not as {path.name!r}")
        content = form()
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return self.svg

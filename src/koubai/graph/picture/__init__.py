"""Pictures of a graph: the drawing of the book, and a page that steps through it."""

from collections.abc import Collection

from koubai.graph.picture.picture import Picture
from koubai.graph.picture.staging import stage
from koubai.graph.variable import Variable

__all__ = ["Picture", "draw"]


def draw(
    y: Variable,
    *,
    opened: bool | Collection[str] = False,
    title: str | None = None,
    digits: int | None = None,
) -> Picture:
    """
    Draw the graph that ends in a Variable, as the book draws it.

    Operations are circles, layers boxes, and edges go from left to right, with the value
    above each. After ``y.backward()`` the derivative stands below it.

    Parameters
    ----------
    y : Variable
        The end of the graph.
    opened : bool or collection of str
        Whether layers are opened into their elementary nodes; or the classes of those
        that are, such as ``{"SoftmaxWithLoss"}``.
    title : str, optional
        What the picture is called; by default by the name of y.
    digits : int, optional
        How many significant digits are written; by default all, as Python prints them.

    Returns
    -------
    Picture
        With ``.svg``, ``.html``, ``.dot``, ``.mermaid`` and ``.save("graph.svg")``;
        notebooks show it.

    Raises
    ------
    KoubaiError
        If y is no Variable, or was computed by no layer.

    Examples
    --------
    >>> from koubai.graph import Variable, draw
    >>> price = Variable(100, "apple") * Variable(2, "number") * Variable(1.1, "tax")
    >>> price.backward()
    >>> picture = draw(price)
    >>> "220.00000000000003" in picture.svg
    True
    """
    return Picture(stage(y, opened=opened, title=title, digits=digits))

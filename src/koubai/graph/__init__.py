"""Computational graphs: built by writing arithmetic, run backwards, and seen."""

from koubai.graph.forward_mode import jvp
from koubai.graph.node import Node, no_grad
from koubai.graph.picture import Picture, draw
from koubai.graph.variable import Variable

__all__ = ["Node", "Picture", "Variable", "draw", "jvp", "no_grad"]

"""The layers as nodes of an ONNX graph: one function a family."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from koubai import layers
from koubai.backend import to_numpy
from koubai.typing import Array, Shape

__all__ = ["NODES", "Graph", "Step"]


@dataclass(frozen=True)
class Step:
    """
    One layer at work.

    Attributes
    ----------
    label : str
        Its name in the network.
    layer : layer
        Itself.
    shape : tuple of int
        The shape of what it was given.
    dtype, out_dtype : str
        The dtypes of what it was given and what it gave.
    """

    label: str
    layer: Any
    shape: Shape
    dtype: str
    out_dtype: str


@dataclass
class Graph:
    """
    A chain of nodes that grows at its end.

    Attributes
    ----------
    onnx : module
        The package.
    names : dict of int to str
        The names of the parameters, by the identity of the arrays.
    nodes, constants : list
        What is there so far.
    end : str
        The name of the last value.
    dtype : str
        The dtype of that; empty at the beginning.
    """

    onnx: Any
    names: dict[int, str]
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    end: str = "x"
    dtype: str = ""

    def code(self, dtype: str) -> int:
        """Give ONNX's number of a dtype."""
        return int(self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def add(self, operator: str, step: Step, *more: str, **attributes: object) -> None:
        """Put a node behind the last one."""
        label = f"{step.label}.{operator}"
        node = self.onnx.helper.make_node(
            operator, [self.end, *more], [label], name=label, **attributes
        )
        self.nodes.append(node)
        self.end = label
        self.dtype = step.out_dtype

    def constant(self, name: str, values: npt.ArrayLike) -> str:
        """Put a constant in, and give its name."""
        array = np.ascontiguousarray(values)
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def parameter(self, array: Array, dtype: str) -> str:
        """Put a parameter in by the name that the network has for it."""
        host = to_numpy(array)
        name = self.names[id(array)]
        name += "" if host.dtype.name == dtype else f".{dtype}"
        if any(known.name == name for known in self.constants):  # two layers share it
            return name
        return self.constant(name, host.astype(dtype))

    def finish(self, name: str) -> None:
        """Give the last value its name."""
        self.nodes[-1].output[0] = name


def _affine(graph: Graph, step: Step) -> None:
    if len(step.shape) > 2:
        graph.add("Flatten", step, axis=1)
    if step.dtype != step.out_dtype:
        graph.add("Cast", step, to=graph.code(step.out_dtype))
    graph.add("MatMul", step, graph.parameter(step.layer.W, step.out_dtype))
    graph.add("Add", step, graph.parameter(step.layer.b, step.out_dtype))


def _cast(graph: Graph, step: Step) -> None:
    graph.add("Cast", step, to=graph.code(step.out_dtype))


def _reshape(graph: Graph, step: Step) -> None:
    shape = np.asarray(step.layer.shape, np.int64)
    graph.add("Reshape", step, graph.constant(f"{step.label}.shape", shape))


def _transpose(graph: Graph, step: Step) -> None:
    rank = len(step.shape)
    axes = range(rank)[::-1] if step.layer.axes is None else step.layer.axes
    graph.add("Transpose", step, perm=[axis % rank for axis in axes])


def _axes(layer: layers.Sum | layers.Mean | layers.Max) -> list[int] | None:
    if layer.axis is None:
        return None
    return [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)


def _sum(graph: Graph, step: Step) -> None:
    axes = _axes(step.layer)
    more = () if axes is None else (graph.constant(f"{step.label}.axes", np.asarray(axes)),)
    graph.add("ReduceSum", step, *more, keepdims=int(step.layer.keepdims))


def _elementwise(operator: str) -> Callable[[Graph, Step], None]:
    return lambda graph, step: graph.add(operator, step)


def _reduction(operator: str) -> Callable[[Graph, Step], None]:
    return lambda graph, step: graph.add(
        operator, step, axes=_axes(step.layer), keepdims=int(step.layer.keepdims)
    )


NODES: dict[type, Callable[[Graph, Step], None]] = {
    layers.Abs: _elementwise("Abs"),
    layers.Affine: _affine,
    layers.Cast: _cast,
    layers.Exp: _elementwise("Exp"),
    layers.Log: _elementwise("Log"),
    layers.Max: _reduction("ReduceMax"),
    layers.Mean: _reduction("ReduceMean"),
    layers.Min: _reduction("ReduceMin"),
    layers.NegLayer: _elementwise("Neg"),
    layers.Relu: _elementwise("Relu"),
    layers.Reshape: _reshape,
    layers.Sigmoid: _elementwise("Sigmoid"),
    layers.Sum: _sum,
    layers.Tanh: _elementwise("Tanh"),
    layers.Transpose: _transpose,
}

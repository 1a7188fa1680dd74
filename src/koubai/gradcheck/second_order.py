"""Second derivatives: the gradient of a layer, as a layer that can be checked itself."""

import copy
import inspect
from typing import Any

import numpy as np

from koubai.arrays import native_device, shared_namespace
from koubai.backend import asarray, device_of
from koubai.graph import Variable
from koubai.graph.walk import computed
from koubai.networks import Network
from koubai.networks.parameters import locate

__all__ = ["GradientLayer", "second_order"]


def second_order(
    target: Any, inputs: tuple[object, ...]
) -> tuple["GradientLayer", tuple[object, ...]]:
    """
    Give what proves the second derivatives of a layer when its first ones are checked.

    Parameters
    ----------
    target
        A layer or network.
    inputs : tuple
        What its ``forward`` takes.

    Returns
    -------
    layer, inputs
        The layer of its gradients, and what that takes: ``dout`` as well.
    """
    layer = GradientLayer(copy.deepcopy(target))
    return layer, (*inputs, layer.output_like(inputs))


class GradientLayer:
    """
    What a layer gives backwards, as a function of all that it depends on.

    ``forward(*inputs, dout)`` gives one number, sum_i <r_i, g_i>, of the gradients g_i
    that ``backward(dout)`` of the layer gives for its inputs and parameters, with weights
    r_i that are drawn once. Its own ``backward`` goes through the graph of these gradients.

    Parameters
    ----------
    target
        A layer or network.
    """

    def __init__(self, target: Any) -> None:
        self._target = target
        self._forward: Any = target.loss if isinstance(target, Network) else target.forward
        self.parameters = tuple(self._places())
        for name, (owner, key) in self._places().items():
            setattr(self, name, getattr(owner, key))
        known = inspect.signature(self._forward).parameters.values()
        dout = inspect.Parameter("dout", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self.signature = inspect.Signature([*known, dout])
        self._varied = [name != "t" for name in self.signature.parameters]  # targets are given

    def __repr__(self) -> str:
        return f"the gradient of {self._target!r}"

    def output_like(self, inputs: tuple[object, ...]) -> Any:
        """Give a gradient that may come from behind: ones of the output's shape."""
        y = self._forward(*inputs)
        return 1.0 if isinstance(y, (int, float)) else _filled(y, 1.0)

    def forward(self, *inputs: Any) -> Any:
        """Give the weighted sum of the gradients."""
        for name, (owner, key) in self._places().items():
            setattr(owner, key, getattr(self, name))
        self._variables = [
            Variable(value) if varied and _can_vary(value) else value
            for value, varied in zip(inputs, self._varied, strict=True)
        ]
        *given, dout = self._variables
        y = self._forward(*given)
        y.backward(dout, create_graph=True)
        gradients = [value.grad for value in given if isinstance(value, Variable)]
        gradients += self._learned(y)
        draw = np.random.default_rng(0)
        terms = [
            (each * _weights(each, draw)).sum() for each in gradients if isinstance(each, Variable)
        ]
        self._output = sum(terms[1:], start=terms[0])
        return self._output.array

    def backward(self, dout: Any) -> tuple[Any, ...]:
        """Give the gradients of that sum."""
        variables = [each for each in self._variables if isinstance(each, Variable)]
        for each in variables:
            each.grad = None
        for owner, key in self._places().values():
            setattr(owner, f"d{key}", None)
        self._output.backward(dout)
        for name, (owner, key) in self._places().items():
            found = getattr(owner, f"d{key}")
            setattr(self, f"d{name}", _filled(getattr(owner, key), 0.0) if found is None else found)
        return tuple(_gradient(each) for each in self._variables)

    def _places(self) -> dict[str, tuple[Any, str]]:
        if isinstance(self._target, Network):
            return locate(self._target.layers)
        return {name: (self._target, name) for name in getattr(self._target, "parameters", ())}

    def _learned(self, y: Variable) -> list[Any]:
        nodes = [each.creator for each in computed(y)]
        return [each.grad for node in nodes if node is not None for each in node.learned]


def _can_vary(value: Any) -> bool:
    if type(value) in (int, float):
        return True
    return device_of(value) is not None and "float" in str(value.dtype)


def _gradient(value: Any) -> Any:
    if not isinstance(value, Variable):
        return None
    if value.grad is not None:
        return value.grad
    return 0.0 if type(value.array) in (int, float) else _filled(value.array, 0.0)


def _weights(value: Variable, draw: np.random.Generator) -> Any:
    weights = draw.uniform(0.5, 2.0, value.shape)
    if type(value.array) in (int, float):
        return float(weights)
    return asarray(
        weights, device=device_of(value.array), dtype=str(value.dtype).rpartition(".")[2]
    )


def _filled(like: Any, number: float) -> Any:
    xp = shared_namespace("check_gradients", {"x": like})
    return xp.full(tuple(like.shape), number, dtype=like.dtype, device=native_device(like))

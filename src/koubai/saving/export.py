"""Export to ONNX: the scores of a network, for whatever runs it in production."""

import importlib
from collections.abc import Iterator
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from koubai import __version__
from koubai.arrays import dtype_name
from koubai.backend import device
from koubai.errors import ArchitectureError, KoubaiError, SavingError
from koubai.networks import Network
from koubai.saving.nodes import NODES, Graph, Step
from koubai.saving.whole import write_whole
from koubai.typing import Array, Shape

__all__ = ["export_onnx"]

_OPSET = 13  # of 2020, which every runtime has
_IR = 7  # the file format of that time
_SAMPLES = 2  # in the batch that goes through the layers to show shapes and dtypes


def export_onnx(
    network: Network,
    path: str | PathLike[str],
    batch: str | int = "N",
    input_shape: Shape | None = None,
) -> None:
    """
    Write an ONNX model that computes ``network.predict``: the input ``x``, the scores ``y``.

    Parameters
    ----------
    network : Network
        The network, on any device; the model has its dtype.
    path : str or Path
        The file, by custom ``*.onnx``. One that is there is replaced.
    batch : str or int
        The name of the first axis, whose size is free; or a size, which is then fixed.
    input_shape : tuple of int, optional
        The shape of one sample; by default what the first parameter W takes.

    Raises
    ------
    ArchitectureError
        If a layer is none of koubai's, the network has a ``predict`` of its own, or the
        shape of a sample cannot be told.
    SavingError
        If the package onnx is not installed, or the file cannot be written.

    Examples
    --------
    ``onnxruntime.InferenceSession("net.onnx").run(["y"], {"x": x})`` after

    >>> import tempfile
    >>> from pathlib import Path
    >>> import koubai
    >>> net = koubai.TwoLayerNet(784, 50, 10, rng=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_onnx(net, Path(folder) / "net.onnx", input_shape=(1, 28, 28))
    """
    onnx = _import()
    if type(network).predict is not Network.predict:
        raise ArchitectureError(
            f"export_onnx: {type(network).__name__} has a predict of its own, and a model of its "
            "layers may give other scores. Export koubai.Network(network.layers) if that is meant."
        )
    shape = _sample_shape(network, input_shape)
    graph = Graph(onnx, _names(network))
    place = network.device or device("cpu")
    x = place.asarray(np.ones((_SAMPLES, *shape)), dtype=network.dtype or "float32")
    kind = dtype_name(x)
    for step in _steps(network, x):
        NODES[type(step.layer)](graph, step)
    graph.finish("y")
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            type(network).__name__,
            [onnx.helper.make_tensor_value_info("x", graph.code(kind), [batch, *shape])],
            [onnx.helper.make_tensor_value_info("y", graph.code(graph.dtype or kind), None)],
            graph.constants,
        ),
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
        producer_name="koubai",
        producer_version=__version__,
        doc_string="The scores of a network, before its last layer.",
    )
    layers = ", ".join(map(repr, network.layers.values()))
    told = {"koubai.layers": layers, "koubai.last_layer": repr(network.last_layer)}
    onnx.helper.set_model_props(model, told)
    _write(onnx, model, path)


def _import() -> Any:
    try:
        onnx = importlib.import_module("onnx")
        importlib.import_module("onnx.shape_inference")
    except ImportError as error:
        raise SavingError(
            "export_onnx: the package onnx writes the model, and it is missing: "
            'pip install "koubai[onnx]"'
        ) from error
    return onnx


def _names(network: Network) -> dict[int, str]:
    names: dict[int, str] = {}
    for key, array in network.params.items():
        names.setdefault(id(array), key)
    return names


def _sample_shape(network: Network, given: Shape | None) -> Shape:
    if given is not None:
        return tuple(given)
    first = next(iter(network.params.values()), None)
    if first is None or first.ndim != 2:
        raise ArchitectureError(
            "export_onnx: the shape of a sample cannot be told from the parameters. "
            "Name it: export_onnx(network, path, input_shape=(784,))."
        )
    return first.shape[:1]


def _steps(network: Network, x: Array) -> Iterator[Step]:
    """Run the layers one after another, and tell what each was given and gave."""
    twin = network.copy()
    for (label, layer), own in zip(network.layers.items(), twin.layers.values(), strict=True):
        if type(layer) not in NODES:
            known = ", ".join(sorted(kind.__name__ for kind in NODES))
            raise ArchitectureError(
                f"export_onnx: {label} is a {type(layer).__name__}, for which there are no ONNX "
                f"nodes; there are some for {known}. Write the layer as a row of these, or export "
                "the part of the network without it."
            )
        try:
            with np.errstate(all="ignore"):
                y = own.forward(x)
        except KoubaiError as error:
            raise ArchitectureError(
                f"export_onnx: {label} does not take a batch of samples of this shape: {error} "
                "Name the shape of one sample: export_onnx(network, path, input_shape=...)."
            ) from error
        yield Step(label, layer, x.shape, dtype_name(x), dtype_name(y))
        x = y


def _write(onnx: Any, model: Any, path: str | PathLike[str]) -> None:
    try:
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        onnx.checker.check_model(model)
        data = model.SerializeToString(deterministic=True)
    except Exception as error:
        raise SavingError(
            f"export_onnx: the package onnx ({onnx.__version__}) does not take the model: {error} "
            "A model beyond 2 GiB is one cause."
        ) from error
    try:
        write_whole(Path(path), data)
    except OSError as error:
        raise SavingError(
            f"export_onnx: {fspath(path)} cannot be written: {error}. Make room, give the "
            "permission, or make the folder; what was there before is as it was."
        ) from error

"""ONNX models give the scores that the network gives, in onnxruntime."""

import sys

import numpy as np
import pytest

import koubai
from koubai import Affine, Network, Relu, TwoLayerNet, layers, to_numpy
from koubai.errors import ArchitectureError, SavingError
from koubai.saving import export_onnx

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

RNG = np.random.default_rng(0)
ELEMENTWISE = ["Abs", "Exp", "NegLayer", "Relu", "Sigmoid", "Tanh"]
CHAINS = {
    "exp-log": lambda: [layers.Exp(), layers.Log()],
    "reshape": lambda: [layers.Reshape((-1, 2)), layers.Reshape((-1, 3, 2))],
    "transpose": lambda: [layers.Reshape((-1, 2, 3)), layers.Transpose((0, -1, 1))],
    "transpose-all": lambda: [layers.Transpose()],
    "sum": lambda: [layers.Sum()],
    "sum-axis": lambda: [layers.Sum(axis=-1)],
    "sum-axes": lambda: [layers.Reshape((-1, 2, 3)), layers.Sum(axis=(1, 2), keepdims=True)],
    "mean": lambda: [layers.Mean()],
    "mean-axis": lambda: [layers.Mean(axis=1, keepdims=True)],
    "max-axis": lambda: [layers.Max(axis=(-1,))],
    "min-axis": lambda: [layers.Min(axis=1, keepdims=True)],
    "affine-of-images": lambda: [layers.Reshape((-1, 2, 3)), affine(6, 2)],
    "vector-affine": lambda: [layers.Sum(axis=0), affine(6, 2)],
} | {name: lambda name=name: [getattr(layers, name)()] for name in ELEMENTWISE}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


def affine(inputs, outputs, dtype="float64"):
    return Affine(
        RNG.standard_normal((inputs, outputs)).astype(dtype),
        RNG.standard_normal(outputs).astype(dtype),
    )


def scores(path, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(["y"], {"x": x})[0]


def agree(found, wanted, tolerance=1e-5):
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    assert np.max(np.abs(found - wanted)) <= tolerance * max(1.0, np.max(np.abs(wanted)))


def test_network_of_every_device(device, dtype, path):
    net = TwoLayerNet(6, 5, 3, 0.5, device=device, dtype=dtype, rng=0)
    export_onnx(net, path)
    for n in (1, 7):
        x = RNG.standard_normal((n, 6)).astype(dtype)
        agree(scores(path, x), to_numpy(net.predict(device.asarray(x, dtype=dtype))))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("chain", CHAINS)
def test_chain_of_layers(chain, dtype, path):
    net = Network([affine(4, 6), *CHAINS[chain]()]).astype(dtype)
    export_onnx(net, path)
    for n in (1, 5):
        x = RNG.standard_normal((n, 4)).astype(dtype)
        agree(scores(path, x), np.asarray(net.predict(x)))


def test_images_are_flattened_as_affine_does(path):
    net = TwoLayerNet(28 * 28, 5, 3, 0.5, rng=0)
    export_onnx(net, path, input_shape=(1, 28, 28))
    x = RNG.standard_normal((4, 1, 28, 28)).astype(np.float32)
    agree(scores(path, x), net.predict(x))


def test_half_precision(path):
    net = TwoLayerNet(6, 5, 3, 0.5, dtype="float16", rng=0)
    export_onnx(net, path)
    x = RNG.standard_normal((4, 6)).astype(np.float16)
    agree(scores(path, x), net.predict(x), 1e-2)


def test_dtypes_that_mix_and_a_cast(path):
    net = Network([affine(4, 3, "float32"), affine(3, 3), layers.Cast(np.float32), affine(3, 2)])
    export_onnx(net, path)
    x = RNG.standard_normal((5, 4)).astype(np.float32)
    agree(scores(path, x), net.predict(x))


def test_layers_without_parameters(path):
    net = Network([Relu()])
    with pytest.raises(ArchitectureError, match="input_shape"):
        export_onnx(net, path)
    export_onnx(net, path, input_shape=(3,))
    x = RNG.standard_normal((5, 3)).astype(np.float32)
    agree(scores(path, x), net.predict(x))


def test_the_network_is_not_touched(path):
    net = TwoLayerNet(4, 3, 2, rng=0)
    net.gradient(np.ones((2, 4), np.float32), np.asarray([0, 1]))
    x = net.layers["Affine1"].x
    export_onnx(net, path)
    assert net.layers["Affine1"].x is x


def test_parameters_that_two_layers_share(path):
    shared = affine(3, 3)
    net = Network([shared, Affine(shared.W, shared.b)])
    export_onnx(net, path)
    x = RNG.standard_normal((5, 3))
    agree(scores(path, x), net.predict(x))


def test_model_tells_what_it_is(path):
    net = TwoLayerNet(4, 3, 2, rng=0)
    export_onnx(net, path, batch="samples")
    model = onnx.load(path)
    assert (model.producer_name, model.producer_version) == ("koubai", koubai.__version__)
    assert model.opset_import[0].version == 13
    assert {entry.key for entry in model.metadata_props} == {"koubai.layers", "koubai.last_layer"}
    assert [tensor.name for tensor in model.graph.initializer] == ["W1", "b1", "W2", "b2"]
    for value in (model.graph.input[0], model.graph.output[0]):
        assert value.type.tensor_type.shape.dim[0].dim_param == "samples"


def test_a_fixed_batch(path):
    net = TwoLayerNet(4, 3, 2, rng=0)
    export_onnx(net, path, batch=5)
    x = RNG.standard_normal((5, 4)).astype(np.float32)
    agree(scores(path, x), net.predict(x))
    with pytest.raises(Exception, match="nvalid"):
        scores(path, x[:2])


def test_the_same_network_gives_the_same_file(path, tmp_path):
    net = TwoLayerNet(4, 3, 2, rng=0)
    export_onnx(net, path)
    export_onnx(net.copy(), tmp_path / "other")
    assert (tmp_path / "other").read_bytes() == path.read_bytes()


def test_layer_without_nodes_is_named(path):
    class Mine(Relu):
        pass

    with pytest.raises(ArchitectureError, match=r"Mine1 is a Mine, .*there are some for Abs"):
        export_onnx(Network([affine(4, 3), Mine()]), path)
    assert not path.exists()


def test_shape_that_does_not_fit_is_told(path):
    with pytest.raises(ArchitectureError, match=r"Affine1 does not take.*input_shape"):
        export_onnx(TwoLayerNet(4, 3, 2), path, input_shape=(5,))


def test_without_the_package_the_line_to_install_it(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SavingError, match=r'pip install "koubai\[onnx\]"'):
        export_onnx(TwoLayerNet(4, 3, 2), path)


def test_folder_that_is_not_there(tmp_path):
    with pytest.raises(SavingError, match="make the folder"):
        export_onnx(TwoLayerNet(4, 3, 2), tmp_path / "none" / "net.onnx")


def test_a_network_that_predicts_otherwise_is_refused(path):
    class Softened(TwoLayerNet):
        def predict(self, x):
            return 0.5 * super().predict(x)

    with pytest.raises(ArchitectureError, match="predict of its own"):
        export_onnx(Softened(4, 3, 2), path)

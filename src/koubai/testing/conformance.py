"""The proof of a backend: ``pytest --pyargs koubai.testing.conformance --backend NAME``.

What the layers need of an array library and of the package that brings it in, and every
gradient on every device of it.
"""

import numpy as np
import pytest

from koubai.arrays import NUMPY, native_device
from koubai.backend import device, device_of, to_numpy
from koubai.backend.selection import backend_status
from koubai.compile import compile_step
from koubai.errors import DTypeError, KoubaiError, MixedArraysError
from koubai.gradcheck import check_gradients
from koubai.gradcheck.cases import CASES
from koubai.layers import Affine
from koubai.networks import TwoLayerNet
from koubai.optimizers import SGD, Momentum

VALUES = np.asarray([[-1.5, 0.25, 2.0], [0.5, -0.125, 4.0]])
DTYPES = ["float32", "int64", "int32", "uint8", "bool"]

FUNCTIONS = {
    "abs": lambda xp, x: xp.abs(x),
    "exp": lambda xp, x: xp.exp(x),
    "log": lambda xp, x: xp.log(xp.abs(x)),
    "tanh": lambda xp, x: xp.tanh(x),
    "maximum-number": lambda xp, x: xp.maximum(x, float(xp.finfo(x.dtype).smallest_normal)),
    "minimum-number": lambda xp, x: xp.minimum(x, 0.5),
    "zeros_like": lambda xp, x: xp.zeros_like(x) + x,
    "concat": lambda xp, x: xp.concat([x, x]),
    "stack": lambda xp, x: xp.stack([x, x]),
    "take": lambda xp, x: xp.take(x, xp.arange(1, device=native_device(x)), axis=0),
    "where-number": lambda xp, x: xp.where(x > 0, x, 0.0),
    "where-number-first": lambda xp, x: xp.where(x > 0, 1.0, x),
    "sum": lambda xp, x: xp.sum(x),
    "sum-axis": lambda xp, x: xp.sum(x, axis=-1, keepdims=True),
    "max-axis": lambda xp, x: xp.max(x, axis=-1, keepdims=True),
    "mean": lambda xp, x: xp.mean(x, axis=0),
    "min-axis": lambda xp, x: xp.min(x, axis=-1, keepdims=True),
    "permute_dims": lambda xp, x: xp.permute_dims(x, (1, 0)),
    "power": lambda xp, x: xp.abs(x) ** 2.0 + xp.sqrt(xp.abs(x)),
    "reshape": lambda xp, x: xp.reshape(x, (3, 2)),
    "expand_dims": lambda xp, x: xp.expand_dims(x, axis=-1),
    "matmul": lambda xp, x: xp.matmul(x, x.T),
    "matmul-transposed": lambda xp, x: xp.matmul(x.T, x),
    "broadcast": lambda xp, x: x + xp.sum(x, axis=0),
    "python-number": lambda xp, x: (1.0 - x) * 0.5 / 3,
    "slice": lambda xp, x: x[0:1, ...],
    "astype-of-comparison": lambda xp, x: xp.astype((x > 0) & (x < 3.0), x.dtype),
    "isfinite": lambda xp, x: xp.astype(xp.isfinite(xp.where(x > 0, x, float("inf"))), x.dtype),
    "all-any": lambda xp, x: xp.astype(xp.any(x > 3.0, axis=0) & ~xp.all(x < 0), x.dtype),
}


def test_name_is_the_word_that_selects_it(koubai_device):
    assert koubai_device.backend.name == str(koubai_device).partition(":")[0]
    assert koubai_device.backend.version()
    assert koubai_device.backend.install


def test_device_is_found_again_by_its_string(koubai_device):
    assert device(str(koubai_device)) == koubai_device


def test_every_device_that_is_named_works(koubai_device):
    statuses = backend_status(koubai_device.backend.name)
    assert [status.reason for status in statuses if not status.works] == []


def test_unknown_device_is_refused(koubai_device):
    with pytest.raises(KoubaiError, match="nowhere"):
        device(f"{koubai_device.backend.name}:nowhere")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)], ids=str)
def test_values_survive_the_way_there_and_back(koubai_device, shape, dtype):
    host = np.resize(np.asarray([0, 1, 2, 3, 250, 7]), shape).astype(dtype)
    if np.dtype(dtype).itemsize == 8 and not _has_int64(koubai_device):
        pytest.skip(f"{koubai_device} has no {dtype}")
    array = koubai_device.asarray(host)
    back = to_numpy(array)
    assert device_of(array) == koubai_device
    assert isinstance(back, np.ndarray)
    assert (back.dtype, back.shape) == (host.dtype, host.shape)
    np.testing.assert_array_equal(back, host)


def test_strided_and_read_only_values_are_taken(koubai_device):
    host = np.arange(12, dtype=np.float32).reshape(3, 4)[::-1, ::2]
    host.flags.writeable = False
    np.testing.assert_array_equal(to_numpy(koubai_device.asarray(host)), host)


def test_array_is_known_to_its_backend_alone(koubai_device):
    array = koubai_device.asarray(VALUES, dtype="float32")
    assert koubai_device.backend.owns(array)
    assert not koubai_device.backend.owns([1.0])
    assert not koubai_device.backend.owns(None)


def test_dtype_that_is_not_there_is_refused(koubai_device):
    with pytest.raises(DTypeError, match="no"):
        koubai_device.asarray(VALUES, dtype="no_such_dtype")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_standard_function(name, koubai_device, koubai_dtype):
    x = koubai_device.asarray(VALUES, dtype=koubai_dtype)
    found = FUNCTIONS[name](koubai_device.xp, x)
    expected = FUNCTIONS[name](NUMPY, VALUES.astype(koubai_dtype))
    assert device_of(found) == koubai_device
    assert to_numpy(found).dtype == koubai_dtype
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-6)


def test_creation_happens_where_it_is_told(koubai_device):
    native = koubai_device.backend.native_device(koubai_device.name)
    xp = koubai_device.xp
    for made in (
        xp.arange(3, device=native),
        xp.zeros((2, 3), dtype=xp.float32, device=native),
        xp.full((2, 3), 1.5, dtype=xp.float32, device=native),
        xp.eye(3, dtype=xp.float32, device=native),
    ):
        assert device_of(made) == koubai_device


def test_arrays_of_another_library_are_refused(koubai_device):
    affine = Affine(*(koubai_device.asarray(a, dtype="float32") for a in (VALUES.T, [0.0, 1.0])))
    other = "cpu"
    if koubai_device.backend.name == "numpy":
        pytest.importorskip(
            "array_api_strict", reason="NumPy needs another library to be mixed with"
        )
        other = "array_api_strict:device2"
    with pytest.raises(MixedArraysError, match="Affine"):
        affine.forward(device(other).asarray(VALUES, dtype="float32"))


def test_same_seed_gives_the_same_weights(koubai_device, koubai_dtype):
    here, there = (
        TwoLayerNet(6, 5, 3, device=place, dtype=koubai_dtype, rng=7)
        for place in (koubai_device, "cpu")
    )
    for key in there.params:
        np.testing.assert_array_equal(to_numpy(here.params[key]), there.params[key])


def test_training_goes_as_on_numpy(koubai_device, koubai_dtype):
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((5, 6)), np.asarray([1, 3, 0, 2, 1])
    losses = []
    for place in (koubai_device, device("cpu")):
        network = TwoLayerNet(6, 5, 4, 0.5, device=place, dtype=koubai_dtype, rng=1)
        batch = place.asarray(x, dtype=koubai_dtype), place.asarray(t)
        for _ in range(20):
            grads = network.gradient(*batch)
            for key in network.params:
                network.params[key] -= 0.5 * grads[key]
        place.synchronize()
        losses.append(float(network.loss(*batch)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4 if koubai_dtype == "float32" else 1e-10)
    assert losses[0] < 0.5


@pytest.mark.parametrize("optimizer", [SGD, Momentum])
def test_compiled_step_goes_as_the_eager_one(koubai_device, koubai_dtype, optimizer):
    rng = np.random.default_rng(0)
    x = koubai_device.asarray(rng.standard_normal((5, 6)), dtype=koubai_dtype)
    t = koubai_device.asarray(np.asarray([1, 3, 0, 2, 1]))
    network = TwoLayerNet(6, 5, 4, 0.5, device=koubai_device, dtype=koubai_dtype, rng=1)
    twin, own = network.copy(), optimizer(lr=0.1)
    step = compile_step(twin, optimizer(lr=0.1))
    for _ in range(10):
        own.update(network.params, network.gradient(x, t))
        loss = step(x, t)
        tolerance = 1e-5 if koubai_dtype == "float32" else 1e-12
        assert float(loss) == pytest.approx(float(network.last_layer.loss), rel=tolerance)
    assert device_of(twin.params["W1"]) == koubai_device
    assert device_of(loss) == koubai_device


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradients(case, koubai_device, koubai_dtype):
    target, inputs = case.make(koubai_device, koubai_dtype)
    check_gradients(target, *inputs).raise_if_failed()


def _has_int64(place):
    return (
        to_numpy(place.xp.arange(1, device=place.backend.native_device(place.name))).itemsize == 8
    )

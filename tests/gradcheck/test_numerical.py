"""The book's numerical gradient, on every library: right, in float64, and x is what it was."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import koubai
from koubai import IdentityWithLoss, Network, TwoLayerNet, check_gradients, numerical_gradient
from koubai.errors import DTypeError, KoubaiError, NotAnArrayError, ShapeError

X = np.random.default_rng(0).standard_normal((5, 6))
LABELS = np.asarray([1, 3, 0, 2, 1])
WRITABLE = ["numpy", "torch:cpu", "array_api_strict:CPU_DEVICE", "array_api_strict:device1"]


def select(spec):
    backend = spec.partition(":")[0]
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    return koubai.device(spec)


@pytest.fixture(params=[*WRITABLE, "jax:cpu"])
def plain(request):
    """Give a device as it is: float64 is switched off on that of JAX."""
    return select(request.param)


@pytest.fixture
def place(plain):
    """Give a device on which float64 works."""
    with plain.backend.float64():
        yield plain


@pytest.fixture(params=WRITABLE)
def writable(request):
    """Give a device whose arrays can be changed where they lie, and which has float64."""
    return select(request.param)


def squares(x):
    return (x * x)[0] + (x * x)[1]


def test_gradient_of_the_book(place):
    x = place.asarray(np.asarray([3.0, 4.0]))
    found = numerical_gradient(squares, x)
    assert koubai.backend.device_of(found) == place
    np.testing.assert_allclose(koubai.to_numpy(found), [6.0, 8.0], rtol=1e-9)
    assert koubai.to_numpy(found).dtype == np.float64


@pytest.mark.parametrize("shape", [(), (1,), (4,), (2, 3), (2, 1, 2)], ids=str)
def test_array_of_any_shape(shape, place):
    host = np.random.default_rng(1).standard_normal(shape)
    x = place.asarray(host)
    found = numerical_gradient(lambda x: place.xp.sum(x * x), x)
    np.testing.assert_allclose(koubai.to_numpy(found), 2 * host, rtol=1e-8)
    assert koubai.to_numpy(x).tolist() == host.tolist()


def test_array_without_elements(place):
    x = place.asarray(np.zeros((0, 3)))
    assert numerical_gradient(lambda x: 1.0, x).shape == (0, 3)


def test_idiom_of_the_book_sees_the_array_change_where_it_lies(writable):
    network = TwoLayerNet(6, 5, 4, 1.0, device=writable, dtype="float64", rng=0)
    x, t = writable.asarray(X), writable.asarray(LABELS)
    exact = network.gradient(x, t)
    for key in ("W1", "b1", "W2", "b2"):
        kept = koubai.to_numpy(network.params[key]).tolist()
        found = numerical_gradient(lambda W: network.loss(x, t), network.params[key])
        difference = koubai.to_numpy(found) - koubai.to_numpy(exact[key])
        assert np.max(np.abs(difference)) < 1e-7
        assert koubai.to_numpy(network.params[key]).tolist() == kept


def test_changed_array_is_handed_to_f(place):
    x, seen = place.asarray(np.asarray([3.0, 4.0])), []

    def f(changed):
        seen.append(koubai.to_numpy(changed).tolist())
        return changed[0]

    numerical_gradient(f, x, h=0.25)
    assert seen == [[3.25, 4.0], [2.75, 4.0], [3.0, 4.25], [3.0, 3.75]]
    assert koubai.to_numpy(x).tolist() == [3.0, 4.0]


def test_read_only_array_is_not_written_to():
    x = np.asarray([3.0, 4.0])
    x.flags.writeable = False
    np.testing.assert_allclose(numerical_gradient(squares, x), [6.0, 8.0], rtol=1e-9)


@pytest.mark.parametrize("calls_that_work", [0, 1, 3])
def test_array_is_what_it_was_when_f_raises(calls_that_work, place):
    x, calls = place.asarray(np.asarray([0.1, 0.2, 0.3])), []

    def f(changed):
        calls.append(changed)
        if len(calls) > calls_that_work:
            raise ZeroDivisionError
        return 1.0

    with pytest.raises(ZeroDivisionError):
        numerical_gradient(f, x)
    assert koubai.to_numpy(x).tolist() == [0.1, 0.2, 0.3]


def test_array_is_put_back_to_the_last_bit(writable):
    host = np.asarray([0.1, 1e-300, -1e300, 1 / 3, -0.0])
    x = writable.asarray(host, copy=True)
    with contextlib.suppress(ZeroDivisionError):
        numerical_gradient(lambda x: 0.0, x, h=1.0)
    assert koubai.to_numpy(x).tobytes() == host.tobytes()


def test_step_is_the_one_of_the_book_unless_told():
    seen = []
    numerical_gradient(lambda x: seen.append(float(x[0])) or 0.0, np.asarray([0.0]))
    numerical_gradient(lambda x: seen.append(float(x[0])) or 0.0, np.asarray([0.0]), h=0.5)
    assert seen == [1e-4, -1e-4, 0.5, -0.5]


@pytest.mark.parametrize("dtype", ["float32", "int64", "int32"])
def test_other_dtype_than_float64_is_refused_with_the_remedy(dtype, place):
    x = place.asarray(np.asarray([3, 4]), dtype=dtype)
    with pytest.raises(DTypeError, match=rf"x is {dtype}.*koubai.asarray\(x, dtype=\"float64\"\)"):
        numerical_gradient(squares, x)


@pytest.mark.parametrize("x", [3.0, [3.0, 4.0], None], ids=str)
def test_what_is_no_array_is_refused(x):
    with pytest.raises(NotAnArrayError, match="numerical_gradient: x is"):
        numerical_gradient(squares, x)


def test_f_that_gives_no_single_number_is_told(place):
    x = place.asarray(np.asarray([3.0, 4.0]))
    with pytest.raises(ShapeError, match=r"f gave an array of shape \(2,\), but one number"):
        numerical_gradient(lambda x: x * x, x)
    with pytest.raises(NotAnArrayError, match=r"f gave NoneType.* return its result"):
        numerical_gradient(lambda x: None, x)
    assert koubai.to_numpy(x).tolist() == [3.0, 4.0]


def test_f_may_give_a_number_or_an_array_without_dimension(place):
    x = place.asarray(np.asarray([3.0, 4.0]))
    for f in (lambda x: float(squares(x)), squares, lambda x: round(float(squares(x)) * 1e6)):
        numerical_gradient(f, x)


@given(x=arrays(np.float64, st.integers(0, 5), elements=st.floats(-10, 10)))
@settings(derandomize=True, deadline=None, max_examples=30)
def test_derivative_of_a_polynomial(x):
    found = numerical_gradient(lambda x: np.sum(x * x * x), x)
    np.testing.assert_allclose(found, 3 * x * x, atol=1e-6)


# Network.numerical_gradient


def networks(place, dtype):
    network = TwoLayerNet(6, 5, 4, 0.3, device=place, dtype=dtype, rng=0)
    yield network, place.asarray(LABELS)
    targets = np.random.default_rng(2).standard_normal((5, 4))
    end = IdentityWithLoss()
    yield Network(network.copy().layers.values(), end), place.asarray(targets, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_network_agrees_with_itself_in_every_parameter(dtype, place):
    for network, t in networks(place, dtype):
        x = place.asarray(X, dtype=dtype)
        before = {key: koubai.to_numpy(array).tolist() for key, array in network.params.items()}
        numeric = network.numerical_gradient(x, t)
        after = {key: koubai.to_numpy(array).tolist() for key, array in network.params.items()}
        assert list(numeric) == ["W1", "b1", "W2", "b2"]
        assert after == before
        assert network.dtype == dtype
        assert not any("dW" in vars(layer) for layer in network.layers.values())
        assert not any("mask" in vars(layer) for layer in network.layers.values())
        twin = network.copy().astype("float64")
        exact_t = t if network.last_layer.classifies else place.asarray(t, dtype="float64")
        exact = twin.gradient(place.asarray(x, dtype="float64"), exact_t)
        for key, found in numeric.items():
            assert koubai.backend.device_of(found) == place
            assert koubai.to_numpy(found).dtype == np.float64
            assert found.shape == network.params[key].shape
            difference = koubai.to_numpy(found) - koubai.to_numpy(exact[key])
            assert np.max(np.abs(difference)) < 1e-6


def test_network_of_float32_agrees_with_its_own_gradient_too(plain):
    for network, t in networks(plain, "float32"):
        x = plain.asarray(X, dtype="float32")
        numeric, own = network.numerical_gradient(x, t), network.gradient(x, t)
        for key in ("W1", "b1", "W2", "b2"):
            difference = koubai.to_numpy(numeric[key]) - koubai.to_numpy(own[key])
            assert np.max(np.abs(difference)) < 1e-6


def test_network_on_a_device_without_float64_says_so():
    pytest.importorskip("array_api_strict")
    network = TwoLayerNet(6, 5, 4, device="array_api_strict:no_float64", rng=0)
    x, t = (koubai.asarray(a, device=network.device) for a in (X.astype(np.float32), LABELS))
    with pytest.raises(DTypeError, match="no_float64 has no float64"):
        network.numerical_gradient(x, t)
    check_gradients(network, x, t).raise_if_failed()  # which it is all the same


def test_f_that_ignores_what_it_is_handed_is_warned_of_where_x_cannot_be_written():
    x = np.asarray([3.0, 4.0])
    x.flags.writeable = False
    with pytest.warns(UserWarning, match="must use the array that it is handed"):
        numerical_gradient(lambda _: float((x * x).sum()), x)


@pytest.mark.parametrize("h", [0.0, -1e-4, float("nan")])
def test_step_that_is_none_is_refused(h):
    with pytest.raises(KoubaiError, match="must be above 0"):
        numerical_gradient(lambda x: x.sum(), np.ones(2), h)

"""Mistakes with Variables: each is seen, and the error says what to write instead."""

import array_api_compat
import numpy as np
import pytest

import koubai
from koubai import (
    Affine,
    IdentityWithLoss,
    Layer,
    Relu,
    Sigmoid,
    to_numpy,
)
from koubai.errors import GraphError, MixedArraysError, NotAnArrayError
from koubai.graph import Variable

CHANGED = r"changed in place.*x = x \+ 1 instead of x \+= 1"


@pytest.fixture
def array(device, dtype):
    return lambda values: device.asarray(np.asarray(values), dtype=dtype)


@pytest.fixture
def written(array):
    """Make arrays as `array` does, where they can be written to."""
    if not array_api_compat.is_writeable_array(array([0.0])):
        pytest.skip("arrays that cannot be written")
    return array


# Arrays that were changed in place


def test_change_of_a_factor_is_seen(written):
    x = written([1.0, 2.0])
    y = (Variable(x) * Variable(written([3.0, 4.0]))).sum()
    x += 1
    with pytest.raises(GraphError, match=rf"MulLayer .*{CHANGED}"):
        y.backward()


def test_change_of_one_element_of_a_large_array_is_seen(written):
    x = written(np.ones((200, 300)))
    y = (Variable(x) * x).sum()
    x[123, 45] = 1.5
    with pytest.raises(GraphError, match=CHANGED):
        y.backward()


@pytest.mark.parametrize("shape", [(5, 4), (100, 200)], ids=str)
def test_change_through_a_view_is_seen(written, shape):
    x = written(np.ones(shape))
    part = x[1, ...]
    y = Variable(x).log().sum()
    part[2] = 7.0
    with pytest.raises(GraphError, match=CHANGED):
        y.backward()


@pytest.mark.parametrize("shape", [(6, 4), (100, 200)], ids=str)
@pytest.mark.parametrize(
    "arranged",
    [lambda x: x[::2], lambda x: x[:, ::3], lambda x: x.T, np.asfortranarray, lambda x: x[::-1]],
    ids=["rows", "columns", "transposed", "fortran", "reversed"],
)
def test_change_of_any_layout_is_seen_and_nothing_else(shape, arranged):
    x = arranged(np.random.default_rng(0).uniform(1, 2, shape))
    Variable(x).log().sum().backward()
    y = Variable(x).log().sum()
    x[1, 1] += 1e-9
    with pytest.raises(GraphError, match=CHANGED):
        y.backward()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble", "int8", "bool"])
@pytest.mark.parametrize("size", [3, 9999], ids=["small", "large"])
def test_change_of_any_dtype_is_seen(dtype, size):
    factor = np.ones(size, dtype)
    y = (Variable(np.ones(size)) * factor).sum()
    factor[1] = 0
    with pytest.raises(GraphError, match=CHANGED):
        y.backward()


def test_change_of_images_that_affine_looks_at_as_rows_is_seen(written):
    x = written(np.ones((2, 3, 2)))
    y = Affine(written(np.ones((6, 2))), written(np.ones(2))).forward(Variable(x)).sum()
    x[0, 0, 0] = 9.0
    with pytest.raises(GraphError, match=rf"Affine .*{CHANGED}"):
        y.backward()


def test_change_of_an_output_that_backward_needs_is_seen(written):
    y = Sigmoid().forward(Variable(written([1.0, 2.0])))
    z = y.sum()
    y.array[0] = 7.0
    with pytest.raises(GraphError, match=rf"Sigmoid .*{CHANGED}"):
        z.backward()


def test_change_of_a_parameter_is_seen(written):
    layer = Affine(written(np.ones((3, 2))), written(np.ones(2)))
    y = layer.forward(Variable(written(np.ones((1, 3))))).sum()
    layer.W -= 0.1
    with pytest.raises(GraphError, match=rf"Affine .*{CHANGED}"):
        y.backward()


def test_change_of_a_condition_is_seen():
    condition, x = np.asarray([True, False]), Variable(np.ones(2))
    y = koubai.array_namespace(x).where(condition, x, 0.0).sum()
    condition[0] = False
    with pytest.raises(GraphError, match=CHANGED):
        y.backward()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + 1.0,
        lambda x: x - x,
        lambda x: -x,
        lambda x: x.exp(),
        lambda x: x.sum(),
        lambda x: x.max(),
        lambda x: Relu().forward(x),
        lambda x: x.reshape(2, 1).transpose(),
    ],
    ids=["add", "subtract", "sign", "exp", "sum", "max", "Relu", "reshape"],
)
def test_change_of_what_backward_does_not_need_is_no_mistake(function):
    x = np.asarray([1.0, 2.0])
    v = Variable(x)
    y = function(v).sum()
    clean = Variable(np.asarray([1.0, 2.0]))
    function(clean).sum().backward()
    x += 1
    y.backward()
    np.testing.assert_array_equal(v.grad, clean.grad)


def test_nan_is_no_change(array):
    x = Variable(array([np.nan, 1.0]))
    (x * x).sum().backward()
    assert np.isnan(to_numpy(x.grad)[0])


def test_gradients_may_be_changed_between_forward_and_backward(written):
    layer = Affine(written(np.ones((3, 2))), written(np.ones(2)))
    x = Variable(written(np.ones((1, 3))))
    layer.forward(x).sum().backward()
    y = layer.forward(x).sum()
    layer.dW *= 0.5
    y.backward()
    np.testing.assert_array_equal(to_numpy(layer.dW), np.ones((3, 2)))


def test_parameters_may_be_trained_after_backward(written):
    layer = Affine(written(np.ones((3, 2))), written(np.ones(2)))
    x = Variable(written(np.ones((1, 3))))
    for _ in range(2):
        layer.forward(x).sum().backward()
        layer.W -= 0.1 * layer.dW
    np.testing.assert_allclose(to_numpy(layer.W), np.full((3, 2), 0.8), 1e-6)


# Arrays that do not go together


def test_arrays_of_two_libraries_do_not_go_together(array, device):
    if device.backend.name == "numpy":
        pytest.skip("NumPy is the other library")
    with pytest.raises(MixedArraysError, match=r"(?s)AddLayer: .*numpy.*koubai\.asarray"):
        Variable(array([1.0])) + Variable(np.ones(1))


def test_gradient_of_another_library_is_refused(array, device):
    if device.backend.name == "numpy":
        pytest.skip("NumPy is the other library")
    y = Variable(array([1.0, 2.0])) * 2.0
    with pytest.raises(MixedArraysError, match="MulLayer: dout"):
        y.backward(np.ones(2))


def test_arrays_of_two_devices_do_not_go_together():
    strict = pytest.importorskip("array_api_strict")
    here, there = (strict.asarray([1.0], device=strict.Device(d)) for d in ("device1", "device2"))
    with pytest.raises(MixedArraysError, match=r"(?s)MulLayer: .*device1.*device2"):
        Variable(here) * Variable(there)


# What is no array


def test_list_is_no_array():
    with pytest.raises(NotAnArrayError, match=r"list.*koubai\.asarray\(array\)"):
        Variable([1, 2])


@pytest.mark.parametrize("value", ["1", None, True, 1j], ids=repr)
def test_only_numbers_and_arrays_make_variables(value):
    with pytest.raises(NotAnArrayError, match="Variable: array is"):
        Variable(value)


def test_variable_of_a_variable_is_refused():
    with pytest.raises(NotAnArrayError, match=r"one already; Variable\(variable\.array\)"):
        Variable(Variable(1.0))


@pytest.mark.parametrize("other", [[1, 2], "a", None, True, 1j], ids=repr)
def test_operators_refuse_what_is_no_array(other):
    with pytest.raises(TypeError, match="unsupported operand"):
        Variable(1.0) - other


# NumPy


@pytest.mark.parametrize("function", [np.array, np.asarray, lambda v: np.array([v, v])])
def test_numpy_makes_no_array_of_objects(array, function):
    with pytest.raises(GraphError, match=r"one of objects\. variable\.array is the array"):
        function(Variable(array([1.0, 2.0])))


@pytest.mark.parametrize(
    "function",
    [np.sum, np.mean, np.dot, lambda v: np.dot(v, v), lambda v: np.concatenate([v, v])],
    ids=["sum", "mean", "dot", "dot2", "concatenate"],
)
def test_functions_of_numpy_say_what_to_write(function):
    with pytest.raises((GraphError, TypeError)) as caught:
        function(Variable(np.ones(2)))
    if isinstance(caught.value, GraphError):
        assert caught.match(r"np\.\w+ does not take a Variable.*x\.sum\(\).*variable\.array")


@pytest.mark.parametrize("name", ["sin", "log1p", "float_power", "conjugate"])
def test_ufunc_without_a_layer_is_named(array, name):
    with pytest.raises(GraphError, match=rf"{name}.*variable\.array"):
        getattr(np, name)(*[Variable(array([1.0]))] * getattr(np, name).nin)


def test_variable_cannot_be_written_into_an_array():
    a = np.ones(2)
    with pytest.raises(GraphError, match=r"a \+= v .*Write a = a \+ v"):
        a += Variable(np.ones(2))
    with pytest.raises(GraphError, match=r"out="):
        np.exp(Variable(np.ones(2)), out=a)
    np.testing.assert_array_equal(a, 1)


@pytest.mark.parametrize("call", [np.add.reduce, lambda v: np.add(v, v, where=[True, False])])
def test_special_ways_to_call_a_ufunc_are_refused(call):
    with pytest.raises(GraphError, match=r"np\.add does not take a Variable"):
        call(Variable(np.ones(2)))


def test_function_of_the_standard_without_a_layer_is_named(array):
    v = Variable(array([1.0]))
    with pytest.raises(GraphError, match=r"derivative of sin\. Write one.*forward and backward"):
        koubai.array_namespace(v).sin(v)


# Layers


def test_error_of_a_layer_is_its_own():
    with pytest.raises(koubai.ShapeError, match=r"^Affine: x .*\(3, 2\)"):
        Affine(np.ones((3, 2)), np.ones(2)).forward(Variable(np.ones((5, 4))))


def test_targets_of_another_shape_are_refused():
    with pytest.raises(koubai.ShapeError, match=r"^IdentityWithLoss: t"):
        IdentityWithLoss().forward(Variable(np.ones((2, 3))), np.ones((2, 4)))


def test_option_that_only_a_keyword_can_give_is_not_dropped():
    class Maybe(Layer):
        def forward(self, x, *, twice=False):
            self.factor = 2.0 if twice else 1.0
            return x * self.factor

        def backward(self, dout):
            return dout * self.factor

    with pytest.raises(TypeError, match=r"Maybe\.forward.*twice.*by position"):
        Maybe().forward(Variable(np.ones(1)), twice=True)

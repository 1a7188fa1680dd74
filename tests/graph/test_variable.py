"""Variable: the book's numbers, operators with every array library, and what an array has."""

import operator
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import koubai
from koubai import Affine, Relu, Sigmoid, to_numpy
from koubai.graph import Variable, no_grad

X = [[1.0, -0.5], [-2.0, 3.0]]
OPERATORS = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.pow,
    operator.matmul,
]


@pytest.fixture
def array(device, dtype):
    return lambda values: device.asarray(np.asarray(values), dtype=dtype)


@pytest.fixture
def run_in_threads():
    def run(*functions):
        with ThreadPoolExecutor(len(functions)) as pool:
            return [each.result() for each in [pool.submit(f) for f in functions]]

    return run


@pytest.fixture
def exact(device, dtype):
    if dtype != "float64":
        pytest.skip("the book's digits are those of float64")
    return lambda values: Variable(device.asarray(values, dtype=dtype))


# The book's numbers


def test_two_apples():
    apple, number, tax = Variable(100), Variable(2), Variable(1.1)
    price = apple * number * tax
    price.backward()
    assert price.array == 220.00000000000003
    assert (apple.grad, number.grad, tax.grad) == (2.2, 110.00000000000001, 200)


def test_two_apples_on_a_device(exact):
    apple, number, tax = map(exact, (100, 2, 1.1))
    price = apple * number * tax
    price.backward()
    assert float(price) == 220.00000000000003
    assert [float(v.grad) for v in (apple, number, tax)] == [2.2, 110.00000000000001, 200]


def test_two_apples_and_three_oranges():
    prices = apple, apples, orange, oranges, tax = [*map(Variable, (100, 2, 150, 3, 1.1))]
    price = (apple * apples + orange * oranges) * tax
    price.backward()
    assert price.array == 715.0000000000001
    assert [v.grad for v in prices] == [2.2, 110.00000000000001, 3.3000000000000003, 165.0, 650]


def test_two_apples_and_three_oranges_on_a_device(exact):
    prices = apple, apples, orange, oranges, tax = [*map(exact, (100, 2, 150, 3, 1.1))]
    price = (apple * apples + orange * oranges) * tax
    price.backward()
    assert float(price) == 715.0000000000001
    wanted = [2.2, 110.00000000000001, 3.3000000000000003, 165.0, 650]
    assert [float(v.grad) for v in prices] == wanted


def test_sum_of_two_products():
    a, b, c, d = map(Variable, (3, 2, 4, 5))
    e, f = a * b, c * d
    g = e + f
    g.backward()
    assert (e.array, f.array, g.array) == (6, 20, 26)
    assert [v.grad for v in (a, b, c, d, e, f, g)] == [2, 3, 5, 4, 1, 1, 1]


def test_sum_of_two_products_on_a_device(exact):
    a, b, c, d = map(exact, (3, 2, 4, 5))
    e, f = a * b, c * d
    g = e + f
    g.backward()
    assert [float(v) for v in (a, b, c, d, e, f, g)] == [3, 2, 4, 5, 6, 20, 26]
    assert [float(v.grad) for v in (a, b, c, d, e, f, g)] == [2, 3, 5, 4, 1, 1, 1]


def test_relu(array):
    x = Variable(array(X))
    y = Relu().forward(x)
    y.backward(array(np.ones((2, 2))))
    np.testing.assert_array_equal(to_numpy(y.array), [[1, 0], [0, 3]])
    np.testing.assert_array_equal(to_numpy(x.grad), [[1, 0], [0, 1]])


def test_sigmoid(array):
    x = Variable(array(X))
    y = Sigmoid().forward(x)
    y.backward(array(np.ones((2, 2))))
    wanted_y = [[0.73105858, 0.37754067], [0.11920292, 0.95257413]]
    wanted_dx = [[0.19661193, 0.23500371], [0.10499359, 0.04517666]]
    np.testing.assert_allclose(to_numpy(y.array), wanted_y, 2e-6)
    np.testing.assert_allclose(to_numpy(x.grad), wanted_dx, 2e-6)


def test_bias_of_affine(array):
    affine = Affine(array(np.ones((2, 3))), array([1.0, 2.0, 3.0]))
    y = affine.forward(Variable(array([[0.0, 0.0], [5.0, 5.0]])))
    y.backward(array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    np.testing.assert_array_equal(to_numpy(y.array), [[1, 2, 3], [11, 12, 13]])
    np.testing.assert_array_equal(to_numpy(affine.db), [5, 7, 9])
    assert {v.name: v.grad for v in y.creator.learned}["b"] is affine.db


# Operators


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
def test_array_may_stand_on_either_side(array, op):
    a, b = array([1.0, 2.0]), array([3.0, 1.5])
    for y in (op(a, Variable(b)), op(Variable(a), b), op(Variable(a), Variable(b))):
        assert isinstance(y, Variable)
        np.testing.assert_allclose(to_numpy(y.array), op(to_numpy(a), to_numpy(b)), 1e-6)


@pytest.mark.parametrize("op", OPERATORS[:-1], ids=lambda op: op.__name__)
@pytest.mark.parametrize("number", [2, 2.5], ids=["int", "float"])
def test_number_may_stand_on_either_side(array, dtype, op, number):
    v = Variable(array([1.0, 2.0]))
    left, right = op(number, v), op(v, number)
    np.testing.assert_allclose(to_numpy(left.array), op(number, np.asarray([1.0, 2.0])), 1e-6)
    np.testing.assert_allclose(to_numpy(right.array), op(np.asarray([1.0, 2.0]), number), 1e-6)
    (left + right).sum().backward()
    assert str(to_numpy(left.array).dtype) == str(to_numpy(v.grad).dtype) == dtype


@pytest.mark.parametrize("op", OPERATORS[:5], ids=lambda op: op.__name__)
def test_gradient_of_what_was_broadcast_has_its_own_shape_and_dtype(array, device, dtype, op):
    x, y = Variable(array(np.ones((2, 3)) * 2)), Variable(array(np.ones((3, 1, 3))))
    z = Variable(array(1.5))
    op(op(x, y), z).sum().backward()
    for v in (x, y, z):
        assert tuple(v.grad.shape) == v.shape
        assert str(to_numpy(v.grad).dtype) == dtype
        assert device.backend.device_of(v.grad) == device.name


def test_number_among_arrays_gets_the_sum_of_its_gradients(array):
    factor = Variable(3.0)
    (factor * array([1.0, 2.0, 4.0])).sum().backward()
    assert float(factor.grad) == 7.0


def test_sign_and_absolute_value(array):
    x = Variable(array([-2.0, 3.0]))
    (abs(x) - (-x) + (+x)).sum().backward()
    np.testing.assert_array_equal(to_numpy(x.grad), [1, 3])


def test_numpy_array_and_numpy_scalar_leave_the_operator_to_the_variable():
    v = Variable(np.asarray([1.0, 2.0]))
    for y in (np.asarray([1.0, 2.0]) * v, np.float64(2.0) * v, v * np.float64(2.0)):
        assert isinstance(y, Variable)
    assert (np.float32(2) * Variable(np.ones(2, np.float32))).dtype == np.float32


@pytest.mark.parametrize("op", [operator.lt, operator.le, operator.gt, operator.ge, operator.eq])
def test_comparisons_give_arrays_of_bool(array, op):
    a, b = array([1.0, 2.0]), array([2.0, 2.0])
    for found in (op(Variable(a), b), op(Variable(a), Variable(b))):
        assert not isinstance(found, Variable)
        np.testing.assert_array_equal(to_numpy(found), op(to_numpy(a), to_numpy(b)))


def test_comparison_with_the_array_on_the_left_is_the_same(array):
    a, b = array([1.0, 2.0]), array([2.0, 2.0])
    np.testing.assert_array_equal(to_numpy(a < Variable(b)), [True, False])
    np.testing.assert_array_equal(to_numpy(a == Variable(b)), [False, True])


def test_single_number_can_be_read(array):
    v = Variable(array(2.5))
    assert (float(v), int(v), bool(v), bool(v < 3.0)) == (2.5, 2, True, True)
    assert (float(Variable(2.5)), int(Variable(2.5)), bool(Variable(0))) == (2.5, 2, False)


def test_variables_are_told_apart_by_identity_as_keys():
    a, b = Variable(1.0), Variable(1.0)
    assert len({a: 1, b: 2}) == 2


def test_it_has_what_an_array_has(array, device):
    v = Variable(array(np.ones((2, 3))), "v")
    assert (v.shape, v.ndim, v.size, v.T.shape) == ((2, 3), 2, 6, (3, 2))
    assert v.dtype == v.array.dtype
    assert repr(v).startswith("Variable(")
    assert repr(v).endswith("name='v')")
    number = Variable(2)
    assert (number.shape, number.ndim, number.size, number.device) == ((), 0, 1, None)


# Methods and functions


def test_methods_agree_with_numpy(array):
    values = np.asarray([[1.0, 2.5, 0.5], [3.0, 0.25, 2.0]])
    v = Variable(array(values))
    pairs = [
        (v.exp(), np.exp(values)),
        (v.log(), np.log(values)),
        (v.sum(axis=0), values.sum(axis=0)),
        (v.mean(axis=(0, 1), keepdims=True), values.mean(axis=(0, 1), keepdims=True)),
        (v.max(axis=-1), values.max(axis=-1)),
        (v.min(), values.min()),
        (v.reshape(3, 2), values.reshape(3, 2)),
        (v.reshape((-1,)), values.reshape(-1)),
        (v.transpose(), values.T),
        (v.transpose(1, 0), values.T),
        (v.transpose((1, 0)), values.T),
    ]
    for found, wanted in pairs:
        np.testing.assert_allclose(to_numpy(found.array), wanted, 1e-6)


def test_functions_of_the_standard_have_gradients(array):
    v = Variable(array([[0.5, 2.0], [1.5, 3.0]]))
    xp = koubai.array_namespace(v)
    y = xp.sqrt(v) + xp.square(v) + xp.reciprocal(v) + xp.clip(v, 1.0, 2.5) + xp.tanh(v)
    y = y + xp.where(v > 1.0, v, 0.0) + xp.negative(v) + xp.matrix_transpose(v)
    y.sum().backward()
    x = np.asarray([[0.5, 2.0], [1.5, 3.0]])
    wanted = 0.5 / np.sqrt(x) + 2 * x - 1 / x**2 + ((x > 1) & (x < 2.5)) + 1 - np.tanh(x) ** 2
    np.testing.assert_allclose(to_numpy(v.grad), wanted + (x > 1) - 1 + 1, 1e-5)


def test_expanded_axis_goes_away_backwards(array):
    v = Variable(array([1.0, 2.0]))
    y = koubai.array_namespace(v).expand_dims(v, axis=-1)
    assert y.shape == (2, 1)
    y.backward(array([[3.0], [4.0]]))
    np.testing.assert_array_equal(to_numpy(v.grad), [3, 4])


def test_functions_without_a_derivative_give_arrays(array):
    v = Variable(array([1.4, -2.6]))
    xp = koubai.array_namespace(v)
    for found in (xp.sign(v), xp.floor(v), xp.zeros_like(v), xp.isfinite(v)):
        assert not isinstance(found, Variable)


def test_change_of_dtype_is_undone_backwards(array, device, dtype):
    other = {"float32": "float64", "float64": "float32"}[dtype]
    if other not in device.backend.dtypes(device.name):
        pytest.skip(f"{device} has no {other} here")
    v = Variable(array([1.0, 2.0]))
    xp = koubai.array_namespace(v)
    y = xp.astype(v, getattr(device.xp, other))
    assert str(to_numpy(y.array).dtype) == other
    y.sum().backward()
    assert str(to_numpy(v.grad).dtype) == dtype
    assert xp.astype(v, v.dtype) is v


@pytest.mark.parametrize("function", [np.exp, np.log, np.sqrt, np.square, np.tanh, np.negative])
def test_ufunc_of_numpy_gives_a_variable(function):
    v = Variable(np.asarray([1.0, 2.0]))
    y = function(v)
    assert isinstance(y, Variable)
    np.testing.assert_allclose(y.array, function(v.array))
    y.sum().backward()
    assert v.grad.shape == (2,)


# Without a graph


def test_no_graph_is_built_within_no_grad():
    x = Variable(2.0)
    with no_grad():
        assert (x * 3.0).creator is None
        with no_grad():
            assert (x * 3.0).creator is None
        assert (x * 3.0).creator is None
    assert (x * 3.0).creator is not None


def test_graphs_are_built_again_after_an_exception_within_no_grad():
    with pytest.raises(ZeroDivisionError), no_grad():
        Variable(2.0) / 0
    assert (Variable(2.0) * 3.0).creator is not None


def test_no_grad_decorates_a_function_that_may_call_itself():
    @no_grad()
    def power(x, n):
        return x if n == 1 else power(x, n - 1) * x

    assert power(Variable(2.0), 4).creator is None
    assert (Variable(2.0) * 3.0).creator is not None


def test_no_grad_holds_in_its_own_thread_only(run_in_threads):
    x = Variable(2.0)
    with no_grad():
        (y,) = run_in_threads(lambda: x * 3.0)
    assert y.creator is not None


def test_function_without_a_graph_runs_in_several_threads_at_once(run_in_threads):
    inside = threading.Barrier(4, timeout=10)
    leaving = threading.Barrier(4, timeout=10)

    @no_grad()
    def twice():
        inside.wait()
        y = Variable(1.0) * 2.0
        leaving.wait()
        return y

    found = run_in_threads(*[twice] * 4)
    assert [y.creator for y in found] == [None] * 4
    assert (Variable(2.0) * 3.0).creator is not None

"""backward: every Variable its derivative, however long the graph, and nothing left behind."""

import gc
import weakref

import numpy as np
import pytest

from koubai import Affine, IdentityWithLoss, Relu, Sigmoid, to_numpy
from koubai.errors import GraphError, ShapeError
from koubai.graph import Variable, no_grad


@pytest.fixture
def array(device, dtype):
    return lambda values: device.asarray(np.asarray(values), dtype=dtype)


# The gradients


def test_variable_that_is_used_several_times_adds_up(array):
    x = Variable(array([2.0, 3.0]))
    (x * x + x * x * x - x).sum().backward()
    np.testing.assert_allclose(to_numpy(x.grad), [2 * 2 + 3 * 4 - 1, 2 * 3 + 3 * 9 - 1])


def test_intermediate_that_is_used_twice_gives_its_gradient_on_once_and_whole(array):
    x = Variable(array([2.0, 3.0]))
    y = x * x
    (y * y + y).sum().backward()
    np.testing.assert_allclose(to_numpy(y.grad), [2 * 4 + 1, 2 * 9 + 1])
    np.testing.assert_allclose(to_numpy(x.grad), [9 * 4, 19 * 6])


def test_every_intermediate_keeps_its_gradient(array):
    x = Variable(array([[1.0, -2.0], [3.0, 0.5]]))
    h = Relu().forward(x)
    y = h * 3.0
    z = y.sum()
    z.backward()
    assert float(z.grad) == 1.0
    np.testing.assert_array_equal(to_numpy(y.grad), np.ones((2, 2)))
    np.testing.assert_array_equal(to_numpy(h.grad), np.full((2, 2), 3.0))
    np.testing.assert_array_equal(to_numpy(x.grad), [[3, 0], [3, 3]])


def test_gradient_from_behind_is_used(array):
    x = Variable(array([1.0, 2.0]))
    behind = array([10.0, 100.0])
    y = x * x
    y.backward(behind)
    np.testing.assert_array_equal(to_numpy(x.grad), [20, 400])
    np.testing.assert_array_equal(to_numpy(y.grad), [10, 100])


def test_gradient_from_behind_may_be_a_number_where_the_output_is_one(array, dtype):
    x = Variable(array([1.0, -2.0]))
    Relu().forward(x).sum().backward(3)
    np.testing.assert_array_equal(to_numpy(x.grad), [3, 0])
    assert str(to_numpy(x.grad).dtype) == dtype


def test_gradient_is_that_of_the_last_backward_alone(array):
    x = Variable(array([1.0, 2.0]))
    (x * 2.0).sum().backward()
    (x * 5.0).sum().backward()
    np.testing.assert_array_equal(to_numpy(x.grad), [5, 5])


def test_integer_array_gets_no_gradient(device):
    n = Variable(device.asarray([1, 2], dtype="int32"))
    x = Variable(device.asarray([3.0, 4.0], dtype="float32"))
    xp = device.xp
    (x * Variable(xp.astype(n.array, x.dtype)) + x).sum().backward()
    assert n.grad is None
    np.testing.assert_array_equal(to_numpy(x.grad), [2, 3])


def test_integer_factor_gets_no_gradient_and_the_other_one_does():
    n, x = Variable(np.asarray([1, 2])), Variable(np.asarray([3.0, 4.0]))
    (x * n).sum().backward()
    assert n.grad is None
    np.testing.assert_array_equal(x.grad, [1, 2])


def test_constant_among_variables_costs_no_gradient(array):
    constant = array([3.0, 4.0])
    x = Variable(array([1.0, 2.0]))
    y = x * constant
    y.sum().backward()
    assert y.creator.inputs[1] is constant


def test_part_that_the_output_does_not_depend_on_keeps_no_gradient(array):
    x = Variable(array([1.0]))
    aside = x * 2.0
    (x * 3.0).sum().backward()
    assert aside.grad is None


# Long graphs


def test_chain_of_a_hundred_thousand_nodes_needs_no_recursion():
    x = y = Variable(1.0)
    for _ in range(100_000):
        y = y + 1.0
    assert y.array == 100_001.0
    y.backward()
    assert x.grad == 1.0
    end = weakref.ref(y)
    del y
    assert end() is None


def test_wide_graph_is_gone_through_once_a_node():
    x = y = Variable(1.0)
    for _ in range(60):
        y = y + y  # 2^60 paths
    y.backward()
    assert x.grad == 2**60


# What is kept, and what is not


@pytest.fixture
def without_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_graph_goes_with_its_last_user(without_collector):
    x = Variable(np.ones(3))
    h = x * 2.0
    y = Sigmoid().forward(h).sum()
    watched = [weakref.ref(h), weakref.ref(y)]
    y.backward()
    del h, y
    assert [each() for each in watched] == [None, None]


def test_graph_that_never_ran_backwards_goes_as_well(without_collector):
    affine = Affine(np.ones((3, 2)), np.ones(2))
    y = affine.forward(Variable(np.ones((1, 3))))
    watched = weakref.ref(y)
    affine.forward(np.ones((1, 3)))
    del y
    assert watched() is None


def test_graph_of_gradients_goes_with_its_last_user(without_collector):
    x = Variable(np.asarray([2.0]))
    y = (x * x * x).sum()
    y.backward(create_graph=True)
    x.grad.sum().backward()
    watched = [weakref.ref(y), weakref.ref(x)]
    del y, x
    assert watched[0]() is None


def test_what_a_layer_kept_goes_after_backward(without_collector):
    class Big(np.ndarray):
        """Such as can be watched."""

    class Keeps:
        def forward(self, x):
            self.big = np.ones(x.shape).view(Big)
            return x * 2.0

        def backward(self, dout):
            return dout * 2.0

    layer = Keeps()
    y = Variable.run(layer, Variable(np.ones(3))).sum()
    watched = weakref.ref(layer.big)
    del layer
    assert watched() is not None
    y.backward()
    assert watched() is None


def test_second_backward_needs_retain_graph():
    x = Variable(np.asarray([1.0, 2.0]))
    y = (x * x).sum()
    y.backward(retain_graph=True)
    first = x.grad
    y.backward(retain_graph=True)
    np.testing.assert_array_equal(x.grad, first)
    y.backward()
    with pytest.raises(GraphError, match=r"freed.*retain_graph=True"):
        y.backward()


def test_new_graph_on_the_same_variables_runs_after_the_old_one_is_freed():
    x = Variable(np.asarray([1.0, 2.0]))
    for _ in range(2):
        (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [2, 4])


def test_layer_may_run_on_before_backward(array):
    """Each node has what it needs, though the layer itself holds another batch by then."""
    layer = Affine(array([[2.0], [3.0]]), array([0.0]))
    x1, x2 = Variable(array([[1.0, 1.0]])), Variable(array([[5.0, 7.0]]))
    y1 = layer.forward(x1).sum()
    y2 = layer.forward(x2).sum()
    layer.forward(array([[9.0, 9.0]]))
    y1.backward()
    np.testing.assert_array_equal(to_numpy(layer.dW), [[1], [1]])
    y2.backward()
    np.testing.assert_array_equal(to_numpy(layer.dW), [[5], [7]])


def test_layer_used_twice_in_a_graph_adds_up_its_gradients(array):
    layer = Affine(array([[2.0], [3.0]]), array([0.0]))
    x1, x2 = Variable(array([[1.0, 1.0]])), Variable(array([[5.0, 7.0]]))
    (layer.forward(x1) + layer.forward(x2)).sum().backward()
    np.testing.assert_array_equal(to_numpy(layer.dW), [[6], [8]])
    np.testing.assert_array_equal(to_numpy(layer.db), [2])


def test_layer_that_makes_the_targets_too_has_the_gradient_of_its_other_use(array):
    """Nothing goes back to the targets of a loss, so nothing to what computed them."""
    layer = Affine(array([[2.0], [3.0]]), array([0.5]))
    x1, x2 = array([[1.0, 1.0]]), array([[5.0, 7.0]])
    y, t = layer.forward(Variable(x1)), layer.forward(Variable(x2))
    IdentityWithLoss().forward(y, t).backward()
    np.testing.assert_array_equal(to_numpy(layer.dW), [[-26], [-26]])
    assert t.grad is None


def test_arrays_of_parameters_are_those_of_the_layer():
    layer = Affine(np.ones((2, 1)), np.zeros(1))
    y = layer.forward(Variable(np.ones((1, 2))))
    W, b = y.creator.learned
    assert (W.array is layer.W, b.array is layer.b, W.owner is layer) == (True, True, True)


# What cannot be


def test_output_of_several_numbers_has_no_single_derivative(array):
    y = Variable(array([1.0, 2.0])) * 2.0
    with pytest.raises(GraphError, match=r"shape \(2,\).*y\.sum\(\).*backward\(gradient\)"):
        y.backward()


@pytest.mark.parametrize("shape", [(), (1,), (2, 1), (3,)], ids=str)
def test_gradient_of_another_shape_is_refused(array, shape):
    y = Variable(array([1.0, 2.0])) * 2.0
    with pytest.raises(ShapeError, match=r"gradient is .*shape of the output, \(2,\)"):
        y.backward(array(np.ones(shape)))


@pytest.mark.parametrize("gradient", [1.0, [1.0, 1.0]], ids=["number", "list"])
def test_gradient_that_is_no_array_is_refused(gradient):
    y = Variable(np.asarray([1.0, 2.0])) * 2.0
    with pytest.raises(ShapeError, match=r"gradient is (float|list)"):
        y.backward(gradient)


def test_leaf_has_no_graph():
    with pytest.raises(GraphError, match="no graph"):
        Variable(1.0).backward()
    with no_grad():
        y = Variable(1.0) * 2.0
    with pytest.raises(GraphError, match=r"no_grad\(\)"):
        y.backward()


def test_integers_have_no_derivative():
    y = Variable(np.asarray(3)) * np.asarray(4)
    with pytest.raises(GraphError, match=r"int64.*no derivative"):
        y.backward()

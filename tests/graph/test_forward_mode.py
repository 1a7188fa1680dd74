"""jvp: forward mode agrees with reverse mode, for every layer and network."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import koubai
from koubai import to_numpy
from koubai.errors import GraphError, ShapeError
from koubai.gradcheck.cases import CASES
from koubai.graph import Variable, jvp, no_grad

few_times = settings(derandomize=True, deadline=None, max_examples=5)


def floating(value):
    return type(value) is float or "float" in str(getattr(value, "dtype", ""))


def host(value):
    return np.asarray(value) if type(value) in (int, float) else to_numpy(value)


def hold_both_modes(run, inputs, place, seed):
    """Hold <u, J v> against <J^T u, v> for random u and v; and the value against forward."""
    rng = np.random.default_rng(seed)

    def like(value):
        drawn = rng.standard_normal(getattr(value, "shape", ()))
        return float(drawn) if type(value) is float else place.asarray(drawn, dtype="float64")

    moving = [i for i, value in enumerate(inputs) if floating(value)]

    def function(*variables):
        values = list(inputs)
        for i, variable in zip(moving, variables, strict=True):
            values[i] = variable
        return run(*values)

    points = [inputs[i] for i in moving]
    tangents = [like(value) for value in points]
    value, tangent = jvp(function, points, tangents)
    variables = [Variable(each) for each in points]
    y = function(*variables)
    np.testing.assert_array_equal(host(value), host(y.array))
    assert np.shape(host(tangent)) == y.shape
    u = like(y.array)
    y.backward(u)
    pairs = [(v.grad, t) for v, t in zip(variables, tangents, strict=True) if v.grad is not None]
    back = sum(float(np.sum(host(gradient) * host(t))) for gradient, t in pairs)
    ahead = float(np.sum(host(u) * host(tangent)))
    assert ahead == pytest.approx(back, rel=1e-9, abs=1e-11)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@few_times
@given(seed=st.integers(0, 2**32 - 1))
def test_both_modes_agree(case, seed):
    place = koubai.device("cpu")
    target, inputs = case.make(place, "float64")
    run = getattr(target, "loss" if hasattr(target, "layers") else "forward")
    hold_both_modes(run, inputs, place, seed)


CHOSEN = [each for each in CASES if each.name in {"MulLayer-broadcast", "Affine", "TwoLayerNet"}]


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name)
def test_both_modes_agree_on_a_device(case, device, dtype):
    if dtype != "float64":
        pytest.skip("compared in float64")
    target, inputs = case.make(device, dtype)
    run = getattr(target, "loss" if hasattr(target, "layers") else "forward")
    hold_both_modes(run, inputs, device, 0)


def test_price_of_two_apples():
    found = jvp(lambda apple, number, tax: apple * number * tax, (100, 2, 1.1), (1, 0, 0))
    assert found == (220.00000000000003, 2.2)


def test_variable_used_several_times():
    x, v = np.asarray([2.0, 3.0]), np.asarray([1.0, 10.0])
    value, tangent = jvp(lambda x: x * x * x + x, (x,), (v,))
    np.testing.assert_allclose(value, x**3 + x)
    np.testing.assert_allclose(tangent, (3 * x * x + 1) * v)


def test_softmax():
    x, v = np.asarray([0.3, -1.0, 2.0]), np.asarray([1.0, 2.0, -1.0])
    p, tangent = jvp(koubai.softmax, (x,), (v,))
    np.testing.assert_allclose(tangent, p * (v - p @ v))


def test_function_that_gives_its_input_gives_its_tangent():
    tangent = np.asarray([3.0, 4.0])
    assert jvp(lambda x: x, (np.ones(2),), (tangent,))[1] is tangent


def test_constant_has_no_tangent(device, dtype):
    x, y = (device.asarray([1.0, 2.0], dtype=dtype) for _ in range(2))
    _, tangent = jvp(lambda _: Variable(y) * 2.0, (x,), (x,))
    np.testing.assert_array_equal(to_numpy(tangent), [0, 0])
    assert str(to_numpy(tangent).dtype) == dtype


def test_layer_that_hands_the_gradient_through_hands_the_tangent_through():
    class Identity:
        def forward(self, x):
            return x + 0.0

        def backward(self, dout):
            return dout

    _, tangent = jvp(lambda x: Variable.run(Identity(), x) * 2.0, (np.ones(2),), (np.ones(2),))
    np.testing.assert_array_equal(tangent, [2, 2])


def test_it_works_within_no_grad():
    with no_grad():
        assert jvp(lambda x: x * x, (3.0,), (1.0,)) == (9.0, 6.0)


@pytest.mark.parametrize("tangents", [(), (np.ones(3),), (1.0,), (np.ones(2), np.ones(2))])
def test_tangents_that_do_not_fit_are_refused(tangents):
    with pytest.raises(ShapeError, match=r"jvp: the inputs .*\(2,\).*tangents"):
        jvp(lambda x: x, (np.ones(2),), tangents)


def test_function_must_give_a_variable():
    with pytest.raises(GraphError, match=r"jvp: .*a Variable is wanted"):
        jvp(lambda x: x.array, (np.ones(2),), (np.ones(2),))

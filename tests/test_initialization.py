"""Initial weights: their spread, their seed, and those that keep lengths."""

import numpy as np
import pytest

from koubai import TwoLayerNet, to_numpy
from koubai.errors import KoubaiError, ShapeError
from koubai.initialization import fans, initial_weights

SPREAD = {
    "relu": (2 / 300) ** 0.5,
    "he": (2 / 300) ** 0.5,
    "sigmoid": (1 / 300) ** 0.5,
    "xavier": (1 / 300) ** 0.5,
    "lecun": (1 / 300) ** 0.5,
    "glorot": (2 / 500) ** 0.5,
    0.03: 0.03,
}


@pytest.mark.parametrize("how", SPREAD)
def test_weights_are_normal_with_the_spread_of_the_formula(how):
    drawn = np.random.default_rng(5).standard_normal((300, 200))
    np.testing.assert_array_equal(initial_weights((300, 200), how, rng=5), SPREAD[how] * drawn)


def test_name_may_be_in_capitals_as_in_the_book():
    np.testing.assert_array_equal(
        initial_weights((3, 2), "ReLU", rng=0), initial_weights((3, 2), "he", rng=0)
    )


def test_spread_of_filters_goes_by_what_each_sees():
    drawn = np.random.default_rng(5).standard_normal((30, 2, 5, 5))
    found = initial_weights((30, 2, 5, 5), "relu", rng=5)
    np.testing.assert_allclose(found, (2 / 50) ** 0.5 * drawn, rtol=1e-15)
    assert fans((30, 2, 5, 5)) == (50, 750)


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (4, 3, 2, 2), (30, 1, 2, 2)], ids=str)
def test_orthogonal_weights_keep_lengths(shape):
    Q = initial_weights(shape, "orthogonal", rng=1)
    assert Q.shape == shape
    rows = Q.reshape(shape[0], -1)
    gram = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-12)


def test_generator_goes_on_from_where_it_is():
    source = np.random.default_rng(3)
    first, second = (initial_weights((4, 4), "orthogonal", source) for _ in range(2))
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(first, initial_weights((4, 4), "orthogonal", 3))


def test_numbers_of_a_seed_are_those_of_earlier_versions():
    """A script with a seed gives tomorrow what it gave yesterday."""
    net = TwoLayerNet(4, 6, 3, 0.5, device="cpu", dtype="float64", rng=7)
    draw = np.random.default_rng(7).standard_normal
    np.testing.assert_array_equal(net.params["W1"], 0.5 * draw((4, 6)))
    np.testing.assert_array_equal(net.params["W2"], 0.5 * draw((6, 3)))


@pytest.mark.parametrize("how", ["relu", "xavier", "orthogonal"])
def test_seed_gives_the_same_on_every_backend(device, dtype, how):
    here = TwoLayerNet(6, 5, 3, how, device=device, dtype=dtype, rng=7)
    there = TwoLayerNet(6, 5, 3, how, device="cpu", dtype=dtype, rng=7)
    for key in there.params:
        np.testing.assert_array_equal(to_numpy(here.params[key]), there.params[key])


@pytest.mark.parametrize("how", ["kaiming", "", -0.1, float("nan"), float("inf")])
def test_unknown_way_is_refused(how):
    with pytest.raises(KoubaiError, match="initial_weights"):
        initial_weights((3, 2), how)


@pytest.mark.parametrize("how", ["relu", "orthogonal"])
@pytest.mark.parametrize("shape", [(), (3,), (0, 3), (3, 3, 3)], ids=str)
def test_shape_without_inputs_and_outputs_is_refused(how, shape):
    with pytest.raises(ShapeError, match="initial_weights"):
        initial_weights(shape, how)

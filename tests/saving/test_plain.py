"""What goes into JSON comes back as it was."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from koubai.errors import SavingError
from koubai.saving.plain import from_plain, to_plain

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9)
)
TAGS = st.sampled_from(["int", "float", "tuple", "dict", "array"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(TAGS | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


def there_and_back(value):
    return from_plain(json.loads(json.dumps(to_plain(value, "state"), allow_nan=False)))


@given(VALUES)
def test_values_come_back_as_they_were(value):
    back = there_and_back(value)
    assert back == value
    assert repr(back) == repr(value)  # 1 is not True, 0.0 not -0.0


def test_numbers_that_json_cannot_write_come_back():
    numbers = [10**5000, -(2**128), 2**63, float("inf"), float("-inf")]
    assert there_and_back(numbers) == numbers


def test_nan_comes_back():
    assert np.isnan(there_and_back(float("nan")))


@pytest.mark.parametrize("name", ["PCG64", "MT19937", "Philox", "SFC64"])
def test_states_of_random_generators_come_back(name):
    kind = getattr(np.random, name)
    generator = np.random.Generator(kind(1))
    generator.random(7, dtype=np.float32)
    other = np.random.Generator(kind(2))
    other.bit_generator.state = there_and_back(generator.bit_generator.state)
    assert generator.random(100).tobytes() == other.random(100).tobytes()


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "uint64", "bool"])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_small_arrays_come_back(dtype, shape):
    array = np.full(shape, 3, dtype)
    back = there_and_back({"a": array})["a"]
    assert back.dtype == array.dtype
    assert back.shape == shape
    assert np.array_equal(back, array)


def test_numpy_numbers_become_pythons():
    assert there_and_back([np.float32(0.5), np.int64(3), np.bool_(1)]) == [0.5, 3, True]


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": [1, {2}]}, r"state\['a'\]\[1\] is builtins.set"),
        ({"f": len}, r"state\['f'\]"),
        (b"bytes", "state is builtins.bytes"),
        (1j, "complex"),
        (np.asarray(["a"]), "numpy.ndarray"),
        (np.longdouble(1), "longdouble"),
    ],
)
def test_what_json_cannot_hold_is_named_with_its_place(value, place):
    with pytest.raises(SavingError, match=place):
        to_plain(value, "state")


def test_keys_that_are_no_strings_are_refused():
    with pytest.raises(SavingError, match=r"state\['a'\] has the key 1.*Write '1'"):
        to_plain({"a": {1: 2}}, "state")

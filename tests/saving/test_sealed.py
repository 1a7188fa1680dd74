"""The checksum within a file, and what it must not be taken for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from koubai.errors import SavingError
from koubai.saving.sealed import seal, unseal

NAMES = st.text(max_size=8).filter(lambda name: name != "__metadata__")
DTYPES = st.sampled_from(["float16", "float32", "float64", "int8", "uint64", "bool"])
SHAPES = st.lists(st.integers(0, 3), max_size=3).map(tuple)


@given(st.dictionaries(NAMES, st.tuples(DTYPES, SHAPES), max_size=5), st.integers(0, 9))
def test_arrays_of_any_names_shapes_and_dtypes_come_back(kinds, seed):
    rng = np.random.default_rng(seed)
    arrays = {
        name: rng.integers(0, 2, size=shape).astype(dtype) for name, (dtype, shape) in kinds.items()
    }
    found = unseal("test", bytes(seal("test", arrays, {"a": seed})))
    assert found.notes["a"] == seed
    assert found.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found.arrays[name].dtype == array.dtype
        assert found.arrays[name].shape == array.shape
        assert np.array_equal(found.arrays[name], array)


def test_names_and_notes_that_look_like_a_blank_checksum_do_no_harm():
    zeros = "0" * 64
    data = bytes(seal("test", {zeros: np.ones(2)}, {"sha": zeros, zeros: zeros}))
    assert unseal("test", data).notes[zeros] == zeros


@pytest.mark.parametrize("extra", [b"\0", b"more"])
def test_bytes_behind_the_end_are_noticed(extra):
    with pytest.raises(SavingError, match="altered"):
        unseal("test", bytes(seal("test", {"a": np.ones(2)}, {})) + extra)


def test_a_header_whose_size_begins_like_a_pickle_is_not_taken_for_one():
    for length in range(2000):
        data = bytes(seal("test", {}, {"pad": "x" * length}))
        if data[:1] == b"\x80":
            break
    assert data[:1] == b"\x80"
    with pytest.raises(SavingError, match="truncated"):
        unseal("test", data[:-1])

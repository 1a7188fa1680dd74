"""A copy of a known file is read if it is sound, and refused with a reason if it is not."""

import gzip
import hashlib
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from koubai.datasets.idx import ContentError, IdxFile, is_gzipped

CONTENT = struct.pack(">HBB2I", 0, 8, 2, 3, 4) + bytes(range(12))
FILE = IdxFile("three-rows", (3, 4), hashlib.sha256(CONTENT).hexdigest())

packings = pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])


@pytest.fixture
def copy(tmp_path):
    def write(content):
        path = tmp_path / "copy"
        path.write_bytes(content)
        return path

    return write


@packings
def test_a_sound_copy_gives_its_elements(copy, pack):
    elements = FILE.read(copy(pack(CONTENT)))
    assert elements.dtype == np.uint8
    np.testing.assert_array_equal(elements, np.arange(12).reshape(3, 4))


@settings(deadline=None)
@given(shape=st.lists(st.integers(0, 5), min_size=1, max_size=4), data=st.data())
def test_every_idx_file_comes_back_as_it_went_in(tmp_path_factory, shape, data):
    elements = data.draw(st.binary(min_size=math.prod(shape), max_size=math.prod(shape)))
    header = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
    file = IdxFile("any", tuple(shape), hashlib.sha256(header + elements).hexdigest())
    path = tmp_path_factory.getbasetemp() / "any.idx"
    path.write_bytes(data.draw(st.sampled_from([bytes, gzip.compress]))(header + elements))
    found = file.read(path)
    assert (file.header, found.shape, found.tobytes()) == (header, tuple(shape), elements)


@packings
@settings(deadline=None)
@given(position=st.integers(0, len(CONTENT) - 1), difference=st.integers(1, 255))
def test_no_byte_can_be_changed(tmp_path_factory, pack, position, difference):
    altered = bytearray(CONTENT)
    altered[position] ^= difference
    path = tmp_path_factory.getbasetemp() / "altered.idx"
    path.write_bytes(pack(bytes(altered)))
    with pytest.raises(ContentError, match=r"altered|another IDX header"):
        FILE.read(path)


@packings
@pytest.mark.parametrize("kept", [0, 1, 2, 15, 16, len(CONTENT) - 1])
def test_a_copy_cut_short_is_refused(copy, pack, kept):
    with pytest.raises(ContentError, match=f"holds {kept} bytes instead of the 24 of three-rows"):
        FILE.read(copy(pack(CONTENT[:kept])))


@pytest.mark.parametrize("lost", [1, 8, 20])
def test_a_gzip_file_cut_short_is_refused_with_its_cause(copy, lost):
    with pytest.raises(ContentError, match="truncated or damaged gzip") as caught:
        FILE.read(copy(gzip.compress(CONTENT)[:-lost]))
    assert isinstance(caught.value.__cause__, EOFError)


def test_a_damaged_gzip_file_is_refused(copy):
    zipped = bytearray(gzip.compress(CONTENT))
    zipped[-8] ^= 1  # the checksum
    with pytest.raises(ContentError, match="damaged gzip"):
        FILE.read(copy(bytes(zipped)))
    zipped[10] = 0xFF  # the first block's type, which no block has
    with pytest.raises(ContentError, match="damaged gzip"):
        FILE.read(copy(bytes(zipped)))


@packings
def test_one_byte_too_many_is_refused(copy, pack):
    with pytest.raises(ContentError, match="more than the 24 bytes of three-rows"):
        FILE.read(copy(pack(CONTENT + b"\0")))


def test_a_gzip_bomb_is_not_unzipped(copy):
    bomb = gzip.compress(bytes(50_000_000))
    broken_at_its_end = bomb[:-100]
    with pytest.raises(ContentError, match="more than the 24 bytes"):
        FILE.read(copy(broken_at_its_end))


@pytest.mark.parametrize(
    "content",
    [
        struct.pack(">HBB2I", 0, 8, 2, 4, 3) + bytes(12),
        struct.pack(">HBB2I", 0, 9, 2, 3, 4) + bytes(12),
        struct.pack(">HBB2I", 1, 8, 2, 3, 4) + bytes(12),
        b"<!DOCTYPE html><html>404",
    ],
    ids=["dimensions", "type", "magic", "html"],
)
def test_another_header_is_refused_before_the_hash(copy, content):
    with pytest.raises(ContentError, match=r"IDX header.*instead of 00000802 00000003 00000004"):
        FILE.read(copy(content))


def test_a_missing_copy_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        FILE.read(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("content", "answer"), [(b"", False), (b"\x1f", False), (b"\x1f\x8b", True), (CONTENT, False)]
)
def test_the_first_two_bytes_tell_a_gzip_file(copy, content, answer):
    assert is_gzipped(copy(content)) is answer

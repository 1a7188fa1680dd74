"""prefetch: the same things in the same order, a thread that ends, and the place of the loop."""

import threading
import time
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from koubai import to_numpy
from koubai.backend import device_of
from koubai.errors import KoubaiError
from koubai.training import Batches, StreamBatches, as_batches, prefetch

N = 23


def data():
    return np.arange(N * 2, dtype=np.float32).reshape(N, 2), np.arange(N)


def cut():
    return Batches(*data(), 4, rng=0)


def stream():
    return StreamBatches([(np.zeros((2, 1)), np.asarray([i, i])) for i in range(6)])


def samples(batches):
    return [to_numpy(t).tolist() for _, t in batches]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not threads()


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "koubai prefetch"]


def wait_until(true):
    for _ in range(500):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("It did not happen.")


@given(st.lists(st.integers()), st.integers(1, 5))
def test_gives_the_same_in_the_same_order(items, size):
    assert list(prefetch(items, size)) == items


def test_on_every_device_float64_too(koubai_device, koubai_dtype):
    x, t = data()
    x = x.astype(koubai_dtype)
    for arrays, place in (((x, t), koubai_device), (map(koubai_device.asarray, (x, t)), None)):
        batches = Batches(*arrays, 4, rng=0, device=place)
        for (found, _), (expected, _) in zip(
            prefetch(batches), Batches(x, t, 4, rng=0), strict=True
        ):
            assert device_of(found) == koubai_device
            assert to_numpy(found).dtype == koubai_dtype
            np.testing.assert_array_equal(to_numpy(found), expected)


def test_prepares_so_many_ahead_and_no_more():
    made = []

    def source():
        for i in range(10):
            made.append(i)
            yield i

    items = iter(prefetch(source(), 3))
    assert next(items) == 0
    wait_until(lambda: len(made) >= 4)
    time.sleep(0.05)
    assert len(made) == 4
    items.close()


@pytest.mark.parametrize("size", [1, 2, 4])
def test_arrays_that_are_used_again_are_left_alone_while_the_loop_has_them(size):
    x, t = data()
    for found, label in prefetch(Batches(x, t, 2, rng=0, reuse=True), size):
        time.sleep(0.002)
        np.testing.assert_array_equal(found, x[label])


def test_attributes_are_those_of_the_batches():
    batches = prefetch(Batches(*data(), 4))
    assert (len(batches), batches.samples, batches.batch_size) == (6, N, 4)
    assert (batches.epoch, batches.position) == (0, 0)
    assert as_batches(batches) is batches
    assert repr(batches).startswith("prefetch(Batches(23 samples")
    with pytest.raises(AttributeError):
        batches.nothing  # noqa: B018


class TestTheThread:
    def test_ends_when_the_loop_is_left(self):
        for _ in prefetch(range(1000)):
            break
        assert not threads()

    def test_ends_when_the_loop_raises(self):
        def loop():
            for _ in prefetch(range(1000)):
                raise RuntimeError

        with pytest.raises(RuntimeError):
            loop()
        assert not threads()

    def test_ends_when_the_iterator_is_dropped(self):
        items = iter(prefetch(range(1000)))
        next(items)
        assert threads()
        del items
        assert not threads()

    def test_is_not_begun_before_something_is_wanted(self):
        items = iter(prefetch(range(1000)))
        assert not threads()
        del items

    def test_passes_an_error_on_where_it_stands(self):
        def source():
            yield 1
            yield 2
            raise ValueError("no third")

        found = []
        with pytest.raises(ValueError, match="no third") as caught:
            found.extend(prefetch(source()))
        assert caught.traceback[-1].name == "source"
        items = iter(prefetch(source()))
        assert [next(items), next(items)] == [1, 2]
        with pytest.raises(ValueError, match="no third"):
            next(items)

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
    def test_passes_on_what_is_no_exception_too(self, error):
        def source():
            raise error
            yield

        with pytest.raises(error):
            list(prefetch(source()))


class TestThePlace:
    @pytest.mark.parametrize("size", [1, 2, 5])
    def test_is_that_of_the_loop(self, size):
        plain, ahead = Batches(*data(), 4, rng=0), prefetch(Batches(*data(), 4, rng=0), size)
        for _ in range(2):
            for _, _ in zip(plain, ahead, strict=True):
                assert ahead.state_dict() == plain.state_dict()
                assert (ahead.epoch, ahead.position) == (plain.epoch, plain.position)
            assert ahead.state_dict() == plain.state_dict()

    @pytest.mark.parametrize("left_after", range(1, 7))
    @pytest.mark.parametrize("make", [cut, stream])
    def test_of_a_loop_that_was_left_is_gone_on_from(self, left_after, make):
        ahead, unbroken = prefetch(make()), make()
        found = samples(islice(ahead, left_after))
        state = ahead.state_dict()
        assert state["position"] == left_after
        resumed = prefetch(make())
        resumed.load_state_dict(state)
        expected = samples(unbroken) + samples(unbroken)
        for batches in (ahead, resumed):
            rest = samples(batches)
            rest += [] if left_after == 6 else samples(batches)
            assert found + rest == expected

    def test_of_a_source_that_raises_is_that_of_the_last_batch(self):
        def transform(x, t):
            if 7 in t:
                raise RuntimeError
            return x, t

        batches = Batches(*data(), 2, shuffle=False, transform=transform)
        ahead = prefetch(batches)
        with pytest.raises(RuntimeError):
            list(ahead)
        assert ahead.position == batches.position == 3

    def test_of_what_keeps_none_is_not_told(self):
        with pytest.raises(KoubaiError, match="keeps no place"):
            prefetch([1, 2]).state_dict()

    def test_has_one_loop_at_a_time(self):
        batches = prefetch(Batches(*data(), 4))
        items = iter(batches)
        next(items)
        with pytest.raises(KoubaiError, match="is running"):
            next(iter(batches))
        with pytest.raises(KoubaiError, match="is running"):
            batches.load_state_dict(batches.state_dict())
        items.close()
        assert len(samples(batches)) == 5


@pytest.mark.parametrize("size", [0, -1, 1.5])
def test_size_is_a_whole_number(size):
    with pytest.raises(KoubaiError, match="size is"):
        prefetch([], size)


def test_wants_an_iterable():
    with pytest.raises(KoubaiError, match="cannot be iterated over"):
        prefetch(5)

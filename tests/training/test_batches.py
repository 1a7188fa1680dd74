"""Batches: every sample once an epoch, the same everywhere, and gone on from bit for bit."""

import json
import subprocess
import sys
from itertools import chain, islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from koubai import to_numpy
from koubai.backend import device_of
from koubai.errors import (
    DTypeError,
    KoubaiError,
    LabelError,
    MixedArraysError,
    NotAnArrayError,
    ShapeError,
)
from koubai.training import Batches, StreamBatches, as_batches, split, split_rows

N = 23


@pytest.fixture
def data():
    return np.arange(N * 6, dtype=np.float32).reshape(N, 2, 3), np.arange(N)


def samples(batches):
    """Tell which samples the batches hold, batch by batch."""
    return [to_numpy(t).tolist() for _, t in batches]


def forever(batches):
    while True:
        yield from batches


ways = st.fixed_dictionaries(
    {
        "batch_size": st.integers(1, 9),
        "rng": st.integers(0, 2**40),
        "drop_last": st.booleans(),
    },
    optional={
        "shuffle": st.just(False),
        "rows": st.permutations(range(N)).map(lambda rows: np.asarray(rows[:11])),
        "reuse": st.just(True),
    },
) | st.fixed_dictionaries(
    {"batch_size": st.integers(1, 30), "rng": st.integers(0, 9), "replacement": st.just(True)}
)


class TestAnEpoch:
    @given(n=st.integers(1, 40), size=st.integers(1, 50), seed=st.integers(0, 2**64))
    def test_has_every_sample_once_and_every_batch_full_but_the_last(self, n, size, seed):
        batches = Batches(np.arange(n) * 2, np.arange(n), size, rng=seed)
        for _ in range(2):
            found = [(x.tolist(), t.tolist()) for x, t in batches]
            assert len(found) == len(batches)
            assert sorted(chain.from_iterable(t for _, t in found)) == list(range(n))
            assert all(x == [2 * i for i in t] for x, t in found)
            assert {len(t) for _, t in found[:-1]} <= {size}
        assert (batches.epoch, batches.position) == (2, 0)

    def test_has_an_order_of_its_own(self, data):
        batches = Batches(*data, 4, rng=0)
        orders = [list(chain(*samples(batches))) for _ in range(5)]
        assert len({tuple(order) for order in [*orders, range(N)]}) == 6

    def test_in_the_order_of_the_data(self, data):
        batches = Batches(*data, 10, shuffle=False)
        expected = [list(range(10)), list(range(10, 20)), [20, 21, 22]]
        assert samples(batches) == samples(batches) == expected

    def test_without_a_last_batch_that_is_not_full(self, data):
        batches = Batches(*data, 10, drop_last=True)
        assert len(batches) == 2
        assert [len(t) for t in samples(batches)] == [10, 10]

    def test_with_replacement_has_full_batches_of_any_samples(self, data):
        batches = Batches(*data, 10, replacement=True, rng=0)
        found = [samples(batches) for _ in range(50)]
        assert all([len(t) for t in epoch] == [10, 10, 10] for epoch in found)
        assert set(np.ravel(found)) == set(range(N))
        assert any(len(set(chain(*epoch))) < 20 for epoch in found)
        assert [len(t) for t in samples(Batches(*data, 100, replacement=True, reuse=True))] == [100]

    def test_of_some_rows_has_only_those(self, data):
        batches = Batches(*data, 2, rows=[7, 3, 5], rng=1)
        assert (batches.samples, len(batches)) == (3, 2)
        assert sorted(chain(*samples(batches))) == [3, 5, 7]
        assert samples(Batches(*data, 2, rows=[7, 3, 5], shuffle=False)) == [[7, 3], [5]]

    def test_is_the_same_for_the_same_seed_and_draws_one_number_of_a_generator(self, data):
        rng, same = np.random.default_rng(3), np.random.default_rng(3)
        first, second = Batches(*data, 4, rng=rng), Batches(*data, 4, rng=rng)
        assert samples(first) == samples(Batches(*data, 4, rng=same))
        assert samples(first) != samples(second)
        same.integers(2**63)
        assert rng.bit_generator.state == same.bit_generator.state


class TestOnEveryDevice:
    def test_batches_are_those_of_numpy_and_lie_with_the_data(self, data, koubai_device):
        x, t = map(koubai_device.asarray, data)
        batches = Batches(x, t, 4, rng=0)
        for (x, t), (x_host, t_host) in zip(batches, Batches(*data, 4, rng=0), strict=True):
            assert {device_of(x), device_of(t)} == {koubai_device}
            np.testing.assert_array_equal(to_numpy(x), x_host)
            np.testing.assert_array_equal(to_numpy(t), t_host)

    @pytest.mark.parametrize("options", [{}, {"reuse": True}])
    def test_data_of_the_host_are_moved_batch_by_batch(self, data, koubai_device, options):
        batches = Batches(*data, 4, rng=0, device=koubai_device, **options)
        assert batches.device == koubai_device
        kept = list(batches)
        assert {device_of(a) for batch in kept for a in batch} == {koubai_device}
        if koubai_device.backend.name != "numpy":
            assert samples(kept) == samples(Batches(*data, 4, rng=0))

    def test_a_transform_runs_on_the_device_of_the_batch(self, koubai_device):
        pixels = np.arange(40, dtype=np.uint8).reshape(10, 4)
        seen = []

        def transform(x, t):
            seen.append(device_of(x))
            return koubai_device.asarray(x, dtype="float32") / 255, t

        for batches in (
            Batches(pixels, np.arange(10), 4, rng=0, device=koubai_device, transform=transform),
            StreamBatches([(pixels, np.arange(10))], device=koubai_device, transform=transform),
        ):
            for x, t in batches:
                expected = pixels[to_numpy(t)].astype(np.float32) / 255
                np.testing.assert_allclose(to_numpy(x), expected, rtol=1e-6)
        assert set(seen) == {koubai_device}

    def test_float64_is_moved(self, koubai_device, koubai_dtype):
        x = np.linspace(0, 1, 5).astype(koubai_dtype)
        batches = Batches(x, np.arange(5), 2, shuffle=False, device=koubai_device)
        found = [to_numpy(x) for x, _ in batches]
        assert found[0].dtype == koubai_dtype
        np.testing.assert_array_equal(np.concatenate(found), x)


class TestNumpyBatches:
    @pytest.mark.parametrize("transform", [None, lambda x, t: (x, t)])
    def test_are_the_callers_to_keep_and_to_change(self, data, transform):
        x, t = data
        before = x.copy(), t.copy()
        batches = Batches(x, t, 4, shuffle=False, transform=transform)
        kept = list(batches)
        assert samples(kept) == samples(batches)
        for batch in kept:
            batch[0][...], batch[1][...] = -1, -1
        np.testing.assert_array_equal(x, before[0])
        np.testing.assert_array_equal(t, before[1])

    def test_are_the_same_arrays_again_on_request(self, data):
        batches = Batches(*data, 4, rng=0, reuse=True)
        assert samples(batches) == samples(Batches(*data, 4, rng=0))
        first, second, *_ = (x for x, _ in batches)
        assert np.shares_memory(first, second)

    @pytest.mark.parametrize("reuse", [False, True])
    @pytest.mark.parametrize(
        "odd",
        [
            np.asfortranarray,
            lambda x: x[:, ::-1],
            lambda x: x.astype(">f4"),
            lambda x: x.view(np.matrix) if x.ndim == 2 else x,
            lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view("f4").reshape(x.shape),
        ],
    )
    def test_of_arrays_of_any_layout_are_plain_arrays(self, data, odd, reuse):
        x, t = odd(data[0]), data[1]
        for found, label in Batches(x, t, 4, rng=0, reuse=reuse):
            assert found.dtype.isnative
            np.testing.assert_array_equal(found, np.asarray(x)[label])


class TestGoingOn:
    @settings(deadline=None)
    @given(way=ways, before=st.integers(0, 60), after=st.integers(1, 30))
    def test_from_any_position_gives_what_would_have_come(self, way, before, after):
        x, t = np.arange(N * 2).reshape(N, 2), np.arange(N)
        unbroken = Batches(x, t, **way)
        stream = forever(unbroken)
        list(islice(stream, before))
        state = json.loads(json.dumps(unbroken.state_dict()))
        expected = [(x.tolist(), t.tolist()) for x, t in islice(stream, after)]

        resumed = Batches(x, t, **(way | {"rng": 1}))
        resumed.load_state_dict(state)
        found = [(x.tolist(), t.tolist()) for x, t in islice(forever(resumed), after)]
        assert found == expected
        assert resumed.state_dict() == unbroken.state_dict()

    def test_on_another_device(self, data, koubai_device):
        host, there = Batches(*data, 4, rng=0), Batches(*map(koubai_device.asarray, data), 4)
        next(iter(host))
        there.load_state_dict(host.state_dict())
        assert samples(there) == samples(host)
        assert samples(there) == samples(host)

    def test_a_loop_that_was_left_is_gone_on_with(self, data):
        batches, unbroken = Batches(*data, 4, rng=0), Batches(*data, 4, rng=0)
        found = samples(islice(batches, 2))
        assert (batches.epoch, batches.position) == (0, 2)
        assert found + samples(batches) == samples(unbroken)
        assert samples(batches) == samples(unbroken)

    def test_a_loop_that_was_left_at_the_last_batch_leaves_nothing(self, data):
        batches, unbroken = Batches(*data, 4, rng=0), Batches(*data, 4, rng=0)
        samples(islice(batches, len(batches)))
        assert (batches.epoch, batches.position) == (0, len(batches))
        samples(unbroken)
        assert samples(batches) == samples(unbroken)

    def test_in_order_leaves_the_epoch_alone(self, data):
        batches, unbroken = Batches(*data, 4, rng=0), Batches(*data, 4, rng=0)
        found = samples(islice(batches, 2))
        assert samples(batches.in_order()) == samples(Batches(*data, 4, shuffle=False))
        assert [len(t) for t in samples(batches.in_order(20))] == [20, 3]
        assert found + samples(batches) == samples(unbroken)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"batch_size": 5}, "batch_size 4"),
            ({"drop_last": True}, "drop_last False"),
            ({"shuffle": False}, "'shuffled'"),
            ({"rows": [0, 1, 2, 3, 4]}, "samples 23"),
        ],
    )
    def test_of_other_batches_is_refused(self, data, change, said):
        state = Batches(*data, 4).state_dict()
        with pytest.raises(KoubaiError, match=said):
            Batches(*data, **({"batch_size": 4} | change)).load_state_dict(state)

    @pytest.mark.parametrize("place", [{"position": 7}, {"position": -1}, {"epoch": "one"}])
    def test_from_no_place_is_refused(self, data, place):
        batches = Batches(*data, 4, rng=0)
        before = batches.state_dict()
        with pytest.raises(KoubaiError, match="is no place"):
            batches.load_state_dict(before | place)
        with pytest.raises(KoubaiError, match="has no batch_size, drop_last"):
            batches.load_state_dict({"samples": N})
        assert batches.state_dict() == before


class TestAtTheDoor:
    @pytest.mark.parametrize(
        ("x", "t"), [((0, 2), (0,)), ((3, 2), (4,)), ((), ()), ((3,), ()), ((1, 3), (3,))]
    )
    def test_x_and_t_have_as_many_samples(self, x, t):
        with pytest.raises(ShapeError, match=r"x has the shape .* and t"):
            Batches(np.zeros(x), np.zeros(t))

    @pytest.mark.parametrize("size", [0, -1, 2.5, None, "10"])
    def test_batch_size_is_a_whole_number(self, data, size):
        with pytest.raises(KoubaiError, match="batch_size is"):
            Batches(*data, size)
        assert len(Batches(*data, np.int64(4))) == 6

    def test_there_is_a_batch(self, data):
        with pytest.raises(KoubaiError, match="no batch at all in 23 samples"):
            Batches(*data, 24, drop_last=True)
        assert len(Batches(*data, 24)) == 1

    def test_replacement_has_no_order(self, data):
        with pytest.raises(KoubaiError, match="Leave one of the two away"):
            Batches(*data, replacement=True, shuffle=False)

    def test_x_and_t_lie_together(self, data, koubai_device):
        if koubai_device.backend.name == "numpy":
            pytest.skip("the host is where the other one lies")
        with pytest.raises(MixedArraysError, match="x: "):
            Batches(koubai_device.asarray(data[0]), data[1])

    def test_samples_are_arrays_of_numbers(self, data):
        with pytest.raises(NotAnArrayError):
            Batches([[1.0], [2.0]], np.arange(2))
        with pytest.raises(NotAnArrayError, match=r"x is .* holds no numbers"):
            Batches(np.asarray(["a", "b"]), np.arange(2))

    @pytest.mark.parametrize("rows", [[], [[1]], [0, N], [-1], [0.5], np.zeros(N, bool)])
    def test_rows_are_indices(self, data, rows):
        with pytest.raises(ShapeError, match="from 0 to 22"):
            Batches(*data, rows=rows)

    def test_a_device_without_the_dtype_says_so_at_once(self):
        pytest.importorskip("array_api_strict")
        with pytest.raises(DTypeError, match="no float64"):
            Batches(np.zeros((3, 2)), np.arange(3), device="array_api_strict:no_float64")

    @pytest.mark.parametrize("wrong", [lambda x, t: x, lambda x, t: (x[:1], t)])
    def test_a_transform_gives_a_batch(self, data, wrong):
        with pytest.raises(KoubaiError, match="transform: a batch is a pair"):
            next(iter(Batches(*data, transform=wrong)))


def seeded(number):
    rng = np.random.default_rng(number)
    for _ in range(5):
        t = rng.integers(0, 1000, 3)
        yield t * 1.0, t


class TestStreams:
    @given(before=st.integers(0, 17), after=st.integers(1, 17))
    def test_are_gone_on_with_from_any_position(self, before, after):
        unbroken = StreamBatches(seeded)
        stream = forever(unbroken)
        list(islice(stream, before))
        state = json.loads(json.dumps(unbroken.state_dict()))
        resumed = StreamBatches(seeded)
        resumed.load_state_dict(state)
        expected = samples(islice(stream, after))
        assert samples(islice(forever(resumed), after)) == expected
        assert resumed.state_dict() == unbroken.state_dict()

    def test_of_an_iterable_are_one_epoch_each_time(self):
        source = [[np.zeros((2, 1)), np.asarray([i, i])] for i in range(3)]
        batches = StreamBatches(source)
        assert len(batches) == 3
        assert samples(batches) == samples(batches) == [[0, 0], [1, 1], [2, 2]]
        assert (batches.epoch, batches.position) == (2, 0)
        samples(islice(batches, 2))
        assert batches.state_dict() == {"epoch": 2, "position": 2}
        assert samples(batches) == [[2, 2]]

    def test_of_an_iterator_are_gone_on_with_but_not_begun_again(self):
        batches = StreamBatches(seeded(0))
        found = samples(islice(batches, 2))
        assert found + samples(batches) == samples(seeded(0))
        with pytest.raises(KoubaiError, match="runs once"):
            next(iter(batches))

    def test_that_are_shorter_than_the_position_say_so(self):
        batches = StreamBatches(seeded)
        batches.load_state_dict({"epoch": 0, "position": 9})
        with pytest.raises(KoubaiError, match="ended after 5 batches of epoch 0"):
            next(iter(batches))

    @pytest.mark.parametrize("source", [[], lambda _: [], iter(())])
    def test_without_a_batch_say_so(self, source):
        with pytest.raises(KoubaiError, match="no batch at all in epoch 0"):
            next(iter(StreamBatches(source)))

    @pytest.mark.parametrize(
        "found",
        [
            np.zeros((3, 2)),
            (np.zeros(3),),
            (np.zeros(3), np.zeros(4)),
            (np.zeros(3), None),
            (np.zeros((0, 2)), np.zeros(0)),
            {"x": 1, "t": 2},
            "xt",
        ],
    )
    def test_of_something_else_than_pairs_are_refused(self, found):
        with pytest.raises(KoubaiError, match="a batch is a pair"):
            next(iter(StreamBatches([found])))

    def test_of_no_iterable_are_refused(self):
        with pytest.raises(KoubaiError, match="neither an iterable"):
            StreamBatches(5)
        with pytest.raises(KoubaiError, match="gave 0 for epoch 0"):
            next(iter(StreamBatches(lambda epoch: epoch)))


class TestAsBatches:
    def test_takes_what_there_is(self, data):
        of_arrays = Batches(*data, 4, rng=0)
        assert samples(as_batches(*data, 4, rng=0)) == samples(of_arrays)
        assert isinstance(as_batches(data, batch_size=4), Batches)
        assert as_batches(of_arrays) is of_arrays
        pairs = [(np.zeros(2), np.zeros(2)), (np.zeros(2), np.zeros(2))]
        for source in (pairs, tuple(pairs), seeded):
            assert isinstance(as_batches(source), StreamBatches)

    def test_refuses_what_is_missing_or_too_much(self, data):
        with pytest.raises(KoubaiError, match="no t to go with it"):
            as_batches(data[0])
        with pytest.raises(KoubaiError, match="drop_last cannot be given"):
            as_batches(Batches(*data), drop_last=True)


class TestSplit:
    @given(
        labels=st.lists(st.integers(0, 4), min_size=2, max_size=60),
        part=st.floats(0.01, 0.99),
        seed=st.integers(0, 99),
    )
    def test_takes_the_same_part_of_every_class(self, labels, part, seed):
        t = np.asarray(labels)
        count = round(part * len(t))
        if not 0 < count < len(t):
            with pytest.raises(KoubaiError, match="neither what is put aside nor the rest"):
                split_rows(t, part)
            return
        train, validation = split_rows(t, part, rng=seed)
        assert len(validation) == count
        assert sorted([*train, *validation]) == list(range(len(t)))
        for label in set(labels):
            expected = labels.count(label) * count / len(t)
            assert abs(np.sum(t[validation] == label) - expected) < 1

    def test_is_the_same_on_every_device(self, koubai_device):
        x, t = np.arange(40.0, dtype=np.float32).reshape(20, 2), np.arange(20) % 3
        host = split(x, t, 5, rng=0)
        there = split(*map(koubai_device.asarray, (x, t)), 5, rng=0)
        for parts, host_parts in zip(there, host, strict=True):
            for array, expected in zip(parts, host_parts, strict=True):
                assert device_of(array) == koubai_device
                np.testing.assert_array_equal(to_numpy(array), expected)

    def test_of_one_hot_rows_is_that_of_their_indices(self):
        t = np.asarray([0, 1, 2, 0, 1, 2, 0, 0])
        train, validation = split_rows(np.eye(3)[t], 3, rng=1)
        expected = split_rows(t, 3, rng=1)
        assert (train.tolist(), validation.tolist()) == tuple(rows.tolist() for rows in expected)

    def test_of_a_regression_is_not_stratified(self):
        x, t = np.arange(6.0), np.arange(6.0) / 7
        with pytest.raises(DTypeError, match="stratified=False"):
            split(x, t, 2)
        with pytest.raises(LabelError, match="row 1 of t"):
            split(x, np.stack([t, 1 - 2 * t], axis=1), 2)
        (x_train, t_train), (x_rest, t_rest) = split(x, t, 2, rng=0, stratified=False)
        assert sorted([*x_train, *x_rest]) == x.tolist()
        np.testing.assert_array_equal([*t_train, *t_rest], np.asarray([*x_train, *x_rest]) / 7)

    def test_copies(self):
        x, t = np.arange(4.0), np.asarray([0, 1, 0, 1])
        (x_train, _), _ = split(x, t, 2)
        assert not np.shares_memory(x, x_train)

    @pytest.mark.parametrize("size", [0, 4, 5, -1, 0.0, 1.0, 1.5, 0.01, True, float("nan")])
    def test_leaves_no_part_empty(self, size):
        with pytest.raises(KoubaiError, match="nor the rest is empty"):
            split_rows(np.zeros(4, int), size)

    def test_wants_as_many_labels(self):
        with pytest.raises(ShapeError, match="the same number of samples"):
            split(np.zeros(3), np.zeros(4, int))


LIMIT = 256  # MiB
READ = """
import sys
import numpy as np
from koubai.training import Batches, prefetch

def resident(kind):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1024

x = np.load(sys.argv[1], mmap_mode="r")
t = np.arange(len(x))
open("/proc/self/clear_refs", "w").write("5")  # the peak is counted from here
before = resident("VmRSS")
seen = np.zeros(len(x), int)
for options in ({"shuffle": False}, {"rng": 0, "reuse": True}):
    for x_batch, t_batch in prefetch(Batches(x, t, 256, **options)):
        assert x_batch.shape[1:] == (28, 28) and not x_batch.any()
        seen[t_batch] += 1
assert np.all(seen == 2)
print(x.nbytes / 2**20, resident("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_mapped_file_larger_than_the_limit_is_read_within_it(tmp_path):
    path = tmp_path / "images.npy"
    np.lib.format.open_memmap(path, "w+", np.float32, (400_000, 28, 28)).flush()
    found = subprocess.run(
        [sys.executable, "-c", READ, path], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    size, resident = map(float, found.stdout.split())
    assert size > 1000
    assert resident < LIMIT


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_what_was_written_to_a_mapped_file_is_what_is_read(tmp_path, mode):
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((3000, 2), np.float32))
    x = np.load(path, mmap_mode=mode)
    if mode != "r":
        x[...] = np.arange(3000)[:, None]
    for rows in (x, x[:], np.asarray(x)):
        for found, t in Batches(rows, np.arange(3000), 1000, rng=0):
            expected = t if mode != "r" else 0 * t
            np.testing.assert_array_equal(found[:, 1], expected)


def test_importing_koubai_does_not_import_this():
    code = "import sys, koubai; assert not any('koubai.training' in name for name in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

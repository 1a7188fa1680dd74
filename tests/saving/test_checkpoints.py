"""Checkpoints: whole or not there, proved on reading, the one before where one is damaged."""

import errno
import os
import pickle
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

import koubai
from koubai import to_numpy
from koubai.errors import (
    ArchitectureError,
    CheckpointError,
    DTypeError,
    NotAnArrayError,
    SavingError,
)
from koubai.saving import Checkpoint, CheckpointFolder, CheckpointWarning, load_network

from .samples import same

ARRAYS = {"W1": np.arange(12.0).reshape(3, 4), "v.W1": np.full(5, 0.5, np.float16)}


@pytest.fixture
def folder(tmp_path):
    return CheckpointFolder(tmp_path / "run", keep=3)


def filled(folder, steps, best=()):
    for step in steps:
        folder.write(step, ARRAYS | {"step": np.asarray(step)}, {"loss": 1.5}, best=step in best)
    return folder


def steps(folder):
    return [Checkpoint.read(path).step for path in folder.paths()]


# There and back


def test_nothing_written_is_none(folder):
    assert folder.newest() is None
    assert folder.best() is None
    assert folder.paths() == []
    assert not folder.path.exists()


def test_arrays_and_state_come_back(folder):
    generator = np.random.default_rng(1)
    state = {
        "rng": generator.bit_generator.state,
        "history": [0.1, 2.5],
        "nested": {"epoch": 3, "name": "run", "size": (2, 3), "big": 2**200, "none": None},
    }
    path = folder.write(7, ARRAYS, state)
    found = folder.newest()
    assert (found.step, found.state, found.path, found.best) == (7, state, path, False)
    for key, array in ARRAYS.items():
        assert found.arrays[key].dtype == array.dtype
        assert np.array_equal(found.arrays[key], array)
        assert found.arrays[key].flags.writeable
    other = np.random.default_rng()
    other.bit_generator.state = found.state["rng"]
    assert other.random() == generator.random()


def test_arrays_of_every_device_make_the_same_file(device, tmp_path):
    host = {"W": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.asarray([3], np.int32)}
    there = {key: device.asarray(array) for key, array in host.items()}
    one = CheckpointFolder(tmp_path / "one").write(1, host, {"a": 1})
    two = CheckpointFolder(tmp_path / "two").write(1, there, {"a": 1})
    assert one.read_bytes() == two.read_bytes()


def test_a_training_goes_on_as_if_it_had_not_stopped(device, folder):
    x = device.asarray(np.random.default_rng(0).standard_normal((8, 4)), dtype="float32")
    t = device.asarray(np.arange(8) % 3)

    def train(net, begin, end):
        for step in range(begin, end):
            grads = net.gradient(x, t)
            for key in net.params:
                net.params[key] -= 0.1 * grads[key]
            folder.write(step, dict(net.params))

    whole = koubai.TwoLayerNet(4, 5, 3, 0.5, device=device, rng=0)
    train(whole, 0, 6)
    cut = koubai.TwoLayerNet(4, 5, 3, 0.5, device=device, rng=0)
    train(cut, 0, 3)
    resumed = koubai.TwoLayerNet(4, 5, 3, 0.5, device=device, rng=9)
    found = folder.newest()
    resumed.load_weights(found.arrays)
    train(resumed, found.step + 1, 6)
    for key in whole.params:
        assert np.array_equal(to_numpy(resumed.params[key]), to_numpy(whole.params[key]))


def test_empty_and_scalar_arrays(folder):
    arrays = {"none": np.zeros((0, 3)), "one": np.asarray(2.0, np.float32)}
    folder.write(0, arrays)
    assert same(dict(sorted(folder.newest().arrays.items())), arrays)
    folder.write(1, {})
    assert folder.newest().arrays == {}


# Which ones stay


def test_the_last_and_the_best_stay(folder):
    filled(folder, range(10), best=(1, 4))
    assert steps(folder) == [4, 7, 8, 9]
    assert folder.best().step == 4
    assert folder.newest().step == 9


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.integers(1, 4))
def test_any_row_of_writes_keeps_the_last_and_the_last_best(best, keep):
    import tempfile

    with tempfile.TemporaryDirectory() as path:
        folder = CheckpointFolder(path, keep=keep)
        for step, mark in enumerate(best):
            folder.write(step, {}, best=mark)
        last = list(range(len(best)))[-keep:]
        marked = [step for step, mark in enumerate(best) if mark][-1:]
        assert steps(folder) == sorted({*last, *marked})
        assert folder.newest().step == len(best) - 1
        assert (folder.best().step if marked else folder.best()) == (marked or [None])[0]


def test_the_newest_is_the_last_written_whatever_its_step(folder):
    filled(folder, [100, 200, 5])
    assert folder.newest().step == 5
    filled(folder, [6, 7])
    assert steps(folder) == [5, 6, 7]


def test_files_of_others_stay(folder):
    filled(folder, [1])
    other = folder.path / "notes.txt"
    other.write_text("mine")
    filled(folder, range(9))
    assert other.exists()


def test_what_a_killed_writer_left_is_removed(folder):
    filled(folder, [1])
    (folder.path / ".koubai-0123456789abcdef.part").write_bytes(b"half")
    filled(folder, [2])
    assert sorted(path.name for path in folder.path.iterdir()) == [
        ".lock",
        "000001-step-1.safetensors",
        "000002-step-2.safetensors",
    ]


# Damage


def test_a_truncated_newest_gives_way_to_the_one_before(folder):
    filled(folder, [1, 2, 3])
    last = folder.paths()[-1]
    last.write_bytes(last.read_bytes()[:-10])
    with pytest.warns(CheckpointWarning, match=r"000003-step-3.*truncated.*Going back to 000002"):
        assert folder.newest().step == 2
    filled(folder, [3])
    assert folder.newest().step == 3


@given(data=st.data())
def test_an_altered_byte_or_any_truncation_is_noticed_and_gives_way(data, tmp_path_factory):
    folder = filled(CheckpointFolder(tmp_path_factory.mktemp("run")), [1, 2])
    last = folder.paths()[-1]
    whole = last.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        last.write_bytes(whole[:place])
    else:
        byte = data.draw(st.integers(1, 255))
        last.write_bytes(whole[:place] + bytes([whole[place] ^ byte]) + whole[place + 1 :])
    with pytest.warns(CheckpointWarning, match="000002-step-2"):
        assert folder.newest().step == 1
    with pytest.raises(CheckpointError, match="000002-step-2"):
        Checkpoint.read(last)


def test_a_damaged_best_gives_way_to_an_earlier_best(folder):
    filled(folder, [1, 2, 3], best=(1, 2))
    path = folder.best().path
    path.write_bytes(b"")
    with pytest.warns(CheckpointWarning, match="step-2-best"):
        assert folder.best().step == 1


def test_where_all_are_damaged_the_error_lists_them(folder):
    filled(folder, [1, 2])
    for path in folder.paths():
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError) as caught:
        folder.newest()
    assert "000001-step-1" in str(caught.value)
    assert "000002-step-2" in str(caught.value)


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    safetensors.numpy.save_file({"W1": np.ones(2)}, tmp_path / "foreign")
    koubai.TwoLayerNet(2, 2, 2).save(tmp_path / "network")
    (tmp_path / "pickle").write_bytes(pickle.dumps({"W1": 1}))
    for name, reason in (
        ("foreign", "another origin"),
        ("network", "koubai.load reads it"),
        ("pickle", "is a pickle"),
        ("none", "cannot be read"),
    ):
        with pytest.raises(CheckpointError, match=reason):
            Checkpoint.read(tmp_path / name)


def test_a_network_is_not_loaded_from_a_checkpoint(folder):
    path = folder.write(1, ARRAYS)
    with pytest.raises(SavingError, match=r"Checkpoint\.read"):
        load_network(path)


def test_a_newer_format_is_an_error_and_not_passed_over(folder, monkeypatch):
    filled(folder, [1])
    monkeypatch.setattr("koubai.saving.sealed.FORMAT", 2)
    filled(folder, [2])
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"format 2.*pip install --upgrade koubai"):
        folder.newest()


def test_a_checkpoint_of_another_architecture_lists_what_differs(folder):
    folder.write(1, dict(koubai.TwoLayerNet(4, 9, 2).params))
    net = koubai.TwoLayerNet(4, 5, 2)
    with pytest.raises(ArchitectureError, match=r"W1 is of shape \(4, 9\), wanted \(4, 5\)"):
        net.load_weights(folder.newest().arrays)


# What is given


def test_what_no_file_can_hold_is_refused_before_anything_is_written(folder):
    filled(folder, [1])
    for arrays, state, error, text in (
        ({"W": np.ones(2, np.complex64)}, {}, DTypeError, "W is complex64"),
        ({"W": [1.0]}, {}, NotAnArrayError, "W"),
        ({3: np.ones(2)}, {}, SavingError, "3 cannot be the name"),
        ({}, {"a": {1, 2}}, SavingError, r"state\['a'\]"),
    ):
        with pytest.raises(error, match=text):
            folder.write(2, arrays, state)
    assert steps(folder) == [1]


@pytest.mark.parametrize("step", [-1, 1.5, "3", True, None])
def test_a_step_that_is_no_number_is_refused(folder, step):
    with pytest.raises(CheckpointError, match="step is"):
        folder.write(step, {})


def test_keep_below_one_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="keep is 0"):
        CheckpointFolder(tmp_path, keep=0)


# The disk and the system


def refusing(*_args, **_options):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("name", ["fsync", "replace", "write"])
def test_where_the_system_refuses_all_earlier_checkpoints_stay(folder, monkeypatch, name):
    filled(folder, [1, 2, 3])
    before = {path.name: path.read_bytes() for path in folder.paths()}
    if name == "fsync":
        monkeypatch.setattr("os.fsync", refusing)
    elif name == "replace":
        monkeypatch.setattr(Path, "replace", refusing)
    else:
        opened = Path.open

        def half(path, mode):
            stream = opened(path, mode, buffering=0)

            class Full:
                def __enter__(self):
                    return self

                def __exit__(self, *reason):
                    stream.close()

                def write(self, data):
                    stream.write(data[: len(data) // 2])
                    refusing()

            return Full()

        monkeypatch.setattr(Path, "open", half)
    with pytest.raises(CheckpointError, match=r"No space left.*Make room") as caught:
        folder.write(4, ARRAYS)
    assert isinstance(caught.value.__cause__, OSError)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in folder.paths()} == before
    assert not list(folder.path.glob("*.part"))
    assert not list(folder.path.glob(".koubai*"))
    assert filled(folder, [4]).newest().step == 4


@contextmanager
def small_disk(path):
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs Linux and root")
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_disk_that_is_really_full_leaves_every_checkpoint(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        folder = CheckpointFolder(disk / "run", keep=9)
        array = {"W": np.random.default_rng(0).standard_normal(50_000)}  # 400 kB
        folder.write(1, array)
        folder.write(2, array)
        with pytest.raises(CheckpointError, match="No space left"):
            folder.write(3, array)
        assert steps(folder) == [1, 2]
        folder.paths()[0].unlink()
        folder.write(3, array)
        assert folder.newest().step == 3


def test_a_folder_that_cannot_be_written_is_a_clear_error_and_can_be_read(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        filled(CheckpointFolder(disk), [1])
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        folder = CheckpointFolder(disk)
        with pytest.raises(CheckpointError, match="Read-only"):
            filled(folder, [2])
        assert folder.newest().step == 1


def test_a_folder_without_permission_is_a_clear_error(tmp_path):
    if os.name == "nt" or os.geteuid() == 0:
        pytest.skip("root and Windows pass over the permissions of folders")
    folder = filled(CheckpointFolder(tmp_path), [1])
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(CheckpointError, match="Permission denied"):
            filled(folder, [2])
        assert folder.newest().step == 1
    finally:
        tmp_path.chmod(0o700)


def test_a_file_where_the_folder_should_be_is_a_clear_error(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="file"):
        CheckpointFolder(path).write(1, {})
    with pytest.raises(CheckpointError, match="cannot be read"):
        CheckpointFolder(path).newest()


# Other processes

WRITER = """
import sys
import numpy as np
from koubai.saving import CheckpointFolder
folder = CheckpointFolder(sys.argv[1], keep=2)
last = folder.newest()
step = 0 if last is None else last.step + 1
print("ready", flush=True)
while True:
    arrays = {"W": np.full(20_000, float(step))}
    folder.write(step, arrays, {"step": step}, best=step % 3 == 0)
    print(step, flush=True)
    step += 1
"""


# A process of its own forks the writers: JAX, which other tests load, must not be forked.
KILLER = """
import os, signal, sys, time
import mmap
import numpy as np
from koubai.saving import CheckpointFolder

path = sys.argv[1]
written = mmap.mmap(-1, 8)
rng = np.random.default_rng(0)
CheckpointFolder(path).write(0, {"W": np.zeros(20_000)})  # imports what the children need
last, hits, kills = 0, 0, 0
while hits < 10 and kills < 400:
    written[:] = last.to_bytes(8, "little", signed=True)
    child = os.fork()
    if child == 0:
        folder, step = CheckpointFolder(path, keep=2), last + 1
        while True:
            folder.write(step, {"W": np.full(20_000, float(step))}, best=step % 3 == 0)
            written[:] = step.to_bytes(8, "little", signed=True)
            step += 1
    time.sleep(float(rng.uniform(0.002, 0.03)))
    hits += any(name.endswith(".part") for name in os.listdir(path))
    os.kill(child, signal.SIGKILL)
    kills += 1
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    done = int.from_bytes(written[:], "little", signed=True)
    found = CheckpointFolder(path).newest()
    assert found.step in {done, done + 1}, (found, done)
    assert np.array_equal(found.arrays["W"], np.full(20_000, float(found.step)))
    last = found.step
CheckpointFolder(path, keep=2).write(last + 1, {})
print(last, hits, len(os.listdir(path)))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, to begin and kill quickly")
def test_kill_at_any_moment_leaves_the_last_finished_checkpoint(tmp_path):
    command = [sys.executable, "-W", "error", "-c", KILLER, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    last, hits, files = map(int, done.stdout.split())
    assert last > 0
    assert hits > 0  # some were killed while a file was half written
    assert files <= 4  # two, the best, the lock: no left-overs


def test_a_second_process_is_told_that_the_folder_is_taken(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout.readline() == "ready\n"
            assert writer.stdout.readline() == "0\n"
            folder = CheckpointFolder(tmp_path, keep=2)
            with pytest.raises(CheckpointError, match=f"number {writer.pid}.*folder of its own"):
                folder.write(1, {})
            assert folder.newest().step >= 0
        finally:
            writer.kill()
    folder.write(10**6, {})  # the system has freed it
    assert folder.newest().step == 10**6


def test_one_process_may_open_a_folder_twice(tmp_path):
    one, two = CheckpointFolder(tmp_path), CheckpointFolder(tmp_path)
    one.write(1, {})
    two.write(2, {})
    one.write(3, {})
    assert steps(two) == [1, 2, 3]


def test_two_threads_may_write_to_one_folder(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    folder = CheckpointFolder(tmp_path, keep=100)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda step: folder.write(step, ARRAYS), range(24)))
    assert sorted(steps(folder)) == list(range(24))


def test_a_file_system_that_cannot_lock_is_written_to_without(tmp_path, monkeypatch):
    def refuse(handle):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("koubai.saving.lock._lock", refuse)
    folder = CheckpointFolder(tmp_path)
    part = tmp_path / ".koubai-0123456789abcdef.part"
    part.write_bytes(b"of somebody who may be at work on it")
    folder.write(1, {})
    assert folder.newest().step == 1
    assert part.exists()


def test_a_forked_child_has_not_the_right_of_its_parent(tmp_path):
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    code = f"""
import os
from koubai.errors import CheckpointError
from koubai.saving import CheckpointFolder
folder = CheckpointFolder({str(tmp_path)!r})
folder.write(1, {{}})
child = os.fork()
if child == 0:
    try:
        folder.write(2, {{}})
    except CheckpointError:
        os._exit(7)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
folder.write(3, {{}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert steps(CheckpointFolder(tmp_path)) == [1, 3]

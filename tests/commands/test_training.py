"""koubai train, evaluate and predict, as they are typed."""

import numpy as np
import pytest

import koubai
from koubai.__main__ import main

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 4)).astype(np.float32)
T = (X[:, 0] > 0).astype(np.int64)


@pytest.fixture
def npz(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=X[:90], t_train=T[:90], x_test=X[90:], t_test=T[90:])
    return path


@pytest.fixture
def koubai_command(capsys):
    def run(*arguments):
        status = main([str(each) for each in arguments])
        return status, *capsys.readouterr()

    return run


TRAIN = ("--epochs", 8, "--batch-size", 10, "--hidden", "8", "--init", "he", "--lr", 0.2, "--quiet")


def test_train_evaluate_and_predict(koubai_command, npz, tmp_path):
    folder = tmp_path / "runs"
    status, out, _ = koubai_command("train", "--data", npz, *TRAIN, "--checkpoint", folder)
    assert status == 0
    assert "test_accuracy" in out
    assert f"saved {folder / 'network.safetensors'}" in out

    status, out, _ = koubai_command("evaluate", folder, "--data", npz)
    assert status == 0
    assert float(out.split("accuracy ")[1]) > 0.8

    np.save(tmp_path / "x.npy", X[90:])
    status, out, _ = koubai_command("predict", folder, "--data", tmp_path / "x.npy")
    assert status == 0
    assert np.mean(np.asarray(out.split(), int) == T[90:]) > 0.8

    scores = tmp_path / "scores.npy"
    koubai_command("predict", folder, "--data", tmp_path / "x.npy", "--output", scores)
    net = koubai.load(folder / "network.safetensors", device="cpu")
    np.testing.assert_array_equal(np.load(scores), net.predict(X[90:]))


def test_resume_goes_on(koubai_command, npz, tmp_path):
    options = ("train", "--data", npz, *TRAIN[2:])
    koubai_command(*options, "--epochs", 3, "--checkpoint", tmp_path / "a")
    koubai_command(*options, "--epochs", 6, "--checkpoint", tmp_path / "a", "--resume")
    koubai_command(*options, "--epochs", 6, "--checkpoint", tmp_path / "b")
    one, other = (koubai.load(tmp_path / name / "network.safetensors") for name in "ab")
    for key in one.params:
        np.testing.assert_array_equal(one.params[key], other.params[key])


def test_train_on_csv_keeps_a_fifth_for_tests(koubai_command, tmp_path):
    table = "a,b,c,d,label\n" + "\n".join(
        ",".join([*map(str, row), str(label)]) for row, label in zip(X, T, strict=True)
    )
    (tmp_path / "mine.csv").write_text(table, encoding="utf-8")
    file = tmp_path / "net.safetensors"
    options = ("--data", tmp_path / "mine.csv", "--save", file, "--plot", tmp_path / "c.png")
    status, out, _ = koubai_command("train", *options, *TRAIN, "--optimizer", "Momentum")
    assert status == 0
    assert "test_accuracy" in out
    assert file.exists()
    assert (tmp_path / "c.png").stat().st_size > 1000


def test_train_on_npy_with_labels(koubai_command, tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "t.npy", T)
    options = ("--data", tmp_path / "x.npy", "--labels", tmp_path / "t.npy")
    assert koubai_command("train", *options, *TRAIN)[0] == 0


def test_train_on_mnist(koubai_command):
    options = ("--epochs", 1, "--batch-size", 20000, "--quiet", "--device", "cpu")
    status, out, _ = koubai_command("train", *options)
    assert status == 0
    assert "samples_per_second" in out


def write(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.npz", None, "cannot be read"),
        ("bad.npz", b"no zip", "cannot be read"),
        ("bad.npy", b"no array", "labels"),
        ("bad.csv", b"a,b\nc,d\n", "table of numbers"),
        ("one.csv", b"1\n2\n", "the label in the last"),
        ("other.npz", {"a": X}, "there are a"),
        ("flat.npz", {"x": T, "t": T}, "shape"),
        ("short.npz", {"x_train": X, "t_train": T[:5], "x_test": X, "t_test": T}, "120"),
        ("floats.npz", {"x": X, "t": X[:, 0]}, "whole numbers"),
    ],
)
def test_bad_data_are_told_in_a_line(koubai_command, tmp_path, name, content, said):
    path = tmp_path / name
    if isinstance(content, dict):
        np.savez(path, **content)
    elif content is not None:
        path.write_bytes(content)
    status, _, err = koubai_command("train", "--data", path, *TRAIN)
    assert status == 1
    assert err.startswith("koubai: ")
    assert said in err


def test_a_pickle_is_not_opened(koubai_command, tmp_path):
    np.save(tmp_path / "x.npy", np.asarray([{}], dtype=object), allow_pickle=True)
    options = ("--data", tmp_path / "x.npy", "--labels", tmp_path / "x.npy")
    status, _, err = koubai_command("train", *options)
    assert status == 1
    assert "cannot be read" in err


def test_a_file_that_is_no_network_is_told(koubai_command, tmp_path, npz):
    status, _, err = koubai_command("evaluate", npz, "--data", npz)
    assert status == 1
    assert "mine.npz" in err


def test_predict_wants_samples(koubai_command, tmp_path):
    net = koubai.TwoLayerNet(4, 3, 2, rng=0)
    net.save(tmp_path / "n.safetensors")
    status, _, err = koubai_command("predict", tmp_path / "n.safetensors")
    assert status == 1
    assert "--data" in err

"""MNIST is the book's, bit for bit, in every form that load_mnist gives it."""

import gzip
import hashlib
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

import koubai.backend
from koubai.datasets import download, load_mnist, mnist
from koubai.datasets.idx import IdxFile
from koubai.errors import DatasetError, DTypeError

CLONE = Path(__file__).resolve().parents[2] / "examples" / "data" / "mnist"
IMAGES = {
    "train-images-idx3-ubyte": np.arange(3 * 784).astype(np.uint8).reshape(3, 28, 28),
    "t10k-images-idx3-ubyte": np.arange(2 * 784)[::-1].astype(np.uint8).reshape(2, 28, 28),
}
LABELS = {
    "train-labels-idx1-ubyte": np.asarray([5, 0, 4], np.uint8),
    "t10k-labels-idx1-ubyte": np.asarray([7, 9], np.uint8),
}
NAMES = [file.name for file in mnist.FILES]


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    monkeypatch.delenv("KOUBAI_DATA", raising=False)
    monkeypatch.delenv("KOUBAI_DEVICE", raising=False)


@pytest.fixture(scope="module")
def digits():
    if not (CLONE / f"{NAMES[0]}.gz").exists():
        pytest.skip("the four files are not in examples/data/mnist")
    return load_mnist(normalize=False, root=CLONE, device="cpu")


@pytest.fixture
def small_mnist(tmp_path, monkeypatch):
    """Three digits to train on and two to test, gzipped in a folder."""
    files, folder = [], tmp_path / "small"
    folder.mkdir()
    for name in NAMES:
        elements = (IMAGES | LABELS)[name]
        content = IdxFile(name, elements.shape, "").header + elements.tobytes()
        files.append(IdxFile(name, elements.shape, hashlib.sha256(content).hexdigest()))
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    monkeypatch.setattr(mnist, "FILES", tuple(files))
    return folder


def move(source, target):
    target.mkdir(parents=True)
    for path in source.iterdir():
        path.replace(target / path.name)
    return target


class TestFacts:
    def test_shapes_and_dtypes(self, digits):
        (x_train, t_train), (x_test, t_test) = digits
        assert [x_train.shape, t_train.shape] == [(60_000, 784), (60_000,)]
        assert [x_test.shape, t_test.shape] == [(10_000, 784), (10_000,)]
        assert {each.dtype for pair in digits for each in pair} == {np.dtype(np.uint8)}

    def test_first_labels(self, digits):
        assert digits[0][1][:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
        assert digits[1][1][:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]

    def test_how_many_there_are_of_each_digit(self, digits):
        train, test = (np.bincount(labels).tolist() for _, labels in digits)
        assert train == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        assert test == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]

    def test_pixels(self, digits):
        (x_train, _), (x_test, _) = digits
        assert (x_train.min(), x_train.max()) == (0, 255)
        assert x_train.mean() == pytest.approx(33.318421)
        assert x_test.mean() == pytest.approx(33.791224)

    def test_the_book_gets_floats_from_the_clone_with_no_argument(self, digits):
        for (x, t), (raw, labels) in zip(load_mnist(), digits, strict=True):
            assert (x.dtype, x.shape) == (np.float32, raw.shape)
            np.testing.assert_array_equal(x[::97], raw[::97].astype(np.float32) / 255)
            np.testing.assert_array_equal(t, labels)

    def test_the_mirrors_are_of_two_hosts_and_encrypted(self):
        assert len({urlsplit(mirror).hostname for mirror in mnist.MIRRORS}) >= 2
        assert all(each.startswith("https://") and each.endswith("/") for each in mnist.MIRRORS)


class TestForms:
    @pytest.mark.parametrize("normalize", [True, False])
    @pytest.mark.parametrize("flatten", [True, False])
    @pytest.mark.parametrize("one_hot_label", [True, False])
    @pytest.mark.parametrize("dtype", [None, "float64", "float16"])
    def test_every_form(self, small_mnist, normalize, flatten, one_hot_label, dtype):
        loaded = load_mnist(normalize, flatten, one_hot_label, root=small_mnist, dtype=dtype)
        for (x, t), raw, labels in zip(loaded, IMAGES.values(), LABELS.values(), strict=True):
            wanted = np.dtype(dtype or ("float32" if normalize else "uint8"))
            pixels = raw.astype(wanted) / wanted.type(255) if normalize else raw
            shape = (len(raw), 784) if flatten else (len(raw), 1, 28, 28)
            assert (x.dtype, x.shape) == (wanted, shape)
            np.testing.assert_array_equal(x.reshape(raw.shape), pixels)
            if one_hot_label:
                assert t.dtype == (np.dtype(np.float32) if wanted == np.uint8 else wanted)
                np.testing.assert_array_equal(t, labels[:, None] == np.arange(10))
            else:
                assert t.dtype == np.uint8
                np.testing.assert_array_equal(t, labels)

    @pytest.mark.parametrize("dtype", ["int64", "int32", "uint16"])
    def test_integers_can_hold_raw_pixels(self, small_mnist, dtype):
        (x, t), _ = load_mnist(False, one_hot_label=True, root=small_mnist, dtype=dtype)
        np.testing.assert_array_equal(x, IMAGES[NAMES[0]].reshape(3, 784))
        assert (x.dtype, t.dtype) == (np.dtype(dtype), np.float32)

    @pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "complex64"])
    def test_only_floats_can_hold_normalised_pixels(self, small_mnist, dtype):
        with pytest.raises(
            DTypeError, match=f"'{dtype}' cannot hold pixels from 0 to 1.*normalize="
        ):
            load_mnist(root=small_mnist, dtype=dtype)

    @pytest.mark.parametrize("dtype", ["int8", "bool"])
    def test_a_dtype_that_would_lose_raw_pixels_is_refused(self, small_mnist, dtype):
        with pytest.raises(DTypeError, match=f"'{dtype}' cannot hold pixels from 0 to 255"):
            load_mnist(normalize=False, root=small_mnist, dtype=dtype)

    @pytest.mark.parametrize("dtype", ["float33", "", np.float32])
    def test_what_is_no_dtype_is_refused_before_any_file_is_read(self, tmp_path, dtype):
        with pytest.raises(DTypeError, match=re.escape(repr(dtype))):
            load_mnist(root=tmp_path, dtype=dtype)

    @pytest.mark.parametrize("normalize", [True, False])
    @pytest.mark.parametrize("one_hot_label", [True, False])
    def test_the_arrays_are_the_callers_own(self, small_mnist, normalize, one_hot_label):
        first = load_mnist(normalize, one_hot_label=one_hot_label, root=small_mnist)
        second = load_mnist(normalize, one_hot_label=one_hot_label, root=small_mnist)
        for mine, yours in zip(sum(first, ()), sum(second, ()), strict=True):
            assert not np.shares_memory(mine, yours)
            mine[...] = yours + 1
            assert (mine != yours).all()


class TestDevices:
    @pytest.mark.parametrize("one_hot_label", [True, False])
    @pytest.mark.parametrize("spec", ["numpy", "torch:cpu", "jax:cpu", "array_api_strict:device1"])
    def test_the_arrays_are_made_where_they_are_wanted(self, small_mnist, spec, one_hot_label):
        library = spec.partition(":")[0]
        pytest.importorskip(library, reason=f"{library} is not installed")
        place = koubai.backend.device(spec)
        expected = sum(load_mnist(one_hot_label=one_hot_label, root=small_mnist), ())
        named = load_mnist(one_hot_label=one_hot_label, root=small_mnist, device=spec)
        with place:
            implied = load_mnist(one_hot_label=one_hot_label, root=small_mnist)
        for array, host in zip(sum(named, ()) + sum(implied, ()), expected * 2, strict=True):
            assert koubai.backend.device_of(array) == place
            back = koubai.backend.to_numpy(array)
            assert back.dtype == host.dtype
            np.testing.assert_array_equal(back, host)

    def test_a_dtype_that_the_device_lacks_is_refused(self, small_mnist):
        pytest.importorskip("array_api_strict", reason="array_api_strict is not installed")
        with pytest.raises(DTypeError, match="no float64"):
            load_mnist(root=small_mnist, device="array_api_strict:no_float64", dtype="float64")


class TestPlaces:
    @pytest.fixture(autouse=True)
    def no_other_place(self, tmp_path, monkeypatch):
        """Neither a clone nor a cache, and whoever would download has failed."""

        def unwanted(file, *_):
            raise AssertionError(f"{file.name} would be downloaded")

        monkeypatch.setattr(mnist, "download", unwanted)
        monkeypatch.setattr(mnist, "cache_folder", lambda: tmp_path / "cache")
        monkeypatch.setattr(mnist, "_clone_folder", lambda: tmp_path / "clone")

    def first_label(self, **options):
        (_, labels), _ = load_mnist(**options)
        return int(labels[0])

    @pytest.mark.parametrize("place", ["clone", "cache/mnist"])
    def test_the_clone_then_the_cache(self, small_mnist, tmp_path, place):
        move(small_mnist, tmp_path / place)
        assert self.first_label() == 5

    @pytest.mark.parametrize("place", ["data", "data/mnist"])
    def test_the_environments_folder_and_its_mnist(self, small_mnist, tmp_path, monkeypatch, place):
        monkeypatch.setenv("KOUBAI_DATA", str(tmp_path / "data"))
        move(small_mnist, tmp_path / place)
        assert self.first_label() == 5

    @pytest.mark.parametrize("place", ["clone", "cache/mnist"])
    def test_the_environments_folder_hides_the_others(
        self, small_mnist, tmp_path, monkeypatch, place
    ):
        monkeypatch.setenv("KOUBAI_DATA", str(tmp_path / "data"))
        move(small_mnist, tmp_path / place)
        with pytest.raises(AssertionError, match="would be downloaded"):
            load_mnist()

    def test_an_empty_environment_variable_is_none(self, small_mnist, tmp_path, monkeypatch):
        monkeypatch.setenv("KOUBAI_DATA", "")
        move(small_mnist, tmp_path / "clone")
        assert self.first_label() == 5

    def test_the_clone_needs_no_pooch(self, small_mnist, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "pooch", None)
        monkeypatch.setitem(sys.modules, "requests", None)
        monkeypatch.setattr(mnist, "cache_folder", download.cache_folder)
        move(small_mnist, tmp_path / "clone")
        assert self.first_label() == 5

    @pytest.mark.parametrize("place", ["clone", "cache/mnist", "data", "data/mnist", "root/mnist"])
    def test_root_hides_all_others_and_is_never_filled(
        self, small_mnist, tmp_path, monkeypatch, place
    ):
        monkeypatch.setenv("KOUBAI_DATA", str(tmp_path / "data"))
        move(small_mnist, tmp_path / place)
        root = tmp_path / "root"
        with pytest.raises(DatasetError, match=r"neither train-images-idx3-ubyte\.gz nor") as e:
            load_mnist(root=root)
        assert str(root) in str(e.value)
        assert "Put it there" in str(e.value)

    def test_root_wins_over_the_environment(self, small_mnist, tmp_path, monkeypatch):
        monkeypatch.setenv("KOUBAI_DATA", str(tmp_path / "nothing"))
        assert self.first_label(root=str(small_mnist)) == 5

    def test_a_home_folder_may_be_written_as_a_tilde(self, small_mnist, monkeypatch):
        monkeypatch.setenv("HOME", str(small_mnist.parent))
        monkeypatch.setenv("USERPROFILE", str(small_mnist.parent))
        assert self.first_label(root="~/small") == 5
        monkeypatch.setenv("KOUBAI_DATA", "~/small")
        assert self.first_label() == 5

    def test_a_relative_root_is_named_in_full(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(DatasetError) as caught:
            load_mnist(root="here")
        assert str(tmp_path / "here") in str(caught.value)

    @pytest.mark.parametrize("name", NAMES)
    def test_unzipped_files_are_read_too(self, small_mnist, name):
        zipped = small_mnist / f"{name}.gz"
        (small_mnist / name).write_bytes(gzip.decompress(zipped.read_bytes()))
        zipped.unlink()
        assert self.first_label(root=small_mnist) == 5

    def test_a_folder_with_the_name_of_a_file_is_passed_over(self, small_mnist):
        (small_mnist / NAMES[0]).mkdir()
        assert self.first_label(root=small_mnist) == 5

    def test_a_root_that_is_no_folder_holds_nothing(self, small_mnist):
        with pytest.raises(DatasetError, match=rf"neither .* in root=.*{NAMES[0]}\.gz"):
            load_mnist(root=small_mnist / f"{NAMES[0]}.gz")

    @pytest.mark.parametrize("name", NAMES)
    def test_a_missing_file_is_named(self, small_mnist, name):
        (small_mnist / f"{name}.gz").unlink()
        with pytest.raises(DatasetError, match=rf"neither {name}\.gz nor {name} in root="):
            load_mnist(root=small_mnist)

    @pytest.mark.parametrize("name", NAMES)
    def test_a_bad_file_is_named_with_its_fault_and_remedy(self, small_mnist, name):
        bad = small_mnist / f"{name}.gz"
        bad.write_bytes(bad.read_bytes()[:-5])
        with pytest.raises(DatasetError, match=r"truncated.*Put a sound copy in its place") as e:
            load_mnist(root=small_mnist)
        assert str(bad) in str(e.value)
        assert str(e.value.__cause__) in str(e.value)

    def test_swapped_files_are_refused(self, small_mnist):
        train, test = (small_mnist / f"{name}.gz" for name in LABELS)
        test.replace(train)
        with pytest.raises(DatasetError, match=r"train-labels-idx1-ubyte\.gz holds 10 bytes"):
            load_mnist(root=small_mnist)

    @pytest.mark.parametrize("place", ["clone", "cache/mnist", "data", "data/mnist"])
    def test_a_bad_file_elsewhere_can_be_deleted(self, small_mnist, tmp_path, monkeypatch, place):
        if place.startswith("data"):
            monkeypatch.setenv("KOUBAI_DATA", str(tmp_path / "data"))
        bad = move(small_mnist, tmp_path / place) / f"{NAMES[2]}.gz"
        bad.write_bytes(b"bad")
        with pytest.raises(DatasetError, match=r"holds 3 bytes.*Delete it") as caught:
            load_mnist()
        assert str(bad) in str(caught.value)

    def test_a_file_that_cannot_be_read_is_named(self, small_mnist, monkeypatch):
        def forbidden(path, *_):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Path, "open", forbidden)
        with pytest.raises(
            DatasetError, match=rf"{NAMES[0]}\.gz cannot be read.*Permission"
        ) as caught:
            load_mnist(root=small_mnist)
        assert isinstance(caught.value.__cause__, PermissionError)


def test_the_clone_is_found_from_the_package():
    assert mnist._clone_folder() == CLONE


def test_importing_data_sets_imports_nothing_that_downloads():
    script = (
        "import sys, koubai.datasets; print(sorted({'pooch', 'requests'} & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"

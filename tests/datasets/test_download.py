"""A file is fetched whole or not at all, from whichever mirror has it sound."""

import errno
import gzip
import hashlib
import logging
import os
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from koubai import datasets
from koubai.datasets import download as module
from koubai.datasets import mnist
from koubai.datasets.download import cache_folder, download
from koubai.datasets.idx import IdxFile
from koubai.errors import DatasetError

pooch = pytest.importorskip("pooch", reason="pooch is not installed: koubai[data]")


def known_file(name, elements):
    file = IdxFile(name, elements.shape, "")
    content = file.header + elements.tobytes()
    return IdxFile(name, elements.shape, hashlib.sha256(content).hexdigest()), content


ROWS = np.arange(12, dtype=np.uint8).reshape(3, 4)
FILE, CONTENT = known_file("three-rows", ROWS)
ZIPPED = gzip.compress(CONTENT)
UNSOUND = {
    "altered": gzip.compress(CONTENT[:-1] + b"?"),
    "truncated": ZIPPED[:-3],
    "too short": gzip.compress(CONTENT[:-1]),
    "a bomb": gzip.compress(bytes(10_000_000)),
    "too large": os.urandom(200_000),
    "empty": b"",
    "a web page": b"<html>Please log in to the network.</html>",
}


@dataclass
class Page:
    body: bytes = b""
    status: int = 200
    promised: int | None = None
    headers: dict = field(default_factory=dict)
    before: object = None


@dataclass
class Mirrors:
    urls: tuple
    pages: dict
    asked: list


@pytest.fixture
def mirrors(monkeypatch):
    """Two mirrors on this machine; a page is there once it is in ``pages``."""
    pages, asked = {}, []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            page = pages.get(self.path, Page(b"not here", 404))
            if page.before:
                page.before()
            self.send_response(page.status)
            size = len(page.body) if page.promised is None else page.promised
            self.send_header("Content-Length", str(size))
            for header in page.headers.items():
                self.send_header(*header)
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(page.body)

        def log_message(self, *_):
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        home = f"http://127.0.0.1:{server.server_port}"
        yield Mirrors((f"{home}/1/", f"{home}/2/"), pages, asked)
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def quiet():
    logger = pooch.get_logger()
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(logging.NOTSET)


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sound_file_is_stored_as_it_came(mirrors, tmp_path):
    mirrors.pages["/1/three-rows.gz"] = Page(ZIPPED)
    found = download(FILE, tmp_path / "new" / "mnist", mirrors.urls)
    np.testing.assert_array_equal(found, ROWS)
    assert files_in(tmp_path / "new" / "mnist") == {"three-rows.gz": ZIPPED}
    assert mirrors.asked == ["/1/three-rows.gz"]


def test_a_file_that_the_transport_unzips_is_stored_without_gz(mirrors, tmp_path):
    mirrors.pages["/1/three-rows.gz"] = Page(ZIPPED, headers={"Content-Encoding": "gzip"})
    np.testing.assert_array_equal(download(FILE, tmp_path, mirrors.urls), ROWS)
    assert files_in(tmp_path) == {"three-rows": CONTENT}


@pytest.mark.parametrize("body", UNSOUND.values(), ids=UNSOUND.keys())
def test_the_second_mirror_stands_in_for_an_unsound_first(mirrors, tmp_path, body):
    mirrors.pages["/1/three-rows.gz"] = Page(body)
    mirrors.pages["/2/three-rows.gz"] = Page(ZIPPED)
    np.testing.assert_array_equal(download(FILE, tmp_path, mirrors.urls), ROWS)
    assert mirrors.asked == ["/1/three-rows.gz", "/2/three-rows.gz"]
    assert files_in(tmp_path) == {"three-rows.gz": ZIPPED}


@pytest.mark.parametrize(
    "page",
    [
        Page(ZIPPED, 403),
        Page(ZIPPED, 500),
        Page(ZIPPED[:20], promised=len(ZIPPED)),
        Page(b"no gzip", headers={"Content-Encoding": "gzip"}),
    ],
    ids=["forbidden", "server error", "connection lost", "bad encoding"],
)
def test_the_second_mirror_stands_in_for_one_that_fails(mirrors, tmp_path, page):
    mirrors.pages["/1/three-rows.gz"] = page
    mirrors.pages["/2/three-rows.gz"] = Page(ZIPPED)
    np.testing.assert_array_equal(download(FILE, tmp_path, mirrors.urls), ROWS)
    assert files_in(tmp_path) == {"three-rows.gz": ZIPPED}


def test_the_second_mirror_stands_in_for_a_silent_one(mirrors, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_TIMEOUT", 0.5)
    over = threading.Event()
    mirrors.pages["/1/three-rows.gz"] = Page(ZIPPED, before=lambda: over.wait(5))
    mirrors.pages["/2/three-rows.gz"] = Page(ZIPPED)
    np.testing.assert_array_equal(download(FILE, tmp_path, mirrors.urls), ROWS)
    assert len(mirrors.asked) == 2
    over.set()


@pytest.mark.parametrize("body", UNSOUND.values(), ids=UNSOUND.keys())
def test_an_error_tells_what_each_mirror_said(mirrors, tmp_path, body):
    mirrors.pages["/2/three-rows.gz"] = Page(body)
    with pytest.raises(DatasetError) as caught:
        download(FILE, tmp_path, mirrors.urls)
    first, second = (line for line in str(caught.value).splitlines() if "http" in line[:10])
    assert first.startswith(f"  {mirrors.urls[0]}three-rows.gz: HTTPError: 404")
    assert second.startswith(f"  {mirrors.urls[1]}three-rows.gz: what came ")
    assert str(tmp_path) in str(caught.value)
    assert "root=" in str(caught.value)
    assert str(caught.value.__cause__) in second
    assert files_in(tmp_path) == {}


def test_without_a_network_the_error_says_so_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}/"
        with pytest.raises(
            DatasetError, match=r"ConnectionError.*\n.*ConnectionError.*\n.*network"
        ):
            download(FILE, tmp_path, (url, url))
    assert files_in(tmp_path) == {}


def test_nothing_larger_than_the_file_can_be_is_written(mirrors, tmp_path, monkeypatch):
    sizes = []
    unlink = module.Path.unlink

    def measured(path, **options):
        sizes.append(path.stat().st_size)
        unlink(path, **options)

    monkeypatch.setattr(module.Path, "unlink", measured)
    mirrors.pages["/1/three-rows.gz"] = Page(os.urandom(3_000_000))
    with pytest.raises(DatasetError, match=r"larger than \d+ bytes"):
        download(FILE, tmp_path, mirrors.urls[:1])
    assert max(sizes) <= FILE.size + 65_536


def raising(error):
    def fail(*_, **__):
        raise error

    return fail


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("place", "name"),
    [(module._Limited, "write"), (module._Limited, "flush"), (os, "replace")],
    ids=["write", "flush", "replace"],
)
def test_a_full_disk_is_not_blamed_on_a_mirror(mirrors, tmp_path, monkeypatch, place, name):
    mirrors.pages["/1/three-rows.gz"] = Page(ZIPPED)
    monkeypatch.setattr(place, name, raising(FULL))
    with pytest.raises(DatasetError, match=r"three-rows cannot be stored in.*No space") as caught:
        download(FILE, tmp_path, mirrors.urls)
    assert str(tmp_path) in str(caught.value)
    assert "KOUBAI_DATA" in str(caught.value)
    assert caught.value.__cause__ is FULL
    assert files_in(tmp_path) == {}
    assert len(mirrors.asked) == 1


@pytest.mark.parametrize(
    ("place", "name"),
    [(module._Limited, "write"), (IdxFile, "read"), (os, "replace")],
    ids=["write", "read", "replace"],
)
def test_an_interrupt_leaves_nothing_behind(mirrors, tmp_path, monkeypatch, place, name):
    mirrors.pages["/1/three-rows.gz"] = Page(ZIPPED)
    monkeypatch.setattr(place, name, raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        download(FILE, tmp_path, mirrors.urls)
    assert files_in(tmp_path) == {}


def test_a_folder_that_cannot_be_made_is_named(mirrors, tmp_path):
    mirrors.pages["/1/three-rows.gz"] = Page(ZIPPED)
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(
        DatasetError, match=r"three-rows cannot be stored in .*file.mnist"
    ) as caught:
        download(FILE, tmp_path / "file" / "mnist", mirrors.urls)
    assert isinstance(caught.value.__cause__, OSError)


def test_two_downloads_at_once_do_each_other_no_harm(mirrors, tmp_path):
    meeting = threading.Barrier(2, timeout=5)
    mirrors.pages["/1/three-rows.gz"] = Page(ZIPPED, before=meeting.wait)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(download(FILE, tmp_path, mirrors.urls[:1])))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.tolist() for each in found] == [ROWS.tolist()] * 2
    assert files_in(tmp_path) == {"three-rows.gz": ZIPPED}


def test_a_file_that_another_process_holds_open_stays(mirrors, tmp_path, monkeypatch):
    mirrors.pages["/1/three-rows.gz"] = Page(ZIPPED)
    monkeypatch.setattr(os, "replace", raising(PermissionError(errno.EACCES, "in use")))
    (tmp_path / "three-rows.gz").write_bytes(b"of the other process")
    np.testing.assert_array_equal(download(FILE, tmp_path, mirrors.urls), ROWS)
    assert files_in(tmp_path) == {"three-rows.gz": b"of the other process"}


def test_a_permission_that_is_missing_is_an_error(mirrors, tmp_path, monkeypatch):
    mirrors.pages["/1/three-rows.gz"] = Page(ZIPPED)
    monkeypatch.setattr(os, "replace", raising(PermissionError(errno.EACCES, "not yours")))
    with pytest.raises(DatasetError, match="not yours"):
        download(FILE, tmp_path, mirrors.urls)
    assert files_in(tmp_path) == {}


@pytest.mark.parametrize("library", ["pooch", "requests"])
def test_without_pooch_the_error_says_what_to_install(tmp_path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(DatasetError, match=rf"needs {library}.*pip install pooch") as e:
        download(FILE, tmp_path / "mnist", ("http://127.0.0.1:9/",))
    assert isinstance(e.value.__cause__, ImportError)
    assert not (tmp_path / "mnist").exists()


def test_the_cache_is_where_pooch_has_it():
    assert cache_folder() == pooch.os_cache("koubai")


# load_mnist with files that are neither in the clone nor in the cache.

DIGITS = {
    "train-images-idx3-ubyte": np.arange(3 * 784, dtype=np.uint16).astype(np.uint8),
    "train-labels-idx1-ubyte": np.asarray([5, 0, 4], np.uint8),
    "t10k-images-idx3-ubyte": np.arange(2 * 784, dtype=np.uint16).astype(np.uint8)[::-1].copy(),
    "t10k-labels-idx1-ubyte": np.asarray([7, 2], np.uint8),
}
SHAPES = ((3, 28, 28), (3,), (2, 28, 28), (2,))


@pytest.fixture
def small_mnist(mirrors, tmp_path, monkeypatch):
    """Three digits to train on and two to test, on the first mirror only; a wheel's situation."""
    files = []
    for (name, elements), shape in zip(DIGITS.items(), SHAPES, strict=True):
        file, content = known_file(name, elements.reshape(shape))
        mirrors.pages[f"/1/{name}.gz"] = Page(gzip.compress(content))
        files.append(file)
    monkeypatch.delenv("KOUBAI_DATA", raising=False)
    monkeypatch.setattr(mnist, "FILES", tuple(files))
    monkeypatch.setattr(mnist, "MIRRORS", mirrors.urls)
    monkeypatch.setattr(mnist, "_clone_folder", lambda: tmp_path / "no clone")
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "caches" / name)
    return mirrors


def load_raw():
    (x_train, t_train), (x_test, t_test) = datasets.load_mnist(normalize=False, device="cpu")
    return [array.ravel().tolist() for array in (x_train, t_train, x_test, t_test)]


ALL = [elements.tolist() for elements in DIGITS.values()]
ALL_ZIPPED = {f"{name}.gz" for name in DIGITS}


def test_mnist_is_fetched_once_into_the_cache(small_mnist, tmp_path):
    assert load_raw() == ALL
    assert files_in(tmp_path / "caches" / "koubai" / "mnist").keys() == ALL_ZIPPED
    assert load_raw() == ALL
    assert len(small_mnist.asked) == 4


def test_mnist_is_fetched_into_the_folder_of_the_environment(small_mnist, tmp_path, monkeypatch):
    monkeypatch.setenv("KOUBAI_DATA", str(tmp_path / "data"))
    assert load_raw() == ALL
    assert files_in(tmp_path / "data" / "mnist").keys() == ALL_ZIPPED
    assert load_raw() == ALL
    assert len(small_mnist.asked) == 4
    assert not (tmp_path / "caches").exists()


def test_only_what_is_missing_is_fetched(small_mnist, tmp_path):
    assert load_raw() == ALL
    small_mnist.asked.clear()
    (tmp_path / "caches" / "koubai" / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert load_raw() == ALL
    assert small_mnist.asked == ["/1/t10k-labels-idx1-ubyte.gz"]


def test_a_bad_file_in_the_cache_is_named_and_fetched_anew_once_deleted(small_mnist, tmp_path):
    assert load_raw() == ALL
    bad = tmp_path / "caches" / "koubai" / "mnist" / "train-labels-idx1-ubyte.gz"
    bad.write_bytes(b"half")
    with pytest.raises(DatasetError, match=r"labels-idx1-ubyte\.gz holds 4 bytes.*Delete it") as e:
        load_raw()
    assert str(bad) in str(e.value)
    assert bad.read_bytes() == b"half"
    bad.unlink()
    assert load_raw() == ALL


def test_a_mirror_that_fails_names_the_file(small_mnist):
    del small_mnist.pages["/1/t10k-images-idx3-ubyte.gz"]
    with pytest.raises(DatasetError, match="t10k-images-idx3-ubyte is not here and cannot be"):
        load_raw()


def test_a_wrong_dtype_is_refused_before_anything_is_fetched(small_mnist):
    with pytest.raises(TypeError):
        datasets.load_mnist(dtype="int64")
    assert small_mnist.asked == []


def test_without_pooch_mnist_is_an_error_that_says_what_to_install(small_mnist, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DatasetError, match="pip install pooch"):
        load_raw()

"""A file is there whole or not at all, and on the disk before it has its name."""

import errno
import os
import stat
from pathlib import Path

import pytest

from koubai.saving.whole import left_over, write_whole


def test_bytes_are_flushed_then_named_then_the_folder_is_flushed(tmp_path, monkeypatch):
    calls = []
    flush, replace = os.fsync, Path.replace

    def flushing(handle):
        info = os.fstat(handle)
        calls.append("folder" if stat.S_ISDIR(info.st_mode) else f"{info.st_size} bytes")
        flush(handle)

    def naming(part, path):
        calls.append("name")
        return replace(part, path)

    monkeypatch.setattr("os.fsync", flushing)
    monkeypatch.setattr(Path, "replace", naming)
    write_whole(tmp_path / "file", b"all")
    assert calls == ["3 bytes", "name", *(["folder"] if os.name != "nt" else [])]


def test_the_old_file_is_there_until_the_new_one_is(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_whole(path, b"old")
    replace = Path.replace
    seen = []

    def looking(part, target):
        seen.append((path.read_bytes(), part.read_bytes(), list(left_over(tmp_path)) == [part]))
        return replace(part, target)

    monkeypatch.setattr(Path, "replace", looking)
    write_whole(path, b"new")
    assert seen == [(b"old", b"new", True)]
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_only_a_folder_that_cannot_be_flushed_at_all_is_passed_over(tmp_path, monkeypatch, number):
    flush = os.fsync
    folder = tmp_path.stat()

    def refusing(handle):
        if os.fstat(handle).st_ino == folder.st_ino:
            raise OSError(number, os.strerror(number))
        flush(handle)

    monkeypatch.setattr("os.fsync", refusing)
    if number == errno.EINVAL:
        write_whole(tmp_path / "file", b"all")
    else:
        with pytest.raises(OSError, match=os.strerror(number)):
            write_whole(tmp_path / "file", b"all")
    assert (tmp_path / "file").read_bytes() == b"all"

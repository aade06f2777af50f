"""Files are written completely or not at all."""

import os
import signal
import stat
import threading

import mmengine.fileio
import pytest
import torch
from mmengine.runner import save_checkpoint

from vanillanet_det import UserError
from vanillanet_det.fileio import atomic_write

ATOMIC = dict(backend="atomic")


@pytest.fixture
def old(tmp_path):
    """An existing file."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def write(path, content=b"new"):
    with atomic_write(path) as file:
        file.write(content)


def only_old(path):
    return os.listdir(path.parent) == [path.name] and path.read_bytes() == b"old"


@pytest.mark.parametrize("as_path", [True, False])
def test_it_replaces_a_file(old, as_path):
    write(old if as_path else str(old))
    assert old.read_bytes() == b"new"
    assert os.listdir(old.parent) == [old.name]


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, os.fsdecode(b"\xe9" * 255)])
def test_a_name_may_have_the_maximum_length(tmp_path, name):
    write(tmp_path / name)
    assert os.listdir(tmp_path) == [name]


def test_the_old_file_stays_until_the_new_one_is_complete(old):
    with atomic_write(old) as file:
        file.write(b"new")
        file.flush()
        assert old.read_bytes() == b"old"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_writer_that_raises_changes_nothing(old, error):
    with pytest.raises(error), atomic_write(old) as file:  # noqa: PT012
        file.write(b"new")
        raise error
    assert only_old(old)


def test_a_killed_writer_leaves_the_old_file(old):
    child = os.fork()
    if child == 0:
        with atomic_write(old) as file:
            file.write(b"new")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert old.read_bytes() == b"old"
    (left,) = (path for path in old.parent.iterdir() if path != old)
    assert left.name.startswith(".file.")
    write(old)
    assert old.read_bytes() == b"new"


@pytest.mark.parametrize("existed", [True, False])
def test_a_full_disk_changes_nothing(small_disk, existed):
    path = small_disk / "file"
    if existed:
        path.write_bytes(b"old")
    with pytest.raises(OSError, match="No space left on device"):
        write(path, bytes(100_000))
    assert only_old(path) if existed else os.listdir(small_disk) == []


def test_a_file_above_the_limit_changes_nothing(old, file_size_limit):
    with file_size_limit(5000), pytest.raises(OSError, match="File too large"):
        write(old, bytes(10_000))
    assert only_old(old)


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_open(tmp_path, umask):
    before = os.umask(umask)
    try:
        write(tmp_path / "atomic")
        (tmp_path / "open").touch()
        assert os.umask(umask) == umask  # unchanged
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("atomic", "open")]
    assert modes[0] == modes[1] == 0o666 & ~umask


def test_mmengine_writes_checkpoints_through_it(tmp_path):
    path = tmp_path / "made" / "epoch_1.pth"
    save_checkpoint({"a": torch.ones(2)}, str(path), backend_args=ATOMIC)
    assert torch.load(path, weights_only=True)["a"].tolist() == [1, 1]
    assert os.listdir(path.parent) == ["epoch_1.pth"]


def test_mmengine_writes_bytes_and_text_through_it(tmp_path):
    mmengine.fileio.put(b"\0bytes", tmp_path / "a" / "b", backend_args=ATOMIC)
    assert (tmp_path / "a" / "b").read_bytes() == b"\0bytes"
    mmengine.fileio.put_text("é", tmp_path / "text", backend_args=ATOMIC)
    assert (tmp_path / "text").read_bytes() == b"\xc3\xa9"


def test_a_checkpoint_without_room_is_one_sentence(small_disk):
    path = small_disk / "epoch_1.pth"
    path.write_bytes(b"old")
    message = rf"{path}: [\d,]+ bytes can't be written \(No space left on device\).*Free up space"
    with pytest.raises(UserError, match=message):
        save_checkpoint({"a": torch.ones(50_000)}, str(path), backend_args=ATOMIC)
    assert only_old(path)


def test_a_checkpoint_above_the_limit_is_one_sentence(old, file_size_limit):
    with file_size_limit(5000), pytest.raises(UserError, match=rf"{old}: .*\(File too large\)"):
        save_checkpoint({"a": torch.ones(50_000)}, str(old), backend_args=ATOMIC)
    assert only_old(old)


def test_a_folder_that_cannot_be_made_is_named(old):
    with pytest.raises(UserError, match=rf"{old}/x/y: .* can't be written"):
        mmengine.fileio.put(b"", f"{old}/x/y", backend_args=ATOMIC)


def test_threads_that_write_one_file_leave_one_complete_file(tmp_path):
    path, contents = tmp_path / "file", [bytes([i]) * 100_000 for i in range(4)]
    threads = [threading.Thread(target=write, args=(path, content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert os.listdir(tmp_path) == ["file"]

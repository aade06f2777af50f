"""Fixtures for full disks, which `shared_fixtures.py` imports."""

import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@pytest.fixture
def small_disk(tmp_path):
    """Folder on a separate file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
    if not mount or subprocess.run([mount, *options], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run([umount, folder], check=True)


@pytest.fixture
def file_size_limit():
    """Context in which no file may grow beyond a number of bytes."""

    @contextmanager
    def limit(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit

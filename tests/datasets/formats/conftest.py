"""Fixtures and settings of the dataset formats' tests."""

import os
import time
from contextlib import contextmanager

import pytest
from archive_files import SAFE
from data_folders import save_image
from hypothesis import HealthCheck, settings

# The examples of the fast profile are the same each time. To search for new mistakes:
# HYPOTHESIS_PROFILE=thorough pytest tests/datasets/formats
_COMMON = dict(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fast", derandomize=True, database=None, max_examples=25, **_COMMON)
settings.register_profile("thorough", max_examples=1000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture
def members(tmp_path):
    """Names and contents of a YOLO dataset in an archive."""
    return {**SAFE, "images/a.png": save_image(tmp_path / "source/a.png").read_bytes()}


@pytest.fixture
def clock():
    """Context that fails when what runs in it takes more seconds of the processor."""

    @contextmanager
    def limit(seconds):
        begin = time.process_time()
        yield
        assert time.process_time() - begin < seconds

    return limit

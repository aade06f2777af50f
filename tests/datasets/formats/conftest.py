"""Fixtures of the dataset formats' tests."""

import time
from contextlib import contextmanager

import pytest


@pytest.fixture
def clock():
    """Context that fails when what runs in it takes more seconds of the processor."""

    @contextmanager
    def limit(seconds):
        begin = time.process_time()
        yield
        assert time.process_time() - begin < seconds

    return limit

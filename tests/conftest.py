"""How pytest starts: with the fixtures, and without what only takes time."""

import gc
import importlib
import os
import signal

# Set before torch is imported, here and in the processes that tests start: synchronising threads
# takes longer than computing these small tensors.
os.environ["OMP_NUM_THREADS"] = "1"
# FFmpeg reads it once in a process, which may be when a test writes a video.
os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"
# A shell makes background jobs ignore Ctrl-C, and the tools under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    """Load the fixtures and what they import, unless other processes run the tests."""
    if not config.getoption("numprocesses", None):
        gc.disable()  # searching what is imported for cycles takes a third of the time
        importlib.import_module("vanillanet_det")  # which can start beside other workers
        config.pluginmanager.import_plugin("shared_fixtures")
        gc.enable()
        gc.set_threshold(10_000)


def pytest_collection_finish():
    """Spare the garbage collector what stays; it took an eighth of the time."""
    gc.freeze()

"""Two runs in one folder, as processes of their own."""

import multiprocessing
import time

import pytest

from vanillanet_det import UserError
from vanillanet_det.engine import folder_lock
from vanillanet_det.engine.config import check_writable
from vanillanet_det.engine.folder_lock import hold_folder


def hold(folder, held):
    with hold_folder(folder):
        held.set()
        time.sleep(600)


@pytest.fixture
def other(tmp_path):
    context = multiprocessing.get_context("fork")  # another one would import everything again
    held = context.Event()
    process = context.Process(target=hold, args=(tmp_path / "run", held))
    process.start()
    assert held.wait(60)
    yield process
    process.kill()
    process.join()


def test_the_folder_of_another_run_is_refused_until_it_is_killed(other, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "_WAIT_S", 0.1)
    with (
        pytest.raises(UserError, match=r"work dir .*run: another run is writing to it; wait"),
        hold_folder(tmp_path / "run"),
    ):
        pass
    other.kill()
    other.join()
    with hold_folder(tmp_path / "run"):
        pass


def test_a_run_waits_for_the_end_of_another_one(other, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "_WAIT_S", 60)
    other.terminate()
    with hold_folder(tmp_path / "run"):
        other.join()
        assert other.exitcode != 0


def test_ranks_that_are_not_the_first_hold_nothing(other):
    with hold_folder(None):
        pass


def test_a_folder_that_can_not_be_made_is_reported_elsewhere(tmp_path):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "run"
    with hold_folder(folder), pytest.raises(UserError, match=r"work_dir .*run: can't be written"):
        check_writable(folder)

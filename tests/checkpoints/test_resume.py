"""The checkpoint to go on from."""

import logging
import os

import pytest
import torch

from vanillanet_det import UserError
from vanillanet_det.checkpoints import find_finite, find_resume


@pytest.fixture
def work_dir(tmp_path):
    """A run's folder, with the checkpoints of three epochs and files that are none."""
    for epoch in (9, 10, 11):  # by their names, 9 would be the last
        torch.save({"epoch": epoch}, tmp_path / f"epoch_{epoch}.pth")
        os.utime(tmp_path / f"epoch_{epoch}.pth", (epoch, epoch))
    torch.save({}, tmp_path / "best_coco_bbox_mAP_epoch_12.pth")
    (tmp_path / ".epoch_12.pth.abc").touch()
    return tmp_path


def test_the_newest_checkpoint_is_resumed(work_dir):
    assert find_resume(work_dir) == work_dir / "epoch_11.pth"
    torch.save({}, work_dir / "iter_5.pth")
    assert find_resume(work_dir) == work_dir / "iter_5.pth"


def test_an_interrupted_training_goes_on_where_it_stopped(work_dir):
    torch.save({}, work_dir / "interrupted.pth")
    assert find_resume(work_dir) == work_dir / "interrupted.pth"
    os.utime(work_dir / "interrupted.pth", (11, 11))  # saved at the end of the epoch
    assert find_resume(work_dir) == work_dir / "interrupted.pth"
    os.utime(work_dir / "interrupted.pth", (10, 10))  # left by another training
    assert find_resume(work_dir) == work_dir / "epoch_11.pth"


def test_of_checkpoints_of_one_time_the_higher_number_is_resumed(work_dir):
    for path in work_dir.glob("epoch_*"):
        os.utime(path, (1, 1))
    assert find_resume(work_dir) == work_dir / "epoch_11.pth"


def test_a_truncated_newest_is_named_and_the_one_before_resumed(work_dir, log):
    newest = work_dir / "epoch_11.pth"
    newest.write_bytes(newest.read_bytes()[:500])
    os.utime(newest, (11, 11))
    assert find_resume(work_dir) == work_dir / "epoch_10.pth"
    (record,) = log.records
    assert record.levelno == logging.WARNING
    assert f"checkpoint {newest}: 500 bytes" in record.message
    assert f"resuming from {work_dir / 'epoch_10.pth'}" in record.message


def test_no_checkpoint_is_none_and_only_unreadable_ones_are_an_error(work_dir):
    assert find_resume(work_dir / "nowhere") is None
    for path in work_dir.glob("epoch_*"):
        os.truncate(path, 10)
    with pytest.raises(
        UserError, match=r"epoch_11.*epoch_10.*epoch_9.*there is no earlier checkpoint"
    ):
        find_resume(work_dir)


def test_the_newest_of_only_finite_numbers_is_found(work_dir):
    assert find_finite(work_dir) == work_dir / "epoch_11.pth"
    nan = {"optimizer": {"state": [{"exp_avg": torch.tensor([1.0, float("nan")])}]}}
    for epoch, content in ((11, {"state_dict": {"w": torch.tensor(float("inf"))}}), (10, nan)):
        torch.save(content, work_dir / f"epoch_{epoch}.pth")
        os.utime(work_dir / f"epoch_{epoch}.pth", (epoch, epoch))
    assert find_finite(work_dir) == work_dir / "epoch_9.pth"
    os.truncate(work_dir / "epoch_9.pth", 10)
    assert find_finite(work_dir) is None


def test_the_last_checkpoint_may_have_any_name_and_place(work_dir, tmp_path_factory):
    named = tmp_path_factory.mktemp("elsewhere") / "mine.ckpt"
    (work_dir / "last_checkpoint").write_text(f"{named}\n")
    assert find_resume(work_dir) == work_dir / "epoch_11.pth", "it is gone"
    torch.save({"state_dict": {}}, named)
    assert find_resume(work_dir) == find_finite(work_dir) == named
    os.utime(named, (1, 1))
    assert find_resume(work_dir) == work_dir / "epoch_11.pth"


def test_a_copied_folder_goes_on_from_its_own_checkpoints(work_dir, tmp_path_factory):
    original = tmp_path_factory.mktemp("original") / "epoch_11.pth"
    torch.save({}, original)
    (work_dir / "last_checkpoint").write_text(str(original))
    assert find_resume(work_dir) == work_dir / "epoch_11.pth"


def test_a_training_whose_checkpoints_are_gone_does_not_start_anew(tmp_path):
    (tmp_path / "last_checkpoint").write_text("elsewhere/epoch_3.pth")
    said = r"last_checkpoint: refers to elsewhere/epoch_3\.pth, which doesn't exist.*--resume FILE"
    with pytest.raises(UserError, match=said):
        find_resume(tmp_path)
    assert find_finite(tmp_path) is None
    (tmp_path / "last_checkpoint").write_text("")
    assert find_resume(tmp_path) is None

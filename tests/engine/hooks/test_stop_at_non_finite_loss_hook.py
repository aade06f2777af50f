"""A training stops when its loss is infinite or NaN, and tells how to resume."""

import json
import re
import shutil

import pytest
import torch

from vanillanet_det import UserError
from vanillanet_det.checkpoints import read_checkpoint

HUGE = {
    "optim_wrapper.optimizer.lr": 1e30,
    "optim_wrapper.clip_grad": None,
    "param_scheduler": None,
}


@pytest.fixture
def endless_box(small_digits, tmp_path):
    """Annotations with a box of a width that float32 can't hold, and its image."""
    content = json.loads((small_digits / "annotations/instances_train.json").read_text())
    content["annotations"][-1]["bbox"][2] = 1e39
    path = tmp_path / "endless.json"
    path.write_text(json.dumps(content))
    names = {image["id"]: image["file_name"] for image in content["images"]}
    return str(path), names[content["annotations"][-1]["image_id"]]


def test_an_endless_box_is_found_in_its_batch(make_runner, endless_box, tmp_path):
    ann_file, image = endless_box
    runner = make_runner(**{"train_dataloader.dataset.ann_file": ann_file})
    with pytest.raises(UserError, match=r"epoch 1\): the loss is not finite: loss") as caught:
        runner.train()
    message = str(caught.value)
    assert re.search(rf"Images of this batch: .*{image}", message)
    assert len(re.findall(r"\.png", message)) == 4, "images of other batches"
    assert re.search(r"loss_bbox (inf|nan)", message)
    assert "loss_cls" not in message, "a finite term"
    assert f"iteration {runner.iter + 1} " in message
    assert f"There is no checkpoint in {tmp_path}" in message


def test_a_huge_learning_rate_stops_before_anything_is_saved(make_runner, tmp_path):
    runner = make_runner(**HUGE)
    with pytest.raises(UserError, match=r"iteration \d \(epoch 1\): the loss is not finite"):
        runner.train()
    assert not list(tmp_path.glob("*.pth"))


def test_weights_that_are_not_finite_are_not_saved(make_runner, tmp_path):
    one_step = {"train_dataloader.dataset.indices": 4, "optim_wrapper.optimizer.lr": float("inf")}
    runner = make_runner(**{**HUGE, **one_step})
    with pytest.raises(UserError, match=r"\S+ is not finite, so nothing was saved"):
        runner.train()
    assert not list(tmp_path.glob("*.pth"))


def test_the_last_good_checkpoint_holds_only_finite_numbers(make_runner, endless_box, tmp_path):
    good = make_runner(**{"train_cfg.max_epochs": 1})
    good.train()
    poisoned = read_checkpoint(tmp_path / "epoch_1.pth")
    next(iter(poisoned["state_dict"].values())).view(-1)[0] = float("inf")
    shutil.copy(tmp_path / "epoch_1.pth", tmp_path / "epoch_7.pth")
    torch.save(poisoned, tmp_path / "epoch_8.pth")
    runner = make_runner(**{"train_dataloader.dataset.ann_file": endless_box[0]})
    with pytest.raises(UserError, match=rf"Last good checkpoint: {tmp_path}/epoch_7\.pth"):
        runner.train()

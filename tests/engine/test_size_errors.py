"""Images and batches that a network can't process end a run in one sentence."""

import pytest
import torch
from mmengine.config import Config
from torch import nn

from vanillanet_det import UserError
from vanillanet_det.apis import train
from vanillanet_det.engine.size_errors import size_errors

CFG = Config(dict(), cfg_text="# mine", filename="mine.py")


@pytest.fixture
def joining(small_config, tmp_path):
    """Config of a detector whose neck joins features of images of 150 x 150."""
    text = """
model = dict(
    neck=dict(
        _delete_=True,
        type="YOLOXPAFPN",
        in_channels=[16, 16, 16],
        out_channels=16,
        num_csp_blocks=1,
    ),
    data_preprocessor=dict(pad_size_divisor=1),
)
train_dataloader = dict(
    dataset=dict(
        indices=4,
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="Resize", scale=(150, 150)),
            dict(type="PackDetInputs"),
        ],
    )
)
"""
    path = tmp_path / "mine.py"
    path.write_text(f"_base_ = [{str(small_config)!r}]\n{text}\n")
    return str(path)


def test_sides_that_can_not_be_joined(joining, tmp_path):
    with pytest.raises(
        UserError,
        match=r"^config .*mine\.py: the features of a batch can't be computed \(Sizes of tensors "
        r"must match.*set model\.data_preprocessor\.pad_size_divisor=32",
    ):
        train(joining, str(tmp_path / "w"))
    options = ["model.data_preprocessor.pad_size_divisor=32", "train_cfg.max_epochs=1"]
    options += ["val_dataloader.dataset.indices=2"]
    train(joining, str(tmp_path / "again"), cfg_options=options)


def test_a_dataloader_without_a_batch(small_config, tmp_path):
    options = ["batch_size=8", "drop_last=True", "dataset.indices=4"]
    options = [f"train_dataloader.{option}" for option in options]
    with pytest.raises(UserError, match=r"train_dataloader: its 4 images don't fill a batch"):
        train(str(small_config), str(tmp_path), cfg_options=options)


def test_one_value_per_channel():
    with (
        pytest.raises(UserError, match=r"mine\.py: a BatchNorm got a single value .*drop_last"),
        size_errors(CFG),
    ):
        nn.BatchNorm2d(3).train()(torch.ones(1, 3, 1, 1))


def extract_feat(function):
    return function()


@pytest.mark.parametrize(
    "function",
    [
        lambda: torch.cat([torch.ones(1, 2, 3, 4), torch.ones(1, 2, 4, 4)], dim=1),
        lambda: torch.ones(1, 2, 3, 4) + torch.ones(1, 2, 3, 5),
        lambda: nn.Conv2d(1, 1, 5)(torch.ones(1, 1, 3, 3)),
        lambda: nn.MaxPool2d(5)(torch.ones(1, 1, 3, 3)),
    ],
)
def test_features_that_can_not_be_computed(function):
    with pytest.raises(UserError, match=r"can't be computed \(.+\); "), size_errors(CFG):
        extract_feat(function)
    with pytest.raises(RuntimeError) as caught, size_errors(CFG):
        function()  # anywhere else it is a bug
    assert not isinstance(caught.value, UserError)


@pytest.mark.parametrize(
    "function",
    [
        lambda: (_ for _ in ()).throw(RuntimeError("out of memory")),
        lambda: torch.ones(1, 2, 3, 3) + torch.ones(1, 4, 3, 3),  # channels
        lambda: torch.cat([torch.ones(1, 2, 3, 3), torch.ones(1, 4, 3, 3)], dim=2),
    ],
)
def test_other_errors_pass_through(function):
    with pytest.raises(RuntimeError) as caught, size_errors(CFG):
        extract_feat(function)
    assert not isinstance(caught.value, UserError)

"""Gradients of small batches add up to the step of a large one."""

import json

import numpy as np
import pytest
from PIL import Image
from torch.testing import assert_close

from vanillanet_det.apis import train
from vanillanet_det.checkpoints import read_checkpoint

# Steps in proportion to the gradient: Adam's would hide half a gradient, and blow up rounding.
SGD = [
    "optim_wrapper.optimizer.type=SGD",
    "optim_wrapper.optimizer.lr=0.02",
    "optim_wrapper.clip_grad.max_norm=1000",
    "param_scheduler=None",
    "train_cfg.max_epochs=1",
    "train_cfg.val_begin=9",
    "model.backbone.norm_eval=True",
]
PER_LAYER = ["optim_wrapper.constructor=LayerDecay", "optim_wrapper.paramwise_cfg=None"]


@pytest.fixture
def pair(small_digits, tmp_path):
    """A scene and its negative: as many boxes in each, since the losses are means over boxes."""
    annotations = json.loads((small_digits / "annotations/instances_train.json").read_text())
    image = annotations["images"][0]
    boxes = [a for a in annotations["annotations"] if a["image_id"] == image["id"]]
    pixels = np.array(Image.open(small_digits / "train" / image["file_name"]))
    for name, values in (("a.png", pixels), ("b.png", 255 - pixels)):
        Image.fromarray(values).save(tmp_path / name)
    annotations["images"] = [dict(image, id=i, file_name=f"{n}.png") for i, n in enumerate("ab")]
    annotations["annotations"] = [
        dict(box, image_id=i, id=i * len(boxes) + j)
        for i in range(2)
        for j, box in enumerate(boxes)
    ]
    (tmp_path / "pair.json").write_text(json.dumps(annotations))
    dataset = "train_dataloader.dataset"
    return [
        f"{dataset}.data_root={tmp_path}",
        f"{dataset}.ann_file=pair.json",
        f"{dataset}.data_prefix.img=.",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("layers", [[], PER_LAYER], ids=["one rate", "layer decay"])
def test_two_half_batches_are_one_whole(pair, small_config, tmp_path, layers):
    def weights(batch_size, accumulated):
        work_dir = tmp_path / f"{batch_size}-{accumulated}"
        size = f"train_dataloader.batch_size={batch_size}"
        count = f"optim_wrapper.accumulative_counts={accumulated}"
        train(str(small_config), str(work_dir), cfg_options=[*SGD, *layers, *pair, size, count])
        state = read_checkpoint(work_dir / "epoch_1.pth")["state_dict"]
        return {name: value for name, value in state.items() if value.is_floating_point()}

    whole, halves, steps = weights(2, 1), weights(1, 2), weights(1, 1)
    assert_close(halves, whole, rtol=0, atol=1e-6)
    moved = max((steps[name] - whole[name]).abs().max() for name in whole)
    assert moved > 1e-4, "two steps of half a batch are the same: this test sees nothing"

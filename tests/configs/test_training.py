"""Every config trains, evaluates its fused model and saves it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from coco_pictures import CATEGORIES, PICTURES
from mmdet.registry import DATASETS, HOOKS
from mmengine.config import Config
from mmengine.hooks import Hook
from torch.nn.modules.batchnorm import _BatchNorm

from vanillanet_det import VanillaNet
from vanillanet_det.apis.train import train
from vanillanet_det.checkpoints import read_checkpoint
from vanillanet_det.finetune.model import has_masks
from vanillanet_det.models.backbones import ARCHS

# These change nothing of the network: test_training_options.py trains them.
OPTIONS = ("_amp_bf16", "_amp_fp16", "_early_stopping", "_ema", "_tensorboard")
CONFIGS = [
    path
    for path in sorted((Path(__file__).parents[2] / "configs").glob("*.py"))
    if not path.stem.endswith(OPTIONS)
]
ITERATIONS = 2
SCALES = {
    "RandomChoiceResize": ("scales", "[(96,64),(120,80)]"),
    "Resize": ("scale", "(96,64)"),
    "CachedMosaic": ("img_scale", "(96,96)"),
    "CachedMixUp": ("img_scale", "(96,96)"),
    "RandomResize": ("scale", "(192,192)"),
    "RandomCrop": ("crop_size", "(96,96)"),
    "Pad": ("size", "(96,96)"),
}


@HOOKS.register_module()
class Witness(Hook):
    """Keeps what a training shows of itself."""

    def before_train(self, runner):
        self.losses, self.evaluated, self.found, self.metrics = [], [], {}, {}
        Witness.last, Witness.runner = self, runner

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(outputs["loss"].item())

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.evaluated.append(runner.model)
        self.found.update((sample.img_id, sample.pred_instances) for sample in outputs)

    def after_val_epoch(self, runner, metrics=None):
        self.metrics = metrics


# Backbones of peers -> the argument for their width, and its default.
NARROW_PEERS = {"ResNet": ("base_channels", 64), "SwinTransformer": ("embed_dims", 96)}


def is_large(config):
    """Whether it is trained as wide as it is; how wide others are is of test_configs.py."""
    return config.stem == "retinanet_vanillanet11_coco"


def options(cfg, data_root, large, narrow):
    """Change dataset, weights, length and width of a run, and nothing else of the network."""
    yield f"data_root={data_root}/"
    yield "model.backbone.init_cfg=None"  # the published weights are not at hand
    yield "train_cfg.max_epochs=1"
    yield "default_hooks.witness.type=Witness"
    # Two iterations leave every score below the threshold, and evaluation without a figure.
    # Fewer boxes at the end, and fewer proposals, make fewer RoIs.
    last = "model.test_cfg.rcnn" if "rcnn" in cfg.model.test_cfg else "model.test_cfg"
    yield f"{last}.score_thr=0"
    yield f"{last}.max_per_img=10"
    if "rcnn" in cfg.model.test_cfg:
        for key in ("train_cfg.rpn_proposal", "test_cfg.rpn"):
            yield f"model.{key}.max_per_img=50"
    if "ema" in cfg.default_hooks:  # test_training_options.py trains it
        yield "default_hooks.ema=None"
    if narrow:
        neck, place = cfg.model.neck, "model.neck"
        if isinstance(neck, list):
            neck, place = neck[0], f"{place}.0"
        yield f"{place}.in_channels={[width // 8 for width in neck.in_channels]}"
    backbone = cfg.model.backbone
    if backbone.type in NARROW_PEERS:
        name, width = NARROW_PEERS[backbone.type]
        yield f"model.backbone.{name}={width // 4}"
        yield f"model.neck.in_channels={[c // 4 for c in cfg.model.neck.in_channels]}"
    if heads := cfg.model.get("roi_head", {}).get("bbox_head"):
        for key in [""] if isinstance(heads, dict) else [f".{i}" for i in range(len(heads))]:
            yield f"model.roi_head.bbox_head{key}.fc_out_channels=128"
    if large:
        # Gigabytes; the other configs write it.
        yield "default_hooks.checkpoint.save_optimizer=False"
    if "digits" not in cfg.filename:
        yield "default_hooks.checkpoint.save_best=None"  # likewise
    for key in ("train_dataloader", "val_dataloader"):
        yield f"{key}.num_workers=0"
        yield f"{key}.persistent_workers=False"
        for index, step in enumerate(cfg[key].dataset.pipeline):
            if step.type in SCALES and "2017" in cfg[key].dataset.ann_file:
                name, value = SCALES[step.type]
                yield f"{key}.dataset.pipeline.{index}.{name}={value}"


COCO = """
_base_ = ["{base}"]
train_dataloader = dict(batch_size=2)
"""
# Networks of up to 9 GB, and minutes more to find the same. `options` narrows the neck's channels,
# which are the config's own, so that those that don't fit the backbone still don't.
NARROW = (
    COCO
    + """
arch = dict(_delete_=True, dims={dims}, strides={strides})
model = dict(backbone=dict(arch=arch, **{others}))
"""
)
# CocoDataset: that of the digits would want all of them.
DIGITS = """
_base_ = ["{base}"]
dataset = dict(type="CocoDataset", metainfo=dict(classes=tuple("0123456789")))
train_dataloader = dict(batch_size=12, dataset=dataset)
val_dataloader = dict(dataset=dataset)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("reused_memory")
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_trains_evaluates_fused_and_saves(config, mini_coco, small_digits, tmp_path):
    cfg = Config.fromfile(config)
    text, data_root = (DIGITS, small_digits) if "digits" in config.stem else (COCO, mini_coco)
    numbers = {}
    if cfg.model.backbone.type == "VanillaNet" and text == COCO and not is_large(config):
        text, wide = NARROW, ARCHS[cfg.model.backbone.arch]
        numbers = dict(dims=[width // 8 for width in wide.dims], strides=list(wide.strides))
        others = ("ada_pool", "stem_stride", "stem_padding")
        numbers["others"] = {
            key: getattr(wide, key) for key in others if key not in cfg.model.backbone
        }
    child = tmp_path / "config.py"
    child.write_text(text.format(base=config, **numbers))
    changes = options(cfg, data_root, is_large(config), narrow=bool(numbers))
    train(str(child), str(tmp_path), cfg_options=list(changes))
    witness = Witness.last
    model = witness.runner.model

    assert len(witness.losses) == ITERATIONS
    assert np.isfinite(witness.losses).all()
    optimizer = witness.runner.optim_wrapper.optimizer
    trained = [p for p in model.parameters() if p.requires_grad]
    assert len(trained) == len(optimizer.state), "no gradient has reached some parameters"

    for evaluated in witness.evaluated:
        if isinstance(model.backbone, VanillaNet):
            assert evaluated is not model
            assert evaluated.backbone.deploy
            assert not any(isinstance(m, _BatchNorm) for m in evaluated.backbone.modules())
    assert len(witness.found) == len(witness.runner.val_dataloader.dataset)
    assert all(len(found) > 0 for found in witness.found.values())
    with_masks = has_masks(cfg.model)
    for kind in ["bbox", "segm"] if with_masks else ["bbox"]:
        for name in ("mAP", "mAP_50", "mAP_75"):
            assert 0 <= witness.metrics[f"coco/{kind}_{name}"] <= 1
    assert all(("masks" in found) == with_masks for found in witness.found.values())

    saved = read_checkpoint(tmp_path / "epoch_1.pth")
    state = model.state_dict()
    assert saved["state_dict"].keys() == state.keys()
    assert all(torch.equal(saved["state_dict"][key], state[key]) for key in state)
    if not is_large(config):
        assert len(saved["optimizer"]["state"]) == len(trained)
    # Up to 3 GB of each.
    del Witness.last, Witness.runner
    for path in tmp_path.glob("*.pth"):
        path.unlink()


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("detector", ["retinanet", "mask_rcnn"])
def test_pictures_boxes_sizes_and_classes_agree(detector, split, mini_coco, mmdet_scope, root):
    cfg = Config.fromfile(root / f"configs/{detector}_vanillanet11_coco.py")
    cfg[f"{split}_dataloader"].dataset.data_root = f"{mini_coco}/"
    dataset = DATASETS.build(cfg[f"{split}_dataloader"].dataset)
    pictures = list(PICTURES.values())
    assert len(dataset) == len(pictures) - (split == "train")  # trained without the empty one
    for index, item in enumerate(dataset):
        image, sample = item["inputs"].float(), item["data_samples"]
        (width, height), objects = pictures[index]
        info = dataset.get_data_info(index)
        assert sample.ori_shape == (info["height"], info["width"]) == (height, width)
        truth = sample.gt_instances
        classes = [dataset.metainfo["classes"][label] for label in truth.labels]
        assert classes == [CATEGORIES[category] for category, _ in objects]
        assert len(sample.ignored_instances) == (index == 0)  # the crowd
        boxes = truth.bboxes.tensor
        if split == "val":  # the truth of validation stays at the size of the file
            boxes = boxes * torch.tensor(sample.scale_factor).repeat(2)
        assert image.std(dim=(1, 2)).max() > 25
        for x1, y1, x2, y2 in boxes.round().int():
            # One colour, but for what JPEG and the interpolation do at the edge.
            x, y = (x2 - x1) // 6, (y2 - y1) // 6
            assert image[:, y1 + y : y2 - y, x1 + x : x2 - x].std(dim=(1, 2)).max() < 5
        if "masks" in truth:
            assert truth.masks.masks.shape[1:] == image.shape[1:] == sample.img_shape
            outlines = truth.masks.get_bboxes("hbox").tensor
            assert (outlines - boxes).abs().max() <= 2

"""Every config of the project loads anywhere, builds, and evaluates fused."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import DATASETS, METRICS, MODELS, TRANSFORMS
from mmengine.config import Config

from vanillanet_det import VanillaNet
from vanillanet_det.apis.config import leaf_datasets

pytestmark = pytest.mark.usefixtures("mmdet_scope")


CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.py"))


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def config(request):
    return request.param


@pytest.fixture
def cfg(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Config.fromfile(config)


def test_evaluates_fused_by_default(cfg):
    assert cfg.default_hooks.deploy.type == "SwitchToDeployHook"


def test_names_are_registered(cfg):
    for key in ("train", "val", "test"):
        for dataset in leaf_datasets(cfg[f"{key}_dataloader"]):
            assert DATASETS.get(dataset.type)
            assert all(TRANSFORMS.get(transform.type) for transform in dataset.pipeline)
    assert METRICS.get(cfg.val_evaluator.type)
    assert all(TRANSFORMS.get(transform.type) for transform in cfg.tta_pipeline)


def test_neck_and_anchors_fit_the_backbone(cfg):
    with torch.device("meta"):
        backbone = MODELS.build(cfg.model.backbone)
    assert isinstance(backbone, VanillaNet)
    assert tuple(cfg.model.neck.in_channels) == backbone.out_channels
    head = cfg.model.get("bbox_head") or cfg.model.rpn_head
    strides = head.anchor_generator.strides
    assert tuple(strides[: len(backbone.out_strides)]) == backbone.out_strides
    roi_head = cfg.model.get("roi_head", {})
    for extractor in ("bbox_roi_extractor", "mask_roi_extractor"):
        if extractor in roi_head:
            assert tuple(roi_head[extractor].featmap_strides) == backbone.out_strides


def test_features_are_the_last_of_their_strides(cfg):
    with torch.device("meta"):
        backbone = MODELS.build(cfg.model.backbone)
    assert set(backbone.out_indices) <= set(backbone.arch.last_of_each_stride)


def test_masks_are_read_where_they_are_trained_and_judged(cfg):
    with_masks = "mask_head" in cfg.model.get("roi_head", {})
    pipeline = cfg.train_dataloader.dataset.pipeline
    assert [step.get("with_mask", False) for step in pipeline if "with_bbox" in step] == [
        with_masks
    ]
    assert ("segm" in cfg.val_evaluator.metric) == with_masks
    assert ("segm" in cfg.test_evaluator.metric) == with_masks
    assert "bbox" in cfg.val_evaluator.metric


@pytest.mark.parametrize(
    ("detector", "lr", "steps"), [("retinanet", 8e-5, [10, 11]), ("mask_rcnn", 1.3e-4, [10, 12])]
)
@pytest.mark.parametrize(
    ("depth", "act_num", "weights"),
    [("11", 3, "vanillanet_11.pth"), ("13", 4, "vanillanet_13_act_num_4_kd_pretrain.pth")],
)
def test_the_published_recipe(detector, lr, steps, depth, act_num, weights, root):
    cfg = Config.fromfile(root / f"configs/{detector}_vanillanet{depth}_coco.py")
    assert cfg.optim_wrapper.optimizer == dict(
        type="AdamW", lr=lr, betas=(0.9, 0.999), weight_decay=0.05
    )
    assert cfg.optim_wrapper.constructor == "VanillaNetLayerDecay"
    warm_up, decay = cfg.param_scheduler
    assert (warm_up.start_factor, warm_up.end) == (0.001, 500)
    assert (decay.milestones, decay.gamma, cfg.train_cfg.max_epochs) == (steps, 0.1, 12)
    backbone = cfg.model.backbone
    assert (backbone.arch, backbone.get("act_num", 3)) == (depth, act_num)
    assert backbone.init_cfg == dict(type="Pretrained", checkpoint=f"checkpoints/{weights}")


def test_retinanet_vanillanet11_is_the_published_one(root):
    cfg = Config.fromfile(root / "configs/retinanet_vanillanet11_coco.py")
    cfg.model.backbone.update(deploy=True, init_cfg=None)
    model = MODELS.build(cfg.model)
    # 65.99 M by the count in the field's fvcore.
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == 65.99

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
    assert "SwitchToDeployHook" in [hook.type for hook in cfg.custom_hooks]


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
    strides = cfg.model.bbox_head.anchor_generator.strides
    assert tuple(strides[: len(backbone.out_strides)]) == backbone.out_strides


def test_retinanet_vanillanet11_is_the_published_one(root):
    cfg = Config.fromfile(root / "configs/retinanet_vanillanet11_coco.py")
    cfg.model.backbone.update(deploy=True, init_cfg=None)
    model = MODELS.build(cfg.model)
    # 65.99 M by the count in the field's fvcore.
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == 65.99

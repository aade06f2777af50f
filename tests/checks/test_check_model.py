"""Parts of a model that don't fit each other or the classes."""

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config

from vanillanet_det.checks.model import build_model, check_model

pytestmark = pytest.mark.usefixtures("mmdet_scope")


@pytest.fixture
def cfg(small_config):
    return Config.fromfile(small_config)


@pytest.fixture
def two_stages(root):
    return Config.fromfile(root / "configs/mask_rcnn_vanillanet5_digits.py")


def check(cfg, num_classes=10, **changes):
    cfg.merge_from_dict({f"model.{key}": value for key, value in changes.items()})
    return check_model(build_model(cfg), num_classes, cfg.model)


def messages(code, *args, **kwargs):
    findings = check(*args, **kwargs)
    assert {(finding.level, finding.code) for finding in findings} == {("error", code)}
    return [finding.message for finding in findings]


@pytest.mark.slow
def test_every_config_passes(root):
    cfgs = [Config.fromfile(path) for path in (root / "configs").glob("*.py")]
    for cfg in {str(cfg.model): cfg for cfg in cfgs}.values():
        assert check(cfg, 10 if "digits" in cfg.filename else 80) == [], cfg.filename


def test_another_number_of_classes_is_an_error(cfg):
    assert messages("num-classes", cfg, 2) == [
        "model.bbox_head.num_classes is 10, but there are 2 classes; "
        "set model.bbox_head.num_classes=2"
    ]


def test_the_number_of_classes_is_checked_in_all_heads(root, two_stages):
    said = messages("num-classes", two_stages, **{"roi_head.mask_head.num_classes": 80})
    assert [message.split()[0] for message in said] == ["model.roi_head.mask_head.num_classes"]
    cascade = Config.fromfile(root / "configs/cascade_rcnn_vanillanet11_coco.py")
    said = messages("num-classes", cascade, 3)
    assert [message.split()[0] for message in said] == [
        f"model.roi_head.bbox_head.{stage}.num_classes" for stage in range(3)
    ]


@pytest.mark.parametrize(
    "config",
    [
        "htc/htc_r50_fpn_1x_coco.py",  # a semantic head of 183 classes
        "panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py",  # of things and of stuff
        "rpn/rpn_r50_fpn_1x_coco.py",  # of none
        "ssd/ssd300_coco.py",  # no neck between, odd strides
        "detr/detr_r50_8xb2-150e_coco.py",  # no anchors
        # A neck that changes its in_channels while it is built.
        "centernet/centernet_r18-dcnv2_8xb16-crop512-140e_coco.py",
    ],
)
def test_mmdetections_own_configs_pass(config):
    cfg = get_config(f"mmdet::{config}")
    assert build_model(cfg) is not None
    assert check(cfg, 80) == []


def test_channels_of_the_backbone_against_the_neck(cfg):
    assert messages("channels", cfg, **{"neck.in_channels": [16, 16, 32]}) == [
        "model.neck.in_channels is [16, 16, 32], but the features of the backbone have "
        "[16, 16, 16] channels; set model.neck.in_channels=[16,16,16]"
    ]


def test_channels_of_the_neck_against_the_head(cfg):
    (message,) = messages("channels", cfg, **{"bbox_head.in_channels": 24})
    assert message.startswith("model.bbox_head.in_channels is 24, but the features of the neck")
    assert message.endswith("set model.bbox_head.in_channels=16")


@pytest.mark.parametrize("strides", [[4, 8, 16], [8, 16], [8, 16, 32, 64]])
def test_strides_of_the_features_against_the_anchors(cfg, strides):
    (message,) = messages("strides", cfg, **{"bbox_head.anchor_generator.strides": strides})
    assert f"model.bbox_head.anchor_generator: strides {strides}, but" in message
    assert "the features of the neck have [8, 16, 32]" in message


def test_strides_and_channels_against_the_roi_extractors(two_stages):
    key = "roi_head.bbox_roi_extractor"
    (message,) = messages("strides", two_stages, **{f"{key}.featmap_strides": [8, 16, 32, 64]})
    assert message.startswith(f"model.{key}.featmap_strides: strides [8, 16, 32, 64]")
    two_stages.model.roi_head.bbox_roi_extractor.featmap_strides = [4, 8, 16, 32]
    (message,) = messages("channels", two_stages, **{f"{key}.out_channels": 32})
    assert message.startswith(f"model.{key}.out_channels is 32, but")


def test_other_features_of_the_backbone_shift_the_strides(cfg):
    cfg.model.backbone.out_indices = (0, 1, 2)
    cfg.model.neck.in_channels = [8, 16, 16]
    said = messages("strides", cfg)
    assert "have [4, 8, 16]" in said[0]


@pytest.mark.parametrize("model", [None, dict(type="NoSuchModel"), dict(type="RetinaNet")])
def test_a_model_that_can_not_be_built_is_left_to_the_runner(model):
    assert build_model(Config(dict(model=model))) is None


def test_building_changes_no_random_number(root):
    cfg = Config.fromfile(root / "configs/retinanet_swin_tiny_coco.py")  # not built without data
    before = torch.get_rng_state()
    assert build_model(cfg) is not None
    assert torch.equal(torch.get_rng_state(), before)

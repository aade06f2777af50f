"""Checkpoints to start from: whether they are of this network."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from vanillanet_det.checks.model import build_model
from vanillanet_det.checks.weights import check_weights

pytestmark = pytest.mark.usefixtures("mmdet_scope")


@pytest.fixture
def cfg(small_config):
    return Config.fromfile(small_config)


@pytest.fixture
def state(cfg):
    return MODELS.build(cfg.model).state_dict()


@pytest.fixture
def save(tmp_path):
    def save(tensors):
        torch.save({"state_dict": tensors}, tmp_path / "a.pth")
        return str(tmp_path / "a.pth")

    return save


def the_one(cfg, code):
    (finding,) = check_weights(cfg, build_model(cfg))
    assert (finding.level, finding.code) == ("error", code)
    return finding.message


def backbone(state):
    return {k.partition(".")[2]: v for k, v in state.items() if k.startswith("backbone.")}


def test_weights_that_fit_pass(cfg, state, save):
    cfg.load_from = save(state)
    assert check_weights(cfg, build_model(cfg)) == []
    cfg.load_from = None
    cfg.model.backbone.init_cfg = dict(type="Pretrained", checkpoint=save(backbone(state)))
    assert check_weights(cfg, build_model(cfg)) == []


def test_a_detector_of_another_number_of_classes_passes(cfg, state, save):
    cfg.load_from = save({k: v for k, v in state.items() if "bbox_head" not in k})
    assert check_weights(cfg, build_model(cfg)) == []


def test_a_missing_file_to_start_from_is_an_error(cfg):
    cfg.load_from = "no/such.pth"
    assert the_one(cfg, "weights-missing").startswith("load_from: no/such.pth is missing")


def test_a_detector_without_the_backbone_is_an_error(cfg, state, save):
    cfg.load_from = save({k: v for k, v in state.items() if "backbone" not in k})
    message = the_one(cfg, "weights-fit")
    assert message.startswith(f"load_from: {cfg.load_from}: ")
    assert "0 of 68 tensors match" in message


def test_a_backbone_of_another_kind_is_an_error(cfg, save):
    path = save({f"layer{i}.conv.weight": torch.ones(1) for i in range(9)})
    cfg.model.backbone.init_cfg = dict(type="Pretrained", checkpoint=path)
    message = the_one(cfg, "weights-fit")
    assert message.startswith(f"model.backbone.init_cfg.checkpoint: {path}: ")


@pytest.fixture
def resnet(root):
    cfg = Config.fromfile(root / "configs/retinanet_resnet50_coco.py")
    cfg.model.backbone = dict(type="ResNet", depth=18)
    cfg.model.neck.in_channels = [64, 128, 256, 512]
    return cfg


def test_a_backbone_of_mmdetection_is_compared_too(resnet, save):
    state = MODELS.build(resnet.model.backbone).state_dict()
    some = save({k: v for k, v in state.items() if k.startswith("layer1")})
    resnet.model.backbone.init_cfg = dict(type="Pretrained", checkpoint=some)
    assert "expected at least 90%. Do the weights belong to this network?" in the_one(
        resnet, "weights-fit"
    )
    resnet.load_from, resnet.model.backbone.init_cfg = some, None
    assert "expected at least 90% of the backbone" in the_one(resnet, "weights-fit")
    resnet.load_from = None
    resnet.model.backbone.init_cfg = dict(type="Pretrained", checkpoint=save(state))
    assert check_weights(resnet, build_model(resnet)) == []


@pytest.mark.parametrize("part", ["backbone", "neck"])
@pytest.mark.parametrize("dot", [".", ""])
def test_a_prefix_is_what_mmengine_takes_it_for(cfg, state, save, part, dot):
    of_teacher = save({f"teacher.{key}": value for key, value in state.items()})
    prefix = f"teacher.{part}{dot}"
    cfg.model[part].init_cfg = dict(type="Pretrained", checkpoint=of_teacher, prefix=prefix)
    assert check_weights(cfg, build_model(cfg)) == []


def test_a_file_that_is_none_is_an_error(cfg, tmp_path):
    (tmp_path / "a.pth").write_bytes(b"no weights")
    cfg.load_from = str(tmp_path / "a.pth")
    assert "can't be read as a PyTorch file" in the_one(cfg, "weights-fit")

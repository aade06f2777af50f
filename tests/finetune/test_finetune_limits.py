"""Fine-tuning lets a detector return all objects of an image."""

import copy

import pytest
from mmengine.config import Config

from vanillanet_det.finetune.limits import fit_limits, raise_limits


@pytest.fixture
def read(root):
    return lambda name: Config.fromfile(root / f"configs/{name}.py")


def content(*counts):
    """Images with so many objects of a class each, and a crowd."""
    return dict(
        annotations=[
            dict(image_id=image, category_id=1 + i % 2, iscrowd=int(i == count))
            for image, count in enumerate(counts)
            for i in range(count + 1)
        ]
    )


@pytest.mark.parametrize("name", ["retinanet_vanillanet11_coco", "mask_rcnn_vanillanet5_digits"])
def test_images_with_few_objects_change_nothing(read, name):
    cfg = read(name)
    before = copy.deepcopy(cfg.model)
    assert fit_limits(cfg, content(3, 100), content(2)) == (
        "up to 100 objects in an image; limits unchanged"
    )
    assert cfg.model == before


def test_a_single_stage_keeps_its_share_of_candidates(read):
    cfg = read("retinanet_vanillanet11_coco")
    text = fit_limits(cfg, content(3), content(180, 9))
    assert text.startswith("up to 180 objects in an image, model.test_cfg.max_per_img 300, ")
    assert (cfg.model.test_cfg.max_per_img, cfg.model.test_cfg.nms_pre) == (300, 3000)
    assert cfg.tta_model.tta_cfg.max_per_img == 300


def test_two_stages_get_proposals(read):
    cfg = read("cascade_rcnn_vanillanet11_coco")
    raise_limits(cfg, 600)
    test_cfg = cfg.model.test_cfg
    assert test_cfg.rcnn.max_per_img == 900
    assert (test_cfg.rpn.nms_pre, test_cfg.rpn.max_per_img) == (2700, 2700)
    assert cfg.model.train_cfg.rpn_proposal.max_per_img == 2700


def test_a_detector_with_less_than_cocos_detections(read):
    cfg = read("retinanet_vanillanet11_coco")
    cfg.model.test_cfg.max_per_img = 20
    assert raise_limits(cfg, 20) == {}
    assert raise_limits(cfg, 21) == {"model.test_cfg.max_per_img": 100}


def test_no_more_detections_than_queries():
    model = dict(type="DINO", num_queries=150, test_cfg=dict(max_per_img=100))
    assert raise_limits(dict(model=model), 180) == {"model.test_cfg.max_per_img": 150}
    assert model["num_queries"] == 150

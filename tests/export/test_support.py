"""Detectors with other heads or post-processing are refused."""

import pytest
from mmdet.models.task_modules.coders import TBLRBBoxCoder
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from torch import nn

from vanillanet_det import UserError
from vanillanet_det.analysis.meta import build_on_meta
from vanillanet_det.export.file_metadata import find_resize
from vanillanet_det.export.support import check_support


def read(root, name):
    return Config.fromfile(root / f"configs/{name}.py")


@pytest.fixture
def retinanet(build):
    return build()[0]


@pytest.fixture
def mask_rcnn(build):
    return build("mask_rcnn")[0]


@pytest.mark.parametrize(
    "name",
    [
        "retinanet_resnet50_coco",
        "faster_rcnn_vanillanet11_coco",
        "cascade_rcnn_vanillanet11_coco",
        "mask_rcnn_swin_tiny_coco",
    ],
)
def test_detectors_of_the_projects_configs(root, mmdet_scope, name):
    check_support(build_on_meta(read(root, name).model))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("ATSSHead", r"ATSSHead: has more outputs than scores and boxes"),
        ("FCOSHead", r"RetinaNet: can't be exported; expected.*AnchorHead"),
    ],
)
def test_other_heads(retinanet, mmdet_scope, kind, message):
    head = dict(type=kind, num_classes=3, in_channels=32, feat_channels=32)
    if kind == "ATSSHead":
        anchors = dict(ratios=[1.0], octave_base_scale=8, scales_per_octave=1, strides=[8, 16, 32])
        head["anchor_generator"] = dict(type="AnchorGenerator", **anchors)
    else:
        head["strides"] = [8, 16, 32]
    retinanet.bbox_head = MODELS.build(head)
    with pytest.raises(UserError, match=message):
        check_support(retinanet)


def test_losses_make_no_difference(retinanet):
    retinanet.bbox_head.reg_decoded_bbox = True
    check_support(retinanet)


def test_custom_post_processing(retinanet):
    class Mine(type(retinanet.bbox_head)):
        def _bbox_post_process(self, *args, **kwargs):
            raise NotImplementedError

    retinanet.bbox_head.__class__ = Mine
    with pytest.raises(UserError, match=r"Mine: has custom post-processing"):
        check_support(retinanet)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(nms=dict(type="soft_nms", iou_threshold=0.5)), r"nms is .*soft_nms.*expected type"),
        (dict(nms=dict(type="nms", iou_threshold=0.5, class_agnostic=True)), r"class_agnostic"),
        (dict(nms=dict(type="nms")), r"nms is \{'type': 'nms'\}; expected"),
        (dict(nms_pre=-1), r"nms_pre is -1; expected a number above 0"),
        (dict(max_per_img=0), r"max_per_img is 0; expected a number above 0"),
        (dict(nms_pre=None), r"nms_pre is None; expected a number above 0"),
        (dict(min_bbox_size=4), r"min_bbox_size is 4; expected 0 or -1"),
        (dict(nms=None), r"nms is \{\}; expected"),
        (dict(nms=dict(type="nms", iou_threshold=1.5)), r"nms is .*1\.5"),
        (dict(score_thr=1.5), r"score_thr is 1\.5; expected a number from 0 to 1"),
    ],
)
def test_ways_to_choose_boxes(retinanet, change, message):
    for key, value in change.items():
        retinanet.bbox_head.test_cfg[key] = ConfigDict(value) if isinstance(value, dict) else value
    with pytest.raises(UserError, match=message):
        check_support(retinanet)


def test_other_boxes_and_scores(retinanet, mask_rcnn):
    coder = retinanet.bbox_head.bbox_coder
    retinanet.bbox_head.bbox_coder = TBLRBBoxCoder()
    with pytest.raises(UserError, match=r"boxes encoded by TBLRBBoxCoder"):
        check_support(retinanet)
    retinanet.bbox_head.bbox_coder = coder
    retinanet.bbox_head.use_sigmoid_cls = False
    with pytest.raises(UserError, match=r"softmax scores"):
        check_support(retinanet)
    mask_rcnn.roi_head.bbox_roi_extractor.roi_layers[0].pool_mode = "max"
    with pytest.raises(UserError, match=r"custom RoI features"):
        check_support(mask_rcnn)


@pytest.mark.parametrize(("part", "what"), [("mask_head", "custom masks"), (None, "custom stages")])
def test_a_custom_head(mask_rcnn, part, what):
    head = mask_rcnn.roi_head if part is None else getattr(mask_rcnn.roi_head, part)

    class Mine(type(head)):
        pass

    head.__class__ = Mine
    with pytest.raises(UserError, match=rf"Mine: has {what}"):
        check_support(mask_rcnn)


def test_masks_without_a_threshold(mask_rcnn):
    mask_rcnn.roi_head.test_cfg.mask_thr_binary = -1
    with pytest.raises(UserError, match=r"mask_thr_binary is -1; expected a number from 0 to 1"):
        check_support(mask_rcnn)


def test_two_stages_need_nms_between_them(mask_rcnn, retinanet):
    with pytest.raises(UserError, match=r"--no-nms: MaskRCNN needs"):
        check_support(mask_rcnn, nms=False)
    check_support(retinanet, nms=False)


def test_something_else(retinanet):
    with pytest.raises(UserError, match=r"Linear: can't be exported"):
        check_support(nn.Linear(1, 1))


def test_the_resize_of_a_pipeline(root):
    cfg = read(root, "retinanet_vanillanet11_coco")
    found = find_resize(cfg)
    assert (found.scale, found.keep_ratio) == ((1333, 800), True)
    pipeline = cfg.test_dataloader.dataset.pipeline
    del pipeline[1]
    assert find_resize(cfg) is None


@pytest.mark.parametrize(
    "change", [dict(color_type="color_ignore_orientation"), dict(imdecode_backend="pillow")]
)
def test_loading_that_can_not_be_exported(root, change):
    cfg = read(root, "retinanet_vanillanet11_coco")
    cfg.test_dataloader.dataset.pipeline[0].update(change)
    with pytest.raises(UserError, match=rf"loads images with .*{next(iter(change))}"):
        find_resize(cfg)


def test_options_for_annotations_do_not_matter(root):
    cfg = read(root, "retinanet_vanillanet11_coco")
    cfg.test_dataloader.dataset.pipeline[1].clip_object_border = False
    assert find_resize(cfg).scale == (1333, 800)


@pytest.mark.parametrize(
    "step",
    [
        dict(type="Pad", size=(96, 96)),
        dict(type="Resize", scale_factor=2.0),
        dict(type="Resize", scale=(96, 96), backend="pillow"),
        dict(type="Resize", scale=(96, 96), interpolation="area"),
        dict(type="RandomFlip", prob=1.0),
    ],
)
def test_pipelines_that_can_not_be_exported(root, step):
    cfg = read(root, "retinanet_vanillanet11_coco")
    cfg.test_dataloader.dataset.pipeline[1] = step
    with pytest.raises(UserError, match=rf"its test pipeline has .*{step['type']}"):
        find_resize(cfg)

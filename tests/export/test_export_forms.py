"""The exported form of a detector returns MMDetection's detections."""

import copy

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from scipy.optimize import linear_sum_assignment
from torch.testing import assert_close

if torch.__version__ < (2, 6):
    pytest.skip("exporting needs PyTorch 2.6", allow_module_level=True)

from vanillanet_det.export.detectors import export_form
from vanillanet_det.export.preprocessor import ExportedPreprocessor
from vanillanet_det.export.two_stage import pool_regions
from vanillanet_det.models.raw_pixels import fold_normalization
from vanillanet_det.runtime.masks import enlarge_masks, paste_masks
from vanillanet_det.runtime.nms import suppress

KINDS = ["retinanet", "rtmdet", "yolox", "rtmdet_ins", "mask_rcnn", "cascade"]
BOXES_ALONE = KINDS[:3]
SIZES = [(2, 160, 160), (1, 97, 211), (3, 64, 33), (1, 31, 31)]


def last_head(model):
    return model.roi_head if hasattr(model, "roi_head") else model.bbox_head


@torch.no_grad()
def by_mmdet(model, images):
    size = images.shape[1:3]
    meta = dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
    inputs = [torch.from_numpy(image).permute(2, 0, 1) for image in images]
    samples = [DetDataSample(metainfo=meta) for _ in images]
    return [s.pred_instances for s in model.test_step(dict(inputs=inputs, data_samples=samples))]


@torch.no_grad()
def by_form(model, images, **kwargs):
    form, outputs = export_form(model, **kwargs)
    return dict(zip(outputs, form(torch.from_numpy(images))))


def pair(boxes, labels, others, other_labels):
    """Indices of two sets of detections, nearest boxes of a class together.

    The order of scores that differ by rounding is left to chance.
    """
    distance = torch.cdist(boxes, others, p=1, compute_mode="donot_use_mm_for_euclid_dist")
    differs = labels[:, None] != other_labels
    return linear_sum_assignment((distance + 1e4 * differs).numpy())


def assert_alike(found, expected, threshold=None):
    counts = (found["labels"] >= 0).sum(dim=1)
    assert counts.tolist() == [len(one) for one in expected]
    # Only as long as the longest, so that no superfluous masks are computed.
    assert found["labels"].shape[1] == max(1, max(counts.tolist()))
    for index, (count, one) in enumerate(zip(counts, expected)):
        boxes, scores, labels = (
            found[name][index, :count] for name in ("boxes", "scores", "labels")
        )
        assert (scores[:-1] >= scores[1:]).all()
        ours, theirs = pair(boxes, labels, one.bboxes, one.labels)
        assert_close(boxes[ours], one.bboxes[theirs], rtol=0, atol=1e-3)
        assert_close(scores[ours], one.scores[theirs], rtol=0, atol=1e-5)
        assert_close(labels[ours], one.labels[theirs])
        assert (found["boxes"][index, count:] == 0).all()
        assert (found["scores"][index, count:] == 0).all()
        if threshold is not None:
            size = one.masks.shape[1:]
            drawn = found["masks"][index, :count].numpy()
            if drawn.shape[1:] == (28, 28):
                masks = paste_masks(drawn, one.bboxes.numpy(), size, threshold)
            else:
                masks = enlarge_masks(drawn[ours], 8, (1, 1), size, threshold)
                one.masks = one.masks[theirs]
            assert (masks != one.masks.numpy()).mean() < 1e-3
            assert 0 < masks.mean() < 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("count", "height", "width"), SIZES)
def test_the_same_detections(build, resized, kind, count, height, width):
    model, *_ = build(kind)
    images = resized(count, height, width)
    expected = by_mmdet(model, images)
    assert min(map(len, expected)) > (0 if min(height, width) < 64 else 5)
    threshold = None if kind in BOXES_ALONE else last_head(model).test_cfg.mask_thr_binary
    assert_alike(by_form(model, images), expected, threshold)


def test_images_of_a_batch_with_different_numbers_of_detections(build, resized):
    images = resized(4, 160, 160)
    images[2] = 0
    model, *_ = build()
    model.bbox_head.test_cfg.score_thr = 0.35
    expected = by_mmdet(model, images)
    assert len({len(one) for one in expected}) > 1
    assert_alike(by_form(model, images), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_no_detections(build, resized, kind):
    model, *_ = build(kind)
    last_head(model).test_cfg.score_thr = 0.999999
    found = by_form(model, resized(2, 96, 96))
    assert found["labels"].tolist() == [[-1], [-1]]
    assert not found["scores"].any()


@pytest.mark.parametrize("kind", KINDS)
def test_thresholds_are_the_configs(build, resized, kind):
    model, *_ = build(kind)
    images = resized(2, 160, 160)
    before = by_mmdet(model, images)
    cfg = last_head(model).test_cfg
    cfg.nms.iou_threshold = 0.2
    if kind != "yolox":  # which has no other limits
        cfg.max_per_img = 7
    if kind in ("retinanet", "rtmdet", "rtmdet_ins"):
        cfg.nms_pre, cfg.min_bbox_size = 40, 12
    expected = by_mmdet(model, images)
    assert [len(one) for one in expected] != [len(one) for one in before]
    assert_alike(by_form(model, images), expected, cfg.get("mask_thr_binary"))


def test_proposals_are_the_configs(build, resized):
    model, *_ = build("mask_rcnn")
    images = resized(2, 160, 160)
    before = by_mmdet(model, images)
    model.rpn_head.test_cfg.update(nms_pre=30, max_per_img=12, min_bbox_size=4)
    model.rpn_head.test_cfg.nms.iou_threshold = 0.4
    expected = by_mmdet(model, images)
    assert [one.bboxes.tolist() for one in expected] != [one.bboxes.tolist() for one in before]
    assert_alike(by_form(model, images), expected, 0.5)


def test_fewer_proposals_than_a_neighbour_has(build, resized):
    model, *_ = build("mask_rcnn")
    images = resized(2, 160, 160)
    images[1] = 0  # of one colour: proposals are nearly alike, and few remain
    model.rpn_head.test_cfg.nms.iou_threshold = 0.1
    # This head takes an empty region for an object.
    model.roi_head.bbox_head.fc_cls.bias.data[0] += 8
    model.roi_head.test_cfg.max_per_img = 1000
    expected = by_mmdet(model, images)
    alone = [by_form(model, images[index : index + 1]) for index in range(2)]
    counts = [int((one["labels"] >= 0).sum()) for one in alone]
    assert counts == [len(one) for one in expected]
    assert counts[0] != counts[1]
    assert_alike(by_form(model, images), expected)


@torch.no_grad()
def test_regions_of_every_level_are_pooled_from_theirs(build):
    extractor = build("mask_rcnn")[0].roi_head.bbox_roi_extractor
    features = tuple(torch.randn(2, 16, 512 // stride, 512 // stride) for stride in (4, 8, 16, 32))
    sides = torch.tensor([20.0, 111, 113, 200, 230, 300, 440, 500, 0])[:, None]
    boxes = torch.cat([torch.full((9, 2), 7.0), 7 + sides, 7 + sides], dim=1)
    boxes = torch.stack([boxes, boxes.flip(0) / 2])
    image = torch.tensor([0.0, 1]).view(2, 1, 1).expand(-1, 9, 1)
    rois = torch.cat([image, boxes], dim=2).view(18, 5)
    assert set(extractor.map_roi_levels(rois, 4).tolist()) == {0, 1, 2, 3}
    assert_close(pool_regions(extractor, features, boxes), extractor(features, rois))


def test_without_nms_the_runtime_suppresses(build, resized):
    model, *_ = build()
    images = resized(2, 160, 160)
    found = {key: value.numpy() for key, value in by_form(model, images, nms=False).items()}
    cfg = model.bbox_head.test_cfg
    for index, expected in enumerate(by_mmdet(model, images)):
        boxes, scores, labels = (found[name][index] for name in ("boxes", "scores", "labels"))
        assert len(scores) > 2 * len(expected)
        chosen = np.flatnonzero(scores > cfg.score_thr)
        kept = chosen[
            suppress(boxes[chosen], scores[chosen], labels[chosen], cfg.nms.iou_threshold, 20)
        ]
        np.testing.assert_allclose(boxes[kept], expected.bboxes, atol=1e-3)
        np.testing.assert_array_equal(labels[kept], expected.labels)


def test_without_nms_boxes_that_are_too_small_do_not_count(build, resized):
    model, *_ = build()
    images = resized(1, 97, 211)  # some anchors are in the padding, and clipped to nothing
    cfg = model.bbox_head.test_cfg
    cfg.score_thr = 0.0
    found = by_form(model, images, nms=False)
    sides = (found["boxes"][..., 2:] - found["boxes"][..., :2]).amin(dim=2)
    assert (sides <= 0).any()
    assert (found["scores"][sides <= 0] == 0).all()
    assert (found["scores"][sides > 0] > 0).all()


@pytest.mark.parametrize("folded", [True, False])
def test_images_are_preprocessed_as_by_mmdetection(build, resized, folded):
    model, *_ = build()
    assert not folded or fold_normalization(model)
    preprocessor = model.data_preprocessor
    images = resized(2, 97, 70)
    inputs = [torch.from_numpy(image).permute(2, 0, 1) for image in images]
    expected = preprocessor(dict(inputs=inputs, data_samples=None))["inputs"]
    assert expected.shape[2:] == (128, 96)
    exported = ExportedPreprocessor(preprocessor)
    assert_close(exported(torch.from_numpy(images)), expected, rtol=0, atol=1e-4)
    # The padding pixel becomes the network's padding.
    filled = np.empty((1, 128, 96, 3), np.float32)
    filled[:] = exported.padding_pixel
    plain = ExportedPreprocessor(preprocessor)(torch.from_numpy(filled))
    assert_close(plain[0, :, 0, 0], expected[0, :, -1, -1], rtol=0, atol=1e-4)


def test_the_detector_stays_as_it_is(build, resized):
    model, *_ = build()
    state, preprocessor = copy.deepcopy(model.state_dict()), model.data_preprocessor
    export_form(model, dtype=torch.bfloat16)
    assert model.data_preprocessor is preprocessor
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_16_bits_are_near(build, resized):
    model, *_ = build()
    images = resized(1, 160, 160)
    exact = by_form(model, images)
    found = by_form(model, images, dtype=torch.bfloat16)
    assert found["boxes"].dtype == found["scores"].dtype == torch.float32
    best = (exact["scores"][0, 0], found["scores"][0, 0])
    assert best[0] != best[1]
    assert_close(*best, rtol=0, atol=0.05)

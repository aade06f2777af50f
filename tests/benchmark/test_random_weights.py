import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from small_detectors import CHANNELS, crops, small_detector

from vanillanet_det import switch_to_deploy
from vanillanet_det.benchmark.random_weights import NUM_CANDIDATES, prepare_random_weights
from vanillanet_det.models.precision import to_precision

pytestmark = pytest.mark.usefixtures("mmdet_scope")
SEEN = [(0, 0), (171, 320)]
OTHERS = [(171, 320), (0, 0), (100, 160), (100, 160)]  # of the other photograph, but the last


@torch.inference_mode()
def found(detector, corners=OTHERS):
    return [sample.pred_instances for sample in detector.test_step(crops(corners))]


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        "retinanet_vanillanet5_coco",
        "retinanet_resnet50_coco",
        "retinanet_swin_tiny_coco",
        "faster_rcnn_vanillanet11_coco",
        "mask_rcnn_vanillanet5_coco",
        "cascade_rcnn_vanillanet11_coco",
    ],
)
def test_as_many_boxes_as_a_trained_one_finds(root, config):
    detector = small_detector(root, config)
    assert prepare_random_weights(detector, crops(SEEN)) == ""
    narrow = copy.deepcopy(detector)
    to_precision(narrow, torch.bfloat16)
    for model in (detector, switch_to_deploy(detector), narrow):
        for instances in found(model):
            assert len(instances) > 80
            if "mask" in config:
                assert len(instances.masks) == len(instances)
            # All over the image, in sizes of anchors, and few with the same score.
            corners = instances.bboxes.view(-1, 2, 2)
            sides = (corners[:, 1] - corners[:, 0]).prod(1).sqrt()
            assert (corners.mean(1).std(0) > 25).all()
            assert 15 < sides.median() < 150
            assert len(instances.scores.unique()) > 15


def test_proposals(root):
    detector = small_detector(root, "faster_rcnn_vanillanet11_coco")
    prepare_random_weights(detector, crops(SEEN))
    sizes = []
    detector.roi_head.bbox_head.register_forward_hook(
        lambda module, args, output: sizes.append(len(output[0]))
    )
    found(detector)
    assert sizes == [1000 * len(OTHERS)]


@pytest.mark.parametrize("config", ["retinanet_vanillanet5_coco", "cascade_rcnn_vanillanet11_coco"])
def test_candidates_before_nms(root, config):
    detector = small_detector(root, config)
    prepare_random_weights(detector, crops(SEEN))
    candidates = []

    def count(module, args, output):
        candidates.append(output)

    if "retinanet" in config:
        detector.bbox_head.register_forward_hook(count)
        found(detector, SEEN)
        scores = torch.cat([scores.flatten() for scores in candidates[0][0]]).sigmoid()
    else:
        for head in detector.roi_head.bbox_head:
            head.register_forward_hook(count)
        found(detector, SEEN)
        logits = torch.stack([scores for scores, _ in candidates]).mean(0)
        scores = logits.softmax(1)[:, :-1]
    passed = int((scores > 0.05).sum())
    assert passed == pytest.approx(len(SEEN) * NUM_CANDIDATES, rel=0.03)


@pytest.mark.parametrize(
    ("config", "path", "std"),
    [
        ("retinanet_vanillanet5_coco", "bbox_head", 0.1),
        ("cascade_rcnn_vanillanet11_coco", "roi_head.bbox_head.0", 1.0),
        ("cascade_rcnn_vanillanet11_coco", "roi_head.bbox_head.2", 3.0),
    ],
)
def test_boxes_move_by_a_tenth_of_their_side(root, config, path, std):
    """Deltas are in units of the coder's `target_stds`, 1, 0.1 and 0.033 for positions."""
    detector = small_detector(root, config)
    prepare_random_weights(detector, crops(SEEN))
    deltas = []
    detector.get_submodule(path).register_forward_hook(
        lambda module, args, output: deltas.extend(
            output[1] if isinstance(output[1], list) else [output[1]]
        )
    )
    found(detector, SEEN)
    positions = torch.cat([values.movedim(1, -1).reshape(-1, 4)[:, :2] for values in deltas])
    assert positions.std() == pytest.approx(std, rel=0.05)


def test_features_depend_on_the_image(root):
    """Freshly initialised, they fade: hardly more than the biases arrives at the last stage."""
    detector = small_detector(root, "retinanet_vanillanet11_coco")
    prepare_random_weights(detector, crops(SEEN))
    one, other = detector.data_preprocessor(crops(OTHERS[:2]))["inputs"].split(1)
    for a, b in zip(detector.backbone(one), detector.backbone(other)):
        assert a.std() > 0.1
        assert (a - b).std() > 0.5 * a.std()


def test_only_weights_change(root):
    detector = small_detector(root, "mask_rcnn_resnet50_coco").train()
    prepare_random_weights(detector, crops(SEEN))
    assert not any(module.training for module in detector.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in detector.modules())
    assert all(p.grad is None and torch.isfinite(p).all() for p in detector.parameters())


@pytest.fixture
def yolox(root):
    """A YOLOX, which multiplies scores with that of an object, which is near 0 at first."""
    model = Config.fromfile(root / "configs/retinanet_vanillanet5_coco.py").model
    del model.bbox_head
    model.update(
        type="YOLOX",
        bbox_head=dict(
            type="YOLOXHead",
            num_classes=80,
            in_channels=CHANNELS,
            feat_channels=CHANNELS,
        ),
        train_cfg=None,
    )
    model.backbone.update(
        init_cfg=None,
        arch=dict(dims=[8, 16, 16, 16], strides=[2, 2, 2]),
        out_indices=(1, 2, 3),
        norm_cfg=dict(type="BN"),
    )
    model.neck.update(in_channels=[16, 16, 16], out_channels=CHANNELS, num_outs=3)
    detector = MODELS.build(model)
    detector.init_weights()
    return detector


def test_scores_that_are_products(yolox):
    assert prepare_random_weights(yolox, crops(SEEN)) == ""
    assert min(map(len, found(yolox))) > 100


def test_a_head_that_is_not_understood(yolox):
    forward = yolox.bbox_head.forward

    def changed(*args):
        return tuple([output + 0 for output in outputs] for outputs in forward(*args))

    yolox.bbox_head.forward = changed
    note = prepare_random_weights(yolox, crops(SEEN))
    assert note.startswith("With random weights, the detector finds ")
    assert " boxes per image, of at most 100; post-processing may take longer" in note

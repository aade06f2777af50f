"""Masks under test-time augmentation."""

import copy

import pytest
import torch
from mmdet.models import DetTTAModel
from mmdet.registry import DATASETS, MODELS
from mmdet.structures.bbox import bbox_flip
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from torch.testing import assert_close

from vanillanet_det import UserError, switch_to_deploy
from vanillanet_det.apis import test as evaluate
from vanillanet_det.models.mask_tta import MaskTTAModel

pytestmark = pytest.mark.usefixtures("mmdet_scope")

SMALL = {
    "model.backbone.arch": dict(dims=[8, 16, 16, 16], strides=[2, 2, 2]),
    "model.neck.in_channels": [8, 16, 16, 16],
    "model.neck.out_channels": 16,
    "model.rpn_head.in_channels": 16,
    "model.rpn_head.feat_channels": 16,
    "model.roi_head.bbox_roi_extractor.out_channels": 16,
    "model.roi_head.bbox_head.in_channels": 16,
    "model.roi_head.bbox_head.fc_out_channels": 32,
    "model.roi_head.mask_roi_extractor.out_channels": 16,
    "model.roi_head.mask_head.in_channels": 16,
    "model.roi_head.mask_head.conv_out_channels": 16,
    "model.test_cfg.rcnn.score_thr": 0.0,
    "model.test_cfg.rcnn.max_per_img": 8,
}
CASCADE = dict(type="CascadeRoIHead", num_stages=2, stage_loss_weights=[1, 1])
SCORING = dict(
    type="MaskScoringRoIHead",
    mask_iou_head=dict(type="MaskIoUHead", num_convs=1, num_fcs=1, in_channels=16, num_classes=10),
)
VIEWS = [(side, flip) for side in (192, 160) for flip in (0.0, 1.0)]


@pytest.fixture
def cfg(root, small_config):
    """Config of a Mask R-CNN of a few channels on a few scenes."""
    cfg = Config.fromfile(root / "configs/mask_rcnn_vanillanet5_digits.py")
    small = Config.fromfile(small_config)
    cfg.merge_from_dict(SMALL)
    cfg.merge_from_dict({"test_dataloader.dataset": small.dataset.to_dict()})
    cfg.merge_from_dict({"test_dataloader.num_workers": 0, "test_evaluator": small.test_evaluator})
    cfg.test_evaluator.metric = ["bbox", "segm"]
    cfg.test_dataloader.persistent_workers = False
    return cfg


@pytest.fixture
def build(randomize_norms):
    """Function that builds a detector whose masks are far from one half."""

    def make(cfg):
        torch.manual_seed(3)  # masks of some size, with every version of PyTorch
        model = MODELS.build(cfg.model).eval()
        randomize_norms(model.backbone, torch.randn(2, 3, 160, 160))
        heads = model.roi_head.mask_head
        for head in heads if isinstance(heads, torch.nn.ModuleList) else [heads]:
            torch.nn.init.normal_(head.conv_logits.weight, std=3)
        return model

    return make


def with_tta(cfg, model, **changes):
    return MODELS.build({**cfg.tta_model, **changes, "module": model})


def batch(cfg, sides, flips=(0.0,)):
    """Two images in some views, as a dataloader gives them; with no side as evaluation does."""
    pipeline = cfg.test_dataloader.dataset.pipeline
    if sides:
        resizes = [dict(type="Resize", scale=(side, side), keep_ratio=True) for side in sides]
        turns = [dict(type="RandomFlip", prob=p, direction="horizontal") for p in flips]
        rest = [[step] for step in pipeline[2:]]
        pipeline = [pipeline[0], dict(type="TestTimeAug", transforms=[resizes, turns, *rest])]
    dataset = DATASETS.build({**cfg.test_dataloader.dataset, "pipeline": pipeline})
    return pseudo_collate([dataset[0], dataset[1]])


@pytest.mark.parametrize("kind", ["mask_rcnn", "cascade"])
@torch.no_grad()
def test_one_view_gives_the_masks_of_the_detector(cfg, build, kind):
    if kind == "cascade":
        cfg.model.train_cfg = None
        cfg.model.roi_head.update(CASCADE)
    model = build(cfg)
    expected = model.test_step(batch(cfg, ()))
    found = with_tta(cfg, model).test_step(batch(cfg, [160]))
    for ours, theirs in zip(found, expected):
        ours, theirs = ours.pred_instances, theirs.pred_instances
        assert len(ours) == 8
        for key in ("labels", "scores", "bboxes"):
            assert_close(ours[key], theirs[key], rtol=0, atol=1e-4)
        assert ours.masks.dtype == theirs.masks.dtype == torch.bool
        assert 10 < ours.masks.sum() / 8 < 160 * 160 / 2
        assert torch.equal(ours.masks, theirs.masks)


@pytest.mark.slow
@torch.no_grad()
def test_masks_are_the_mean_of_all_views(cfg, build):
    cfg.model.test_cfg.rcnn.mask_thr_binary = -1  # pasted probabilities, times 255
    model = build(cfg)
    found = with_tta(cfg, model).test_step(batch(cfg, (192, 160), (0.0, 1.0)))
    views = []
    for side, flip in VIEWS:
        data = {k: v[0] for k, v in batch(cfg, [side], [flip]).items()}
        data = model.data_preprocessor(data)
        metas = [sample.metainfo for sample in data["data_samples"]]
        assert all(meta["flip"] == bool(flip) for meta in metas)
        boxes = [sample.pred_instances.bboxes * (side / 160) for sample in found]
        if flip:
            boxes = [bbox_flip(b, (side, side)) for b in boxes]
        results = [
            InstanceData(bboxes=b, labels=sample.pred_instances.labels)
            for b, sample in zip(boxes, found)
        ]
        features = model.extract_feat(data["inputs"])
        results = model.roi_head.predict_mask(features, metas, results, rescale=True)
        masks = [result.masks.float() for result in results]
        views.append([m.flip(-1) for m in masks] if flip else masks)
    for i, sample in enumerate(found):
        stack = torch.stack([view[i] for view in views])
        assert stack.std(0).amax() > 20, "the views see the same"
        assert_close(sample.pred_instances.masks.float(), stack.mean(0), rtol=0, atol=2)


@torch.no_grad()
def test_boxes_are_merged_as_without_masks(cfg, build):
    model = build(cfg)
    data = batch(cfg, (192, 160), (0.0, 1.0))
    found = with_tta(cfg, model).test_step(copy.deepcopy(data))
    boxes_only = copy.deepcopy(model)
    boxes_only.roi_head.mask_head = None
    expected = with_tta(cfg, boxes_only, type="DetTTAModel").test_step(data)
    for ours, theirs in zip(found, expected):
        for key in ("labels", "scores", "bboxes"):
            assert_close(ours.pred_instances[key], theirs.pred_instances[key])


@torch.no_grad()
def test_nothing_found(cfg, build):
    cfg.model.test_cfg.rcnn.score_thr = 1.0
    found = with_tta(cfg, build(cfg)).test_step(batch(cfg, (192, 160)))
    assert [tuple(sample.pred_instances.masks.shape) for sample in found] == [(0, 160, 160)] * 2


@torch.no_grad()
def test_an_image_without_boxes_beside_one_with(cfg, build):
    model = build(cfg)
    wrapped = with_tta(cfg, model)
    data = batch(cfg, (192, 160))
    predict = wrapped._predict_boxes

    def without_the_first(view):
        features, samples = predict(view)
        samples[0].pred_instances = samples[0].pred_instances[:0]
        return features, samples

    expected = wrapped.test_step(copy.deepcopy(data))[1].pred_instances
    wrapped._predict_boxes = without_the_first
    first, second = wrapped.test_step(data)
    assert first.pred_instances.masks.shape == (0, 160, 160)
    assert torch.equal(second.pred_instances.masks, expected.masks)


@torch.no_grad()
def test_a_detector_without_masks_is_detttamodels(small_config):
    cfg = Config.fromfile(small_config)
    model = MODELS.build(cfg.model).eval()
    data = batch(cfg, (192, 160))
    found = with_tta(cfg, model, type="MaskTTAModel").test_step(copy.deepcopy(data))
    expected = with_tta(cfg, model, type="DetTTAModel").test_step(data)
    for ours, theirs in zip(found, expected):
        assert_close(ours.pred_instances.to_dict(), theirs.pred_instances.to_dict())


def test_masks_that_take_more_than_a_pass_are_refused(cfg, build):
    cfg.model.roi_head.update(SCORING)
    with pytest.raises(UserError, match=r"masks of MaskScoringRoIHead can't be averaged"):
        with_tta(cfg, build(cfg))


@torch.no_grad()
def test_it_is_fused_below_the_wrapper(cfg, build):
    model = build(cfg)
    data = batch(cfg, (192, 160))
    wrapped = with_tta(cfg, model)
    fused = switch_to_deploy(wrapped)
    assert fused.module.backbone.deploy
    for ours, theirs in zip(fused.test_step(copy.deepcopy(data)), wrapped.test_step(data)):
        same = ours.pred_instances.masks == theirs.pred_instances.masks
        assert same.float().mean() > 0.999


@pytest.mark.slow
def test_through_the_tool_it_is_checked_and_fused(cfg, build, tmp_path):
    state = build(cfg).state_dict()
    torch.save({"state_dict": state}, tmp_path / "a.pth")
    cfg.dump(tmp_path / "mask.py")
    args = [str(tmp_path / "mask.py"), str(tmp_path / "a.pth"), str(tmp_path / "w")]
    assert cfg.tta_model.type == MaskTTAModel.__name__
    metrics = evaluate(*args, tta=True)
    assert {"coco/bbox_mAP", "coco/segm_mAP"} <= metrics.keys()
    log = "".join(path.read_text() for path in tmp_path.rglob("*.log"))
    assert "Evaluating the fused model" in log
    assert "0 missing, 0 left over: backbone" in log

    for name in (DetTTAModel.__name__, f"mmdet.{DetTTAModel.__name__}"):
        with pytest.raises(UserError, match=r"tta_model is a DetTTAModel, which can't merge masks"):
            evaluate(*args, tta=True, cfg_options=[f"tta_model.type={name}"])
    torch.save({"state_dict": {k: v for k, v in state.items() if "mask_head" not in k}}, args[1])
    with pytest.raises(UserError, match=r"evaluation needs every tensor"):
        evaluate(*args, tta=True)

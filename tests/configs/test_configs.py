"""Every config of the project loads anywhere, builds, and evaluates fused."""

import inspect
from pathlib import Path

import mmdet
import pytest
import torch
from mmdet.registry import DATASETS, METRICS, MODELS, TRANSFORMS
from mmengine.config import Config

from vanillanet_det.analysis.meta import build_on_meta
from vanillanet_det.checks import leaf_datasets
from vanillanet_det.finetune.model import has_masks

pytestmark = pytest.mark.usefixtures("mmdet_scope")


CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.py"))
MMDET_CONFIGS = Path(mmdet.__file__).parent / ".mim/configs"


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


def head_strides(model):
    head = model.get("bbox_head") or model.rpn_head
    return head.get("strides") or head.anchor_generator.strides


def test_neck_and_anchors_fit_the_backbone(cfg):
    backbone = build_on_meta(cfg.model.backbone)
    backbone.eval()
    side = 192  # a multiple of all strides
    features = backbone(torch.empty(1, 3, side, side, device="meta"))
    neck = cfg.model.neck[0] if isinstance(cfg.model.neck, list) else cfg.model.neck
    assert list(neck.in_channels) == [feature.shape[1] for feature in features]
    out_strides = [side // feature.shape[2] for feature in features]
    assert [side // feature.shape[3] for feature in features] == out_strides
    assert list(head_strides(cfg.model))[: len(out_strides)] == out_strides
    assert cfg.model.data_preprocessor.pad_size_divisor % out_strides[-1] == 0
    roi_head = cfg.model.get("roi_head", {})
    for extractor in ("bbox_roi_extractor", "mask_roi_extractor"):
        if extractor in roi_head:
            assert roi_head[extractor].featmap_strides == out_strides


def test_features_are_the_last_of_their_strides(cfg):
    if cfg.model.backbone.type != "VanillaNet":
        pytest.skip("has one feature of each stride")
    with torch.device("meta"):
        backbone = MODELS.build(cfg.model.backbone)
    assert set(backbone.out_indices) <= set(backbone.arch.last_of_each_stride)
    assert backbone.out_strides[0] == head_strides(cfg.model)[0]


def test_nothing_is_left_beside_the_model(cfg):
    assert not {"backbone", "channels"} & set(cfg)


def test_masks_are_read_where_they_are_trained_and_judged(cfg):
    with_masks = has_masks(cfg.model)
    pipeline = cfg.train_dataloader.dataset.pipeline
    assert [step.get("with_mask", False) for step in pipeline if "with_bbox" in step] == [
        with_masks
    ]
    assert ("segm" in cfg.val_evaluator.metric) == with_masks
    assert ("segm" in cfg.test_evaluator.metric) == with_masks
    assert "bbox" in cfg.val_evaluator.metric


COCO = [path for path in CONFIGS if path.stem.endswith("_coco")]
RTMDET = [path for path in COCO if path.stem.startswith("rtmdet_vanillanet")]
INSTANCES = [path for path in COCO if path.stem.startswith("rtmdet_ins")]
YOLOX = [path for path in COCO if path.stem.startswith("yolox")]
WEIGHTS = {
    "5": "vanillanet_5.pth",
    "9": "vanillanet_9.pth",
    "11": "vanillanet_11.pth",
    "13": "vanillanet_13_act_num_4_kd_pretrain.pth",
    "13_x1_5": "vanillanet_13_x1_5.pth",
    "13_x1_5_ada_pool": "vanillanet_13_x1_5_ada_pool.pth",
}


@pytest.mark.parametrize("config", RTMDET, ids=lambda path: path.stem, indirect=True)
def test_rtmdets_recipe(cfg):
    theirs = Config.fromfile(MMDET_CONFIGS / "rtmdet/rtmdet_l_8xb32-300e_coco.py")
    for key in ("optim_wrapper", "param_scheduler", "train_cfg"):
        ours = cfg[key] if key != "train_cfg" else {**cfg.train_cfg, "type": "EpochBasedTrainLoop"}
        assert ours == theirs[key]
    assert (cfg.train_dataloader.batch_size, cfg.auto_scale_lr.base_batch_size) == (32, 256)
    own, published = (
        [step for step in each.train_dataloader.dataset.pipeline if "Load" not in step.type]
        for each in (cfg, theirs)
    )
    assert own == published
    for key in ("bbox_head", "train_cfg", "test_cfg"):
        assert cfg.model[key] == theirs.model[key]
    assert not {"max_epochs", "plain_epochs", "plain_pipeline", "size", "load"} & set(cfg)


def shown(steps):
    """The steps that change images and objects, in an order that doesn't change the result."""
    steps = [dict(step) for step in steps if "LoadImage" not in step.type]
    steps = [step for step in steps if "LoadReadable" not in step["type"]]
    return sorted(steps, key=lambda step: step["type"] == "FilterAnnotations")


@pytest.mark.parametrize("config", INSTANCES, ids=lambda path: path.stem, indirect=True)
def test_rtmdet_ins_recipe(config, cfg):
    theirs = Config.fromfile(MMDET_CONFIGS / "rtmdet/rtmdet-ins_l_8xb32-300e_coco.py")
    boxes = Config.fromfile(config.with_name(config.name.replace("_ins", "")))
    for key in ("optim_wrapper", "param_scheduler", "train_cfg"):
        assert cfg[key] == boxes[key]
    assert cfg.model.backbone == boxes.model.backbone
    assert cfg.model.neck == boxes.model.neck
    published = theirs.model.bbox_head
    published.norm_cfg.pop("requires_grad")
    ours = dict(cfg.model.bbox_head)
    assert ours.pop("with_objectness") is False  # the default
    assert ours == published
    for key in ("train_cfg", "test_cfg"):
        assert cfg.model[key] == theirs.model[key]
    switch = theirs.custom_hooks[1].switch_pipeline
    for own, other in (
        (cfg.train_dataloader.dataset.pipeline, theirs.train_dataloader.dataset.pipeline),
        (cfg.default_hooks.plain_images.switch_pipeline, switch),
    ):
        assert shown(own) == shown(other)
    assert "changes" not in cfg


@pytest.mark.parametrize("config", YOLOX, ids=lambda path: path.stem, indirect=True)
def test_yolox_with_rtmdets_recipe(config, cfg):
    rtmdet = Config.fromfile(config.with_name(config.name.replace("yolox", "rtmdet"))).to_dict()
    ours = cfg.to_dict()
    for key in ("backbone", "data_preprocessor"):
        assert ours["model"][key] == rtmdet["model"][key]
    published = Config.fromfile(MMDET_CONFIGS / "yolox/yolox_l_8xb8-300e_coco.py").model
    default = {
        name: parameter.default
        for name, parameter in inspect.signature(MODELS.get("YOLOXHead")).parameters.items()
    }
    assert published.bbox_head.act_cfg == dict(type="Swish")
    assert cfg.model.bbox_head.act_cfg.type == "SiLU"  # the same function
    for key in set(published.bbox_head) - {"type", "norm_cfg", "act_cfg", "strides"}:
        assert cfg.model.bbox_head.get(key, default.get(key)) == published.bbox_head[key]
    assert tuple(cfg.model.bbox_head.strides) == published.bbox_head.strides
    assert cfg.model.train_cfg == published.train_cfg
    assert cfg.model.test_cfg.nms == published.test_cfg.nms
    del ours["model"], rtmdet["model"]
    assert ours == rtmdet


@pytest.mark.parametrize(
    "config",
    [path for path in COCO if path not in RTMDET + INSTANCES + YOLOX],
    ids=lambda path: path.stem,
    indirect=True,
)
def test_the_published_recipe(config, cfg):
    one_stage = config.stem.startswith("retinanet")
    assert cfg.optim_wrapper.optimizer == dict(
        type="AdamW", lr=8e-5 if one_stage else 1.3e-4, betas=(0.9, 0.999), weight_decay=0.05
    )
    assert cfg.optim_wrapper.constructor == "LayerDecay"
    assert cfg.optim_wrapper.paramwise_cfg == dict(num_layers=6, decay_rate=0.6)
    assert (cfg.train_dataloader.batch_size, cfg.auto_scale_lr.base_batch_size) == (4, 32)
    warm_up, decay = cfg.param_scheduler
    assert (warm_up.start_factor, warm_up.end) == (0.001, 500)
    steps = [10, 11] if one_stage else [10, 12]
    assert (decay.milestones, decay.gamma, cfg.train_cfg.max_epochs) == (steps, 0.1, 12)
    assert "2017" in cfg.train_dataloader.dataset.ann_file
    resize = cfg.train_dataloader.dataset.pipeline[2]
    assert resize.scales == [(1333, side) for side in range(480, 1025, 32)]
    backbone = cfg.model.backbone
    assert backbone.init_cfg.type == "Pretrained"
    if backbone.type == "VanillaNet":
        assert f"vanillanet{backbone.arch}_coco" in config.stem
        assert backbone.get("act_num", 3) == (4 if backbone.arch == "13" else 3)
        assert backbone.init_cfg.checkpoint == f"checkpoints/{WEIGHTS[backbone.arch]}"


@pytest.mark.parametrize("detector", ["retinanet", "mask_rcnn"])
@pytest.mark.parametrize("peer", ["resnet50", "swin_tiny", "convnextv2_nano"])
def test_peers_differ_in_the_backbone_alone(detector, peer, root):
    ours, theirs = (
        Config.fromfile(root / f"configs/{detector}_{name}_coco.py").to_dict()
        for name in ("vanillanet11", peer)
    )
    for cfg in (ours, theirs):
        del cfg["model"]["backbone"], cfg["model"]["neck"]["in_channels"]
    assert ours == theirs


@pytest.mark.parametrize(
    ("base", "theirs"),
    [
        ("backbones/resnet50", "_base_/models/mask-rcnn_r50_fpn"),
        ("backbones/swin_tiny", "swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco"),
        ("models/faster_rcnn", "_base_/models/faster-rcnn_r50_fpn"),
        ("models/mask_rcnn", "_base_/models/mask-rcnn_r50_fpn"),
        ("models/cascade_rcnn", "_base_/models/cascade-rcnn_r50_fpn"),
    ],
)
def test_backbones_and_detectors_are_mmdetections(base, theirs, root):
    ours = Config.fromfile(root / f"configs/_base_/{base}.py").to_dict()
    theirs = Config.fromfile(MMDET_CONFIGS / f"{theirs}.py").to_dict()
    model = theirs["model"]
    backbone = model.pop("backbone")
    if base.startswith("backbones"):
        ours, model = ours["backbone"], backbone
        del ours["init_cfg"], model["init_cfg"]
    else:
        ours = ours["model"]
        del model["neck"]["in_channels"]
    assert ours == model


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        # Counted in the field's fvcore; the published table has 35.2, 47.8 and 38.5.
        ("retinanet_resnet50", 37.97),
        ("retinanet_swin_tiny", 38.46),
        ("mask_rcnn_resnet50", 44.40),
        ("mask_rcnn_swin_tiny", 47.79),
        ("mask_rcnn_convnextv2_nano", 35.19),
    ],
)
def test_peers_have_the_published_number_of_parameters(name, millions, root):
    model = build_on_meta(Config.fromfile(root / f"configs/{name}_coco.py").model)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == millions


def test_retinanet_vanillanet11_is_the_published_one(root):
    cfg = Config.fromfile(root / "configs/retinanet_vanillanet11_coco.py")
    cfg.model.backbone.update(deploy=True, init_cfg=None)
    model = MODELS.build(cfg.model)
    # 65.99 M by the count in the field's fvcore.
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == 65.99

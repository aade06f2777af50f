"""Small detectors whose random weights find boxes, in each architecture that is exported."""

from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from vanillanet_det.benchmark.random_weights import prepare_random_weights

CONFIGS = Path(__file__).parents[1] / "configs"


def save_small_detector(config, digits, path, kind="retinanet"):
    """Save a training checkpoint of a detector that finds boxes.

    Args:
        config: Config of a small RetinaNet.
        digits: Folder of the digits.
        path: The file to write.
        kind: `retinanet`, `rtmdet`, `rtmdet_ins`, `yolox`, `mask_rcnn`, or `cascade`: of
            Mask R-CNN.
    """
    cfg = Config.fromfile(config)
    if kind in ("rtmdet", "rtmdet_ins", "yolox"):
        cfg.model = make_real_time(cfg.model, kind)
    elif kind != "retinanet":
        cfg = Config.fromfile(CONFIGS / "mask_rcnn_vanillanet5_digits.py")
        cfg.merge_from_dict(SMALL_MASK_RCNN)
    if kind == "cascade":
        make_cascade(cfg.model)
    if "roi_head" not in cfg.model:
        cfg.model.test_cfg.update(score_thr=0.05)
    torch.manual_seed(6)  # finds boxes in most images, with every version of PyTorch
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(cfg.model)
        model.init_weights()
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                nn.init.uniform_(module.weight, 0.5, 1.5)
        pipeline = Compose(cfg.test_dataloader.dataset.pipeline)
        data = [pipeline(dict(img_path=str(p))) for p in (digits / "val").glob("*.png")]
    batch = {key: [item[key] for item in data] for key in ("inputs", "data_samples")}
    prepare_random_weights(model, batch)
    if kind == "yolox":
        cfg.model.test_cfg.score_thr = 0.1  # fewer boxes, of which no two have the same score
    classes = tuple("0123456789")
    meta = dict(cfg=cfg.pretty_text, dataset_meta=dict(classes=classes), epoch=3)
    torch.save(dict(meta=meta, state_dict=model.state_dict()), path)
    return path


def make_real_time(retinanet, kind):
    """Return an RTMDet, RTMDet-Ins or YOLOX with the backbone of a RetinaNet."""
    model = Config.fromfile(CONFIGS / f"_base_/models/{kind}.py").model
    (mapper, pafpn), norm = model.neck, dict(type="BN")
    channels = retinanet.neck.in_channels
    model.backbone = retinanet.backbone
    mapper.update(in_channels=channels, out_channels=16, norm_cfg=norm)
    pafpn.update(in_channels=[16] * 3, out_channels=16, num_csp_blocks=1, norm_cfg=norm)
    model.bbox_head.update(num_classes=10, in_channels=16, feat_channels=16, norm_cfg=norm)
    if kind != "yolox":
        model.test_cfg.update(max_per_img=20)
    else:  # MMDetection knows no limit of YOLOX
        model.test_cfg.update(max_per_img=2000)
    return model


SMALL_MASK_RCNN = {
    "model.backbone.arch": dict(dims=[8, 16, 16, 16], strides=[2, 2, 2]),
    "model.neck": dict(in_channels=[8, 16, 16, 16], out_channels=16),
    "model.rpn_head": dict(in_channels=16, feat_channels=16),
    "model.roi_head.bbox_roi_extractor.out_channels": 16,
    "model.roi_head.bbox_head": dict(in_channels=16, fc_out_channels=32),
    "model.roi_head.mask_roi_extractor.out_channels": 16,
    "model.roi_head.mask_head": dict(num_convs=1, in_channels=16, conv_out_channels=16),
    "model.test_cfg.rcnn.max_per_img": 20,
}


def make_cascade(model):
    """Give a Mask R-CNN two more stages; only the second one's boxes depend on the class."""
    model.type, model.train_cfg, head = "CascadeRCNN", None, model.roi_head
    boxes = [
        dict(
            head.bbox_head,
            reg_class_agnostic=agnostic,
            bbox_coder=dict(head.bbox_head.bbox_coder, target_stds=stds),
        )
        for agnostic, stds in [
            (True, [0.1, 0.1, 0.2, 0.2]),
            (False, [0.05, 0.05, 0.1, 0.1]),
            (True, [0.033, 0.033, 0.067, 0.067]),
        ]
    ]
    weights = [1, 0.5, 0.25]
    head.update(type="CascadeRoIHead", num_stages=3, stage_loss_weights=weights, bbox_head=boxes)

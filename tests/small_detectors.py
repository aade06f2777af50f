"""Detectors of the project's configs, of a few channels, and photographs for them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from sklearn.datasets import load_sample_images

CHANNELS = 16
SMALL = {
    "VanillaNet": (
        dict(arch=dict(dims=[8, 16, 16, 16], strides=[2, 2, 2]), norm_cfg=dict(type="BN")),
        [8, 16, 16, 16],
    ),
    "ResNet": (dict(depth=18, base_channels=8), [8, 16, 32, 64]),
    "SwinTransformer": (
        dict(embed_dims=12, depths=[2, 2, 2, 2], num_heads=[1, 2, 2, 2]),
        [12, 24, 48, 96],
    ),
    "TIMMBackbone": (dict(model_name="convnextv2_atto"), [40, 80, 160, 320]),
}


def small_detector(root: Path, config: str) -> BaseDetector:
    """Build the detector of a config, initialised at random."""
    model = Config.fromfile(root / f"configs/{config}.py").model
    changes, channels = SMALL[model.backbone.type]
    start = int("bbox_head" in model)  # RetinaNet's first feature has stride 8
    model.backbone.update(init_cfg=None, out_indices=[0, 1, 2, 3][start:], **changes)
    model.neck.update(in_channels=channels[start:], out_channels=CHANNELS)
    sizes = dict(in_channels=CHANNELS, feat_channels=CHANNELS)
    if start:
        model.bbox_head.update(stacked_convs=2, **sizes)
    else:
        model.rpn_head.update(**sizes)
        head = model.roi_head
        for name in ("bbox_roi_extractor", "mask_roi_extractor"):
            if name in head:
                head[name].out_channels = CHANNELS
        for box_head in head.bbox_head if isinstance(head.bbox_head, list) else [head.bbox_head]:
            box_head.update(in_channels=CHANNELS, fc_out_channels=32)
        if "mask_head" in head:
            head.mask_head.update(in_channels=CHANNELS, conv_out_channels=CHANNELS, num_convs=1)
    detector = MODELS.build(model)
    detector.init_weights()
    return detector.eval()


def crops(corners: Sequence[tuple[int, int]], size: tuple[int, int] = (256, 320)) -> dict:
    """Cut one part out of scikit-learn's photographs in turn for each pair y, x."""
    height, width = size
    photos = [torch.from_numpy(photo.copy()).movedim(2, 0) for photo in load_sample_images().images]
    meta = dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
    return dict(
        inputs=[
            photos[index % 2][:, y : y + height, x : x + width].contiguous()
            for index, (y, x) in enumerate(corners)
        ],
        data_samples=[DetDataSample(metainfo=meta) for _ in corners],
    )

"""Published figures: the ImageNet and COCO tables of arXiv 2305.12972, and GResNet's.

The COCO rows of VanillaNet-13 refer to the authors' detection code, with act_num 4.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional


@dataclass(frozen=True)
class Published:
    """Figures as published: millions of parameters, billions of multiply-accumulates."""

    parameters: float
    flops: Optional[float]


@dataclass(frozen=True)
class PublishedDetector(Published):
    """A row of the COCO table.

    Attributes:
        framework: Name of the detector.
        backbone: Name of its backbone.
        fps: Images per second on the authors' GPU at batch size 1; None if not published.
        box_ap: COCO box AP in %; None if not published.
        mask_ap: COCO mask AP in %; None if not published, or without masks.
        counted: Whether parameters and FLOPs are counted, not published.
    """

    framework: str
    backbone: str
    fps: Optional[float] = None
    box_ap: Optional[float] = None
    mask_ap: Optional[float] = None
    counted: bool = False


@dataclass(frozen=True)
class PublishedClassifier(Published):
    """A row of the ImageNet table.

    Attributes:
        model: Name in timm or torchvision.
        top1: Top-1 accuracy on ImageNet in %.
        latency: Milliseconds of one image on the authors' A100; None if not published.
        throughput: Images per second on the authors' A100 in batches of 256, by the size of the
            images; {} if not published.
    """

    model: str
    top1: float
    latency: Optional[float] = None
    throughput: Mapping[tuple[int, int], float] = field(default_factory=dict)


CLASSIFIER_SIZE = (224, 224)
CLASSIFIERS = {
    arch: PublishedClassifier(parameters, flops, f"timm:vanillanet_{arch}", top1, latency)
    for arch, parameters, flops, top1, latency in (
        ("5", 15.5, 5.2, 72.49, 1.61),
        ("6", 32.5, 6.0, 76.36, 2.01),
        ("7", 32.8, 6.9, 77.98, 2.27),
        ("8", 37.1, 7.7, 79.13, 2.56),
        ("9", 41.4, 8.6, 79.87, 2.91),
        ("10", 45.7, 9.4, 80.57, 3.24),
        ("11", 50.0, 10.3, 81.08, 3.59),
        ("12", 54.3, 11.1, 81.55, 3.82),
        ("13", 58.6, 11.9, 82.05, 4.26),
        ("13_x1_5", 127.8, 26.5, 82.53, 7.83),
        ("13_x1_5_ada_pool", 127.8, 48.5, 83.11, 9.72),
    )
}
"""Arch -> fused classifier with 1,000 classes."""
CLASSIFIER_TABLE = {
    **{f"VanillaNet-{arch}": row for arch, row in CLASSIFIERS.items()},
    "ResNet-50": PublishedClassifier(25.6, 4.1, "torchvision:resnet50", 76.13, 7.64),
    "Swin-T": PublishedClassifier(28.3, 4.5, "torchvision:swin_t", 81.47, 10.51),
    "Swin-S": PublishedClassifier(49.6, 8.7, "torchvision:swin_s", 83.20, 20.25),
    "ConvNeXtV2-N": PublishedClassifier(15.6, 2.5, "timm:convnextv2_nano", 81.9, 6.85),
    "MobileNetV3-L": PublishedClassifier(5.5, 0.2, "torchvision:mobilenet_v3_large", 74.04, 7.83),
    "ShuffleNetV2 x1.5": PublishedClassifier(3.5, 0.3, "torchvision:shufflenet_v2_x1_5", 73.00),
    "ShuffleNetV2 x2": PublishedClassifier(7.4, 0.6, "torchvision:shufflenet_v2_x2_0", 76.23),
    "VGG-16": PublishedClassifier(138.4, 15.5, "torchvision:vgg16", 71.59),
    "GResNet-50": PublishedClassifier(
        25.7, None, "timm:gresnet50", 82.2, throughput={(224, 224): 1250, (176, 176): 2057}
    ),
    "ConvNeXt-T": PublishedClassifier(28.6, 4.5, "torchvision:convnext_tiny", 82.52),
    "DeiT-S": PublishedClassifier(22.1, 4.6, "timm:deit_small_patch16_224", 79.8),
}
"""Name -> row. Latencies are from VanillaNet's publication (https://arxiv.org/abs/2305.12972),
as are its own figures; the others are torchvision's, ConvNeXt V2's (arXiv 2301.00808), DeiT's
(arXiv 2012.12877), and those of GResNet's authors."""
GRESNET_PEERS = ("GResNet-50", "ResNet-50", "ConvNeXt-T", "DeiT-S")
"""Names of the classifiers that are compared in large batches."""

DETECTOR_SIZE = (800, 1280)
COCO_TABLE = {
    "retinanet_resnet50_coco": PublishedDetector(
        37.97, 239.0, "RetinaNet", "ResNet-50", counted=True
    ),
    "retinanet_convnextv2_nano_coco": PublishedDetector(
        25.57, 201.7, "RetinaNet", "ConvNeXtV2-N", counted=True
    ),
    "retinanet_swin_tiny_coco": PublishedDetector(38.5, 245.0, "RetinaNet", "Swin-T", 27.5, 41.5),
    "retinanet_vanillanet11_coco": PublishedDetector(
        67.0, 386.0, "RetinaNet", "VanillaNet-11", 30.8, 41.8
    ),
    "retinanet_vanillanet13_coco": PublishedDetector(
        75.4, 396.9, "RetinaNet", "VanillaNet-13", 29.8, 43.0
    ),
    "mask_rcnn_resnet50_coco": PublishedDetector(
        44.40, 259.8, "Mask R-CNN", "ResNet-50", counted=True
    ),
    "mask_rcnn_convnextv2_nano_coco": PublishedDetector(
        35.2, 221.0, "Mask R-CNN", "ConvNeXtV2-N", 31.7, 42.7, 38.9
    ),
    "mask_rcnn_swin_tiny_coco": PublishedDetector(
        47.8, 267.0, "Mask R-CNN", "Swin-T", 28.2, 42.7, 39.3
    ),
    "mask_rcnn_vanillanet11_coco": PublishedDetector(
        107.5, 404.0, "Mask R-CNN", "VanillaNet-11", 33.6, 42.9, 39.6
    ),
    "mask_rcnn_vanillanet13_coco": PublishedDetector(
        77.1, 420.7, "Mask R-CNN", "VanillaNet-13", 32.6, 44.3, 40.1
    ),
}
"""Name of the config -> row of the COCO table; the figures of unpublished peers are counted."""

DETECTORS = {name: row for name, row in COCO_TABLE.items() if row.backbone.startswith("VanillaNet")}
"""Name of the config -> row of a detector with a VanillaNet."""

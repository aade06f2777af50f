"""Published figures: the ImageNet and COCO tables of arXiv 2305.12972.

The COCO rows of VanillaNet-13 refer to the authors' detection code, with act_num 4.
"""

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class Published:
    """Figures as published: millions of parameters, billions of multiply-accumulates."""

    parameters: float
    flops: float


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


CLASSIFIER_SIZE = (224, 224)
CLASSIFIERS = {
    "5": Published(15.5, 5.2),
    "6": Published(32.5, 6.0),
    "7": Published(32.8, 6.9),
    "8": Published(37.1, 7.7),
    "9": Published(41.4, 8.6),
    "10": Published(45.7, 9.4),
    "11": Published(50.0, 10.3),
    "12": Published(54.3, 11.1),
    "13": Published(58.6, 11.9),
    "13_x1_5": Published(127.8, 26.5),
    "13_x1_5_ada_pool": Published(127.8, 48.5),
}
"""Arch -> fused classifier with 1,000 classes."""

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

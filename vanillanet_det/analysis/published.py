"""Published parameters and FLOPs: ImageNet and COCO tables of arXiv 2305.12972.

The rows with VanillaNet-13 on COCO are those of the authors' detection code, with act_num 4.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """Figures as printed: millions of parameters, milliards of multiply-accumulates."""

    parameters: float
    flops: float


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
DETECTORS = {
    "retinanet_vanillanet11_coco": Published(67.0, 386.0),
    "retinanet_vanillanet13_coco": Published(75.4, 396.9),
    "mask_rcnn_vanillanet11_coco": Published(107.5, 404.0),
    "mask_rcnn_vanillanet13_coco": Published(77.1, 420.7),
}
"""Name of the config -> detector."""

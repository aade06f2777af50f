"""Checks how well a detector's anchors fit the boxes of a dataset, and finds better anchors."""

from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
from mmdet.registry import TASK_UTILS
from tabulate import tabulate

# RetinaNet assigns no anchor to a box whose best IoU is below this.
_MIN_IOU = 0.5
_MIN_SHARE = 0.95
_MIN_GAIN = 0.05


@dataclass(frozen=True)
class AnchorFit:
    """Anchors and their overlap with boxes that have the same centre.

    Attributes:
        generator: Config of the anchor generator.
        share: Share of the boxes that have an IoU of at least 0.5 with an anchor.
        mean_iou: IoU of each box with its best anchor, averaged over the boxes.
    """

    generator: dict[str, Any]
    share: float
    mean_iou: float


def box_sizes(coco: dict, input_size: tuple[int, int]) -> np.ndarray:
    """Compute the sizes that boxes have after their images are resized.

    Args:
        coco: COCO's images and annotations; crowds are ignored.
        input_size: Longer and shorter side that images are resized to, keeping the aspect ratio.

    Returns:
        Width and height of each box in pixels of the resized images, `(N, 2)`.
    """
    factors = {
        image["id"]: resize_factor(image["width"], image["height"], input_size)
        for image in coco["images"]
    }
    sizes = [
        (a["bbox"][2] * factors[a["image_id"]], a["bbox"][3] * factors[a["image_id"]])
        for a in coco["annotations"]
        if not a.get("iscrowd")
    ]
    return np.asarray(sizes, dtype=float).reshape(-1, 2)


def resize_factor(width: int, height: int, input_size: tuple[int, int]) -> float:
    """Compute the factor by which MMDetection's `Resize` with `keep_ratio` scales an image."""
    return min(
        max(input_size) / max(width, height),
        min(input_size) / min(width, height),
    )


def anchor_sizes(generator: dict) -> np.ndarray:
    """Compute the widths and heights of a generator's anchors in pixels, `(N, 2)`."""
    levels = TASK_UTILS.build(generator).base_anchors
    anchors = np.concatenate([level.cpu().numpy() for level in levels])
    return anchors[:, 2:] - anchors[:, :2]


def measure_fit(generator: dict, boxes: np.ndarray) -> AnchorFit:
    """Measure how well anchors fit boxes.

    Args:
        generator: Config of the anchor generator.
        boxes: Widths and heights, `(N, 2)`, with at least one row.
    """
    anchors = anchor_sizes(generator)
    best = np.zeros(len(boxes))
    for anchor in anchors:  # one by one, since a matrix of 900,000 boxes by 45 anchors is large
        inter = np.minimum(boxes, anchor).prod(axis=1)
        best = np.maximum(best, inter / (boxes.prod(axis=1) + anchor.prod() - inter))
    return AnchorFit(generator, float((best >= _MIN_IOU).mean()), float(best.mean()))


def fit_anchors(generator: dict, boxes: np.ndarray) -> Optional[AnchorFit]:
    """Find sizes and aspect ratios that fit boxes better, keeping the number of anchors.

    Args:
        generator: Config of an `AnchorGenerator`, which is not modified.
        boxes: Widths and heights, `(N, 2)`.

    Returns:
        Better anchors, or None if the current anchors are good enough. They are good enough if at
        least 95 % of the boxes have an IoU of 0.5 with an anchor, and the best candidates don't
        raise the mean IoU by at least 0.05.
    """
    before = measure_fit(generator, boxes)
    count = len(generator["ratios"])
    quantiles = (np.arange(count) + 0.5) / count
    ratios = [round(float(r), 2) for r in np.quantile(boxes[:, 1] / boxes[:, 0], quantiles)]
    key = "octave_base_scale" if generator.get("octave_base_scale") else "scales"
    best = before
    for candidates in (generator["ratios"], sorted(set(ratios))):
        if len(candidates) != count:  # similar boxes have fewer ratios than the head needs
            continue
        for step in range(-16, 13):
            factor = 2 ** (step / 4)
            old = generator[key]
            new = [_round(s * factor) for s in old] if key == "scales" else _round(old * factor)
            fit = measure_fit({**generator, key: new, "ratios": list(candidates)}, boxes)
            if fit.mean_iou > best.mean_iou:
                best = fit
    good_enough = best.mean_iou - before.mean_iou < _MIN_GAIN and before.share >= _MIN_SHARE
    return None if good_enough or best is before else best


def _round(scale: float) -> float:
    return float(f"{scale:.3g}")


def histogram(boxes: np.ndarray, anchors: np.ndarray) -> str:
    """Draw the sizes of boxes and anchors side by side, as text.

    Args:
        boxes: Widths and heights, `(N, 2)`.
        anchors: Widths and heights, `(M, 2)`.
    """
    box_sides, anchor_sides = (np.sqrt(sizes.prod(axis=1)) for sizes in (boxes, anchors))
    sides = np.concatenate([box_sides, anchor_sides])
    low, high = (int(np.floor(2 * np.log2(max(side, 1)))) for side in (sides.min(), sides.max()))
    edges = 2 ** (np.arange(low, high + 2) / 2)
    box_shares, anchor_shares = (
        np.histogram(v.clip(edges[0]), edges)[0] / len(v) for v in (box_sides, anchor_sides)
    )
    rows = [
        (f"{a:.0f} to {b:.0f}", _bar(of_boxes), _bar(of_anchors))
        for a, b, of_boxes, of_anchors in zip(edges, edges[1:], box_shares, anchor_shares)
    ]
    return tabulate(rows, ["side, pixels", "boxes", "anchors"], disable_numparse=True)


def _bar(share: float) -> str:
    return f"{'█' * round(30 * share)} {100 * share:.0f} %" if share else ""

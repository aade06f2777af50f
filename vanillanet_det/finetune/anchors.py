"""Do the anchors of a model have the sizes of a data set's boxes, and which would."""

from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
from mmdet.registry import TASK_UTILS
from tabulate import tabulate

# Of a box, the least overlap with the best anchor: below it RetinaNet learns from no anchor.
_LEAST_IOU = 0.5
_ENOUGH = 0.95
_LEAST_GAIN = 0.05


@dataclass(frozen=True)
class Fit:
    """Anchors, and how they fit boxes whose centre they share.

    Attributes:
        generator: Config of the anchor generator.
        share: Share of the boxes with an IoU of at least 0.5 with an anchor.
        mean_iou: Mean over the boxes of the IoU with the best anchor.
    """

    generator: dict[str, Any]
    share: float
    mean_iou: float


def box_sizes(content: dict, image_size: tuple[int, int]) -> np.ndarray:
    """Compute the sizes of boxes as a detector sees them.

    Args:
        content: COCO's images and annotations; crowds are left out.
        image_size: Longer and shorter side that pictures are resized into, keeping their ratio.

    Returns:
        Width and height in pixels of the resized pictures, `(N, 2)`.
    """
    factors = {
        image["id"]: resize_factor(image["width"], image["height"], image_size)
        for image in content["images"]
    }
    sizes = [
        (a["bbox"][2] * factors[a["image_id"]], a["bbox"][3] * factors[a["image_id"]])
        for a in content["annotations"]
        if not a.get("iscrowd")
    ]
    return np.asarray(sizes, dtype=float).reshape(-1, 2)


def resize_factor(width: int, height: int, image_size: tuple[int, int]) -> float:
    """Compute the factor by which MMDetection's `Resize` with `keep_ratio` scales a picture."""
    return min(
        max(image_size) / max(width, height),
        min(image_size) / min(width, height),
    )


def anchor_sizes(generator: dict) -> np.ndarray:
    """Compute width and height of a generator's anchors, `(N, 2)`."""
    levels = TASK_UTILS.build(generator).base_anchors
    anchors = np.concatenate([level.cpu().numpy() for level in levels])
    return anchors[:, 2:] - anchors[:, :2]


def rate(generator: dict, boxes: np.ndarray) -> Fit:
    """Tell how well anchors fit boxes.

    Args:
        generator: Config of the anchor generator.
        boxes: Widths and heights, `(N, 2)`, with at least one row.
    """
    anchors = anchor_sizes(generator)
    best = np.zeros(len(boxes))
    for anchor in anchors:  # one by one: 900,000 boxes times 45 anchors are no small matrix
        inter = np.minimum(boxes, anchor).prod(axis=1)
        best = np.maximum(best, inter / (boxes.prod(axis=1) + anchor.prod() - inter))
    return Fit(generator, float((best >= _LEAST_IOU).mean()), float(best.mean()))


def fit_anchors(generator: dict, boxes: np.ndarray) -> Optional[Fit]:
    """Find sizes and ratios that fit boxes better, as many as there were.

    Args:
        generator: Config of an `AnchorGenerator`, left as it is.
        boxes: Widths and heights, `(N, 2)`.

    Returns:
        Better anchors, or None if those there are do: at least 95 % of the boxes have an IoU of
        0.5 with one, and no others are closer by 0.05 in the mean.
    """
    before = rate(generator, boxes)
    count = len(generator["ratios"])
    places = (np.arange(count) + 0.5) / count
    ratios = [round(float(r), 2) for r in np.quantile(boxes[:, 1] / boxes[:, 0], places)]
    key = "octave_base_scale" if generator.get("octave_base_scale") else "scales"
    found = before
    for some in (generator["ratios"], sorted(set(ratios))):
        if len(some) != count:  # boxes of one shape; the head has an output for each ratio
            continue
        for step in range(-16, 13):
            factor = 2 ** (step / 4)
            old = generator[key]
            new = [_round(s * factor) for s in old] if key == "scales" else _round(old * factor)
            candidate = rate({**generator, key: new, "ratios": list(some)}, boxes)
            if candidate.mean_iou > found.mean_iou:
                found = candidate
    gain = found.mean_iou - before.mean_iou
    enough = gain < _LEAST_GAIN and before.share >= _ENOUGH
    return None if enough or found is before else found


def _round(scale: float) -> float:
    return float(f"{scale:.3g}")


def histogram(boxes: np.ndarray, anchors: np.ndarray) -> str:
    """Draw how large boxes and anchors are, side by side, as text.

    Args:
        boxes: Widths and heights, `(N, 2)`.
        anchors: The same of anchors.
    """
    sides, theirs = (np.sqrt(sizes.prod(axis=1)) for sizes in (boxes, anchors))
    both = np.concatenate([sides, theirs])
    low, high = (int(f(2 * np.log2(max(side, 1)))) for f, side in _ends(both))
    edges = 2 ** (np.arange(low, high + 2) / 2)
    counts, anchor_counts = (np.histogram(v.clip(edges[0]), edges)[0] for v in (sides, theirs))
    rows = [
        (f"{a:.0f} to {b:.0f}", _bar(n / counts.sum()), _bar(m / anchor_counts.sum()))
        for a, b, n, m in zip(edges, edges[1:], counts, anchor_counts)
    ]
    return tabulate(rows, ["side, pixels", "boxes", "anchors"], disable_numparse=True)


def _ends(sides: np.ndarray) -> tuple:
    return (np.floor, sides.min()), (np.floor, sides.max())


def _bar(share: float) -> str:
    return f"{'█' * round(30 * share)} {100 * share:.0f} %" if share else ""

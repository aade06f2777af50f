"""Scenes of handwritten digits on photographs: pure functions of a random state.

Digits are scikit-learn's 1,797 scanned ones (8x8 pixels, 17 grey levels), backgrounds crops
of its two photographs.
"""

from dataclasses import dataclass
from typing import Dict, List, Tuple

import cv2
import numpy as np
from sklearn.datasets import load_digits, load_sample_images

SCAN_SIDES = (28, 72)  # pixels of a scan's side in a scene, least and most
DIGITS_PER_SCENE = (1, 5)
# Columns of the photographs: training takes the left part, validation the right one.
_TRAIN_COLUMNS, _VAL_COLUMNS = slice(0, 430), slice(440, None)
_VAL_SHARE = 6  # one scan of this many is for validation
_LEAST_CONTRAST = 70  # grey levels between a digit and what is behind it
_MOST_OVERLAP = 0.05  # of two boxes, relative to the smaller one


@dataclass(frozen=True)
class Source:
    """What scenes of one split are made of.

    Attributes:
        scans: `(N, 8, 8)`, from 0 to 1.
        labels: `(N,)`, the digit of each scan.
        photos: Images of shape `(H, W, 3)`, uint8, RGB.
    """

    scans: np.ndarray
    labels: np.ndarray
    photos: Tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Instance:
    """One digit in a scene.

    Attributes:
        label: The digit.
        mask: `(H, W)`, bool, its outline filled.
    """

    label: int
    mask: np.ndarray


def load_sources(random: np.random.RandomState) -> Dict[str, Source]:
    """Split scans and photographs so that training and validation share neither.

    Returns:
        The sources of `train` and of `val`.
    """
    digits = load_digits()
    order = random.permutation(len(digits.target))
    photos = load_sample_images().images
    num_val = len(order) // _VAL_SHARE
    parts = {
        "train": (order[num_val:], _TRAIN_COLUMNS),
        "val": (order[:num_val], _VAL_COLUMNS),
    }
    return {
        split: Source(
            (digits.images[chosen] / 16).astype(np.float32),
            digits.target[chosen],
            tuple(np.ascontiguousarray(photo[:, columns]) for photo in photos),
        )
        for split, (chosen, columns) in parts.items()
    }


def draw_scene(
    source: Source, side: int, random: np.random.RandomState
) -> Tuple[np.ndarray, List[Instance]]:
    """Draw one scene.

    Args:
        source: Scans and photographs to take from.
        side: Height and width of the scene in pixels.
        random: Decides everything.

    Returns:
        The image, `(side, side, 3)`, uint8, RGB, and its digits, at least one.
    """
    image = _draw_background(source, side, random)
    instances: List[Instance] = []
    boxes: List[Tuple[int, int, int, int]] = []
    wanted = random.randint(DIGITS_PER_SCENE[0], DIGITS_PER_SCENE[1] + 1)
    for _ in range(10 * wanted):  # a full scene has no room for more
        if len(instances) == wanted:
            break
        index = random.randint(len(source.labels))
        opacity = _draw_digit(source.scans[index], side, random)
        mask = _fill(opacity > 0.5)
        box = cv2.boundingRect(mask.astype(np.uint8))
        if any(_overlap(box, other) > _MOST_OVERLAP for other in boxes):
            continue
        image = _blend(image, opacity, mask, random)
        instances.append(Instance(int(source.labels[index]), mask))
        boxes.append(box)
    return image, instances


def _draw_background(source: Source, side: int, random: np.random.RandomState) -> np.ndarray:
    photo = source.photos[random.randint(len(source.photos))]
    height, width = photo.shape[:2]
    crop = random.randint(side // 2, min(height, width) + 1)
    top, left = random.randint(height - crop + 1), random.randint(width - crop + 1)
    image = cv2.resize(photo[top : top + crop, left : left + crop], (side, side),
                       interpolation=cv2.INTER_AREA if crop > side else cv2.INTER_LINEAR)
    if random.randint(2):
        image = image[:, ::-1]
    return np.clip(image * random.uniform(0.5, 1.2), 0, 255)


def _draw_digit(scan: np.ndarray, side: int, random: np.random.RandomState) -> np.ndarray:
    """Enlarge, turn a little and place a scan; opacity `(side, side)` from 0 to 1."""
    length = random.randint(SCAN_SIDES[0], SCAN_SIDES[1] + 1)
    scale, angle = length / scan.shape[0], random.uniform(-15, 15)
    centre = random.uniform(length / 2, side - length / 2, size=2)
    middle = (scan.shape[0] - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), angle, scale)
    matrix[:, 2] += centre - middle
    ink = cv2.warpAffine(scan, matrix, (side, side), flags=cv2.INTER_CUBIC)
    # Sharpen the blur of the enlargement into the edge of a pen stroke.
    return np.clip((ink - 0.3) / 0.25, 0, 1)


def _fill(mask: np.ndarray) -> np.ndarray:
    """Fill holes, as outlines in COCO's polygons do."""
    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    filled = np.zeros(mask.shape, np.uint8)
    return cv2.drawContours(filled, contours, -1, 1, cv2.FILLED).astype(bool)


def _blend(
    image: np.ndarray, opacity: np.ndarray, mask: np.ndarray, random: np.random.RandomState
) -> np.ndarray:
    behind = image[mask].mean()
    colour = random.uniform(0, 255, size=3)
    while abs(colour.mean() - behind) < _LEAST_CONTRAST:
        colour = random.uniform(0, 255, size=3)
    return image + opacity[..., None] * (colour - image)


def _overlap(a: Tuple[int, int, int, int], b: Tuple[int, int, int, int]) -> float:
    """Compute the intersection of two `(x, y, w, h)` boxes relative to the smaller one."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0) / min(a[2] * a[3], b[2] * b[3])


def to_polygons(mask: np.ndarray) -> List[List[float]]:
    """Outline a mask in COCO's polygons.

    Args:
        mask: `(H, W)`, bool, without holes.

    Returns:
        One `[x1, y1, x2, y2, ...]` for each connected part; pycocotools rasterises them to
        the same mask.
    """
    # Outlines run through pixel centres; on a mask four times as large that is an eighth of
    # a pixel inside the true edge, so that no pixel's centre is lost.
    large = np.kron(mask.astype(np.uint8), np.ones((4, 4), np.uint8))
    contours, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [((contour.reshape(-1) + 0.5) / 4).tolist() for contour in contours]

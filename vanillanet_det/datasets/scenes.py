"""Scenes of handwritten digits on photographs, drawn deterministically from a random state.

The digits are scikit-learn's 1,797 scans (8x8 pixels, 17 grey levels). The backgrounds are crops
of its two photographs.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from sklearn.datasets import load_digits, load_sample_images

SCAN_SIDES = (28, 72)  # minimum and maximum side of a scan in a scene, in pixels
DIGITS_PER_SCENE = (1, 5)
# Columns of the photographs: training uses the left part, validation the right part.
_TRAIN_COLUMNS, _VAL_COLUMNS = slice(0, 430), slice(440, None)
_VAL_SHARE = 6  # one in this many scans is used for validation
_MIN_CONTRAST = 70  # grey levels between a digit and its background
_MAX_OVERLAP = 0.05  # of two boxes, relative to the smaller one


@dataclass(frozen=True)
class SceneAssets:
    """Scans and photographs for the scenes of a split.

    Attributes:
        scans: `(N, 8, 8)`, float32, from 0 to 1.
        labels: `(N,)`, the digit of each scan.
        photos: Images of shape `(H, W, 3)`, uint8, RGB.
    """

    scans: np.ndarray
    labels: np.ndarray
    photos: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Instance:
    """A digit in a scene.

    Attributes:
        label: The digit.
        box: Tight `(x, y, width, height)` in whole pixels.
        mask: `(height, width)` within the box, bool, with holes filled.
    """

    label: int
    box: tuple[int, int, int, int]
    mask: np.ndarray


def load_assets(random: np.random.RandomState) -> dict[str, SceneAssets]:
    """Split scans and photographs into disjoint sets for training and validation.

    Returns:
        The assets of `train` and `val`.
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
        split: SceneAssets(
            (digits.images[chosen] / 16).astype(np.float32),
            digits.target[chosen],
            tuple(np.ascontiguousarray(photo[:, columns]) for photo in photos),
        )
        for split, (chosen, columns) in parts.items()
    }


def draw_scene(
    assets: SceneAssets, side: int, random: np.random.RandomState
) -> tuple[np.ndarray, list[Instance]]:
    """Draw a scene.

    Args:
        assets: Scans and photographs.
        side: Height and width of the scene in pixels.
        random: Source of all randomness.

    Returns:
        The image, `(side, side, 3)`, uint8, RGB, and a list of at least one digit.
    """
    image = _draw_background(assets, side, random)
    instances: list[Instance] = []
    count = random.randint(DIGITS_PER_SCENE[0], DIGITS_PER_SCENE[1] + 1)
    for _ in range(10 * count):  # a crowded scene may have no room for more digits
        if len(instances) == count:
            break
        index = random.randint(len(assets.labels))
        opacity, left, top = _draw_digit(assets.scans[index], side, random)
        x, y, width, height = cv2.boundingRect((opacity > 0.5).astype(np.uint8))
        opacity = opacity[y : y + height, x : x + width]
        box = (left + x, top + y, width, height)
        if any(_overlap(box, other.box) > _MAX_OVERLAP for other in instances):
            continue
        instance = Instance(int(assets.labels[index]), box, _fill(opacity > 0.5))
        _blend(image, opacity, instance, random)
        instances.append(instance)
    return image.astype(np.uint8), instances


def draw_digit_image(
    assets: SceneAssets, index: int, side: int, random: np.random.RandomState
) -> np.ndarray:
    """Draw one scan on a photograph.

    Args:
        assets: Scans and photographs.
        index: Number of the scan.
        side: Height and width of the image in pixels, at least 28.
        random: Source of all other randomness.

    Returns:
        The image, `(side, side, 3)`, uint8, RGB.
    """
    image = _draw_background(assets, side, random)
    opacity, left, top = _draw_digit(assets.scans[index], side, random)
    box = (left, top, opacity.shape[1], opacity.shape[0])
    _blend(image, opacity, Instance(int(assets.labels[index]), box, opacity > 0.5), random)
    return image.astype(np.uint8)


def _draw_background(assets: SceneAssets, side: int, random: np.random.RandomState) -> np.ndarray:
    photo = assets.photos[random.randint(len(assets.photos))]
    height, width = photo.shape[:2]
    crop = random.randint(side // 2, min(height, width) + 1)
    top, left = random.randint(height - crop + 1), random.randint(width - crop + 1)
    image = cv2.resize(
        photo[top : top + crop, left : left + crop],
        (side, side),
        interpolation=cv2.INTER_AREA if crop > side else cv2.INTER_LINEAR,
    )
    if random.randint(2):
        image = image[:, ::-1]
    return np.clip(image * np.float32(random.uniform(0.5, 1.2)), 0, 255)


def _draw_digit(
    scan: np.ndarray, side: int, random: np.random.RandomState
) -> tuple[np.ndarray, int, int]:
    """Enlarge, slightly rotate and place a scan.

    Returns:
        Opacity of a square patch, from 0 to 1, and the position of its left and top edges.
    """
    length = random.randint(SCAN_SIDES[0], min(SCAN_SIDES[1], side) + 1)
    left, top = random.randint(0, side - length + 1, size=2)
    middle = (scan.shape[0] - 1) / 2
    angle, scale = random.uniform(-15, 15), length / scan.shape[0]
    matrix = cv2.getRotationMatrix2D((middle, middle), angle, scale)
    matrix[:, 2] += (length - 1) / 2 - middle
    ink = cv2.warpAffine(scan, matrix, (length, length), flags=cv2.INTER_CUBIC)
    # Sharpen the blurred enlargement to the edges of a pen stroke.
    return np.clip((ink - 0.3) / 0.25, 0, 1), int(left), int(top)


def _fill(mask: np.ndarray) -> np.ndarray:
    """Fill holes, which COCO polygons can't represent."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask.shape, np.uint8)
    return cv2.drawContours(filled, contours, -1, 1, cv2.FILLED).astype(bool)


def _blend(
    image: np.ndarray, opacity: np.ndarray, instance: Instance, random: np.random.RandomState
) -> None:
    """Paint a digit onto the image in a colour that stands out."""
    x, y, width, height = instance.box
    part = image[y : y + height, x : x + width]
    behind = part[instance.mask].mean()
    colour = random.uniform(0, 255, size=3)
    while abs(colour.mean() - behind) < _MIN_CONTRAST:
        colour = random.uniform(0, 255, size=3)
    part += opacity[..., None] * (colour - part)


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """Compute the intersection of two `(x, y, w, h)` boxes relative to the smaller one."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0) / min(a[2] * a[3], b[2] * b[3])


def to_polygons(instance: Instance) -> list[list[float]]:
    """Convert a digit's mask to COCO polygons.

    Args:
        instance: The digit.

    Returns:
        One `[x1, y1, x2, y2, ...]` for each connected part, in pixels of the scene;
        pycocotools rasterises them to the instance's mask.
    """
    # Contours pass through pixel centres. On a mask that is enlarged four times, they lie an eighth
    # of a pixel inside the true edge, so that no pixel centre is lost.
    large = instance.mask.astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    contours, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    corner = np.array(instance.box[:2])
    return [((points[:, 0] + 0.5) / 4 + corner).reshape(-1).tolist() for points in contours]

"""Masks of objects, from their boxes into the picture."""

import numpy as np


def paste_masks(
    masks: np.ndarray, boxes: np.ndarray, size: tuple[int, int], threshold: float
) -> np.ndarray:
    """Paste masks as MMDetection's FCNMaskHead does: bilinear, and nothing outside the box.

    Args:
        masks: Probabilities over each box, float32 `(N, 28, 28)`, or of any other size.
        boxes: Left, top, right and bottom in pixels of the picture, float32 `(N, 4)`.
        size: Height and width of the picture.
        threshold: The probability from which a pixel belongs to the object.

    Returns:
        Bool `(N, height, width)`.
    """
    height, width = size
    pasted = np.zeros((len(masks), height, width), bool)
    for target, mask, (left, top, right, bottom) in zip(pasted, masks, boxes):
        rows, down = _weights(top, bottom, height, mask.shape[0])
        columns, across = _weights(left, right, width, mask.shape[1])
        # Interpolation in the plane is one along each axis, so two products of matrices.
        target[rows, columns] = down @ mask @ across.T >= threshold
    return pasted


def _weights(start: float, end: float, length: int, cells: int) -> tuple[slice, np.ndarray]:
    """Find how much each cell of a mask counts for each pixel, along one axis.

    Args:
        start: Of the box.
        end: Of the box.
        length: Pixels of the picture.
        cells: Of the mask.

    Returns:
        The pixels at the box, P of them, and float32 `(P, cells)`.
    """
    first = int(np.clip(np.floor(start) - 1, 0, length))
    last = int(np.clip(np.ceil(end) + 1, first, length))
    middles = np.arange(first, last, dtype=np.float32) + np.float32(0.5)
    with np.errstate(divide="ignore", invalid="ignore"):  # a box without width has no pixels
        places = (middles - start) / (end - start) * cells - np.float32(0.5)
        distances = np.abs(places[:, None] - np.arange(cells, dtype=np.float32))
    return slice(first, last), np.nan_to_num(1 - distances, neginf=0).clip(0)

"""Instance masks: pasting into the image, and COCO's run-length encoding."""

import functools

import numpy as np


def paste_masks(
    masks: np.ndarray, boxes: np.ndarray, size: tuple[int, int], threshold: float
) -> np.ndarray:
    """Paste masks into the image with bilinear interpolation, like MMDetection's FCNMaskHead.

    Args:
        masks: Probabilities in each box, float32 `(N, 28, 28)` or any other size.
        boxes: Left, top, right and bottom in pixels of the image, float32 `(N, 4)`.
        size: Height and width of the image.
        threshold: Minimum probability of a pixel that belongs to the object.

    Returns:
        Bool `(N, height, width)`.
    """
    height, width = size
    pasted = np.zeros((len(masks), height, width), bool)
    for target, mask, (left, top, right, bottom) in zip(pasted, masks, boxes):
        rows, down = _weights(top, bottom, height, mask.shape[0])
        columns, across = _weights(left, right, width, mask.shape[1])
        # Bilinear interpolation is separable: one matrix product along each axis.
        target[rows, columns] = down @ mask @ across.T >= threshold
    return pasted


def _weights(start: float, end: float, length: int, cells: int) -> tuple[slice, np.ndarray]:
    """Compute the weight of each cell of a mask for each pixel, along one axis.

    Args:
        start: Where the box starts.
        end: Where the box ends.
        length: Number of pixels in the image.
        cells: Number of cells in the mask.

    Returns:
        Slice of the P pixels around the box, and float32 weights `(P, cells)`.
    """
    first = int(np.clip(np.floor(start) - 1, 0, length))
    last = int(np.clip(np.ceil(end) + 1, first, length))
    middles = np.arange(first, last, dtype=np.float32) + np.float32(0.5)
    with np.errstate(divide="ignore", invalid="ignore"):  # an empty box has no pixels
        places = (middles - start) / (end - start) * cells - np.float32(0.5)
        distances = np.abs(places[:, None] - np.arange(cells, dtype=np.float32))
    return slice(first, last), np.nan_to_num(1 - distances, neginf=0).clip(0)


def enlarge_masks(
    masks: np.ndarray,
    stride: int,
    scales: tuple[float, float],
    size: tuple[int, int],
    threshold: float,
    offset: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """Enlarge masks of the whole input to those of the image, like MMDetection's RTMDetInsHead.

    Args:
        masks: Logits `(N, h, w)`.
        stride: Pixels of the input between two values.
        scales: Factors by which the width and height were scaled for the input.
        size: Height and width of the image.
        threshold: Minimum probability of a pixel that belongs to the object.
        offset: Pixels of the input to the left of the image and above it.

    Returns:
        Bool `(N, height, width)`.
    """
    down, across = (
        _enlarging(cells, stride, *place)
        for cells, *place in zip(masks.shape[1:], scales[::-1], size, offset[::-1])
    )
    with np.errstate(divide="ignore"):
        limit = np.log(np.float32(threshold)) - np.log(np.float32(1 - threshold))
    enlarged = np.zeros((len(masks), *size), bool)
    for target, mask in zip(enlarged, masks):
        target[:] = down @ mask @ across.T > limit
    return enlarged


def crop_masks(masks: np.ndarray, boxes: np.ndarray) -> None:
    """Remove the pixels outside of boxes, in place.

    Args:
        masks: Bool `(N, height, width)`.
        boxes: Left, top, right and bottom in pixels of the image, `(N, 4)`.
    """
    starts, ends = boxes[:, :2, None], boxes[:, 2:, None]
    for axis, length in enumerate(masks.shape[:0:-1]):
        places = np.arange(length)
        inside = (places >= starts[:, axis]) & (places < ends[:, axis])
        masks &= inside[:, None] if axis == 0 else inside[:, :, None]


@functools.lru_cache(maxsize=8)
def _enlarging(cells: int, stride: int, scale: float, length: int, offset: int) -> np.ndarray:
    """Return the weights `(length, cells)` of two bilinear interpolations along one axis.

    The first is to the input, and the second to the image.
    """
    first = _interpolation(cells, cells * stride)[offset:]
    pixels = len(first)
    second = _interpolation(pixels, int(np.ceil(pixels / scale)))[:length]
    return second @ first


def _interpolation(before: int, after: int) -> np.ndarray:
    places = (np.arange(after, dtype=np.float32) + np.float32(0.5)) * np.float32(before / after)
    places = (places - np.float32(0.5)).clip(0, before - 1)
    distances = np.abs(places[:, None] - np.arange(before, dtype=np.float32))
    return (1 - distances).clip(0)


def encode_mask(mask: np.ndarray) -> str:
    """Encode a mask in COCO's compressed run-length format.

    Runs go down the columns, starting with a run of zeros. From the fourth run on, each run is
    stored as its difference from the run two before it, in groups of five bits, lowest first; all
    groups but the last have a sixth bit set (`rleToString` of
    https://github.com/cocodataset/cocoapi).

    Args:
        mask: Bool `(height, width)`.

    Returns:
        The same as `counts` of pycocotools' `encode`.
    """
    pixels = np.concatenate([[False], mask.ravel(order="F"), [not mask[-1, -1]]])
    ends = np.flatnonzero(pixels[1:] != pixels[:-1])
    runs = np.diff(ends, prepend=0)
    values = runs.copy()
    values[3:] -= runs[1:-2]
    digits = values[:, None] >> np.arange(0, 35, 5)
    rest, digits = digits >> 5, digits & 31
    # The highest bit of the last group is the sign.
    is_last = rest == np.where(digits & 16, -1, 0)
    groups = np.arange(digits.shape[1])
    last = is_last.argmax(axis=1)[:, None]
    codes = 48 + digits + 32 * (groups < last)
    return codes[groups <= last].astype(np.uint8).tobytes().decode("ascii")

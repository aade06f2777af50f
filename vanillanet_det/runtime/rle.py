"""Masks as COCO's tools write them."""

import numpy as np


def encode_mask(mask: np.ndarray) -> str:
    """Write a mask in COCO's compressed run lengths.

    Runs go down the columns, and the first one is of zeros. From the fourth on a run is written
    as its difference from the one before the last, in groups of five bits, lowest first, of
    which all but the last have a sixth bit (`rleToString` of
    https://github.com/cocodataset/cocoapi).

    Args:
        mask: Bool `(height, width)`.

    Returns:
        What pycocotools' `encode` gives as `counts`.
    """
    pixels = np.concatenate([[False], mask.ravel(order="F"), [not mask[-1, -1]]])
    ends = np.flatnonzero(pixels[1:] != pixels[:-1])
    runs = np.diff(ends, prepend=0)
    values = runs.copy()
    values[3:] -= runs[1:-2]
    digits = values[:, None] >> np.arange(0, 35, 5)
    rest, digits = digits >> 5, digits & 31
    # The last group's highest bit is the sign of what follows.
    is_last = rest == np.where(digits & 16, -1, 0)
    groups = np.arange(digits.shape[1])
    last = is_last.argmax(axis=1)[:, None]
    codes = 48 + digits + 32 * (groups < last)
    return codes[groups <= last].astype(np.uint8).tobytes().decode("ascii")

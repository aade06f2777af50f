"""Images as they are: whether they can be read, and how large they are."""

import os
import warnings
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Optional

import cv2
from PIL import Image
from tqdm import tqdm

from ..datasets.formats.files import loaded_size
from .content import Content
from .datasets import Dataset, is_remote
from .finding import ERROR, WARNING, Finding, first_of


def check_pictures(dataset: Dataset, content: Content) -> list[Finding]:
    """Decode all images of a data set that are there.

    Args:
        dataset: The data set.
        content: What is in its annotation file.
    """
    if is_remote(dataset.folder):
        return []
    colour = dataset.loading.get("color_type", "color")
    turns = colour != "unchanged" and not colour.endswith("ignore_orientation")
    wrong = defaultdict(list)
    bar = tqdm(content.images, desc="Reading images", unit="img", disable=None)
    with ThreadPoolExecutor() as pool, bar, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pictures that are large, or odd and readable
        for problem in pool.map(lambda image: _look(dataset.folder, image, turns), bar):
            if problem is not None:
                wrong[problem[0]].append(problem[1])
    # Training may be told to go on without such images.
    skips = dataset.loading.get("unreadable") == "skip"
    levels = {"picture-unreadable": WARNING if skips else ERROR, "picture-size": ERROR}
    remedies = {
        "picture-unreadable": "replace the file, or take it out of the annotation file",
        "picture-size": "boxes are for the declared size; mend width and height, or the boxes",
    }
    return [
        Finding(
            levels[code],
            code,
            f"{dataset.key}: image {first_of(said[0], len(said))}; {remedies[code]}",
            len(said),
        )
        for code, said in wrong.items()
    ]


def _look(folder: str, image: dict, turns: bool) -> Optional[tuple[str, str]]:
    """Find what is wrong with an image: code and text."""
    path = os.path.join(folder, str(image.get("file_name")))
    if not os.path.isfile(path):
        return None  # said elsewhere
    try:
        size, stored = _decode(path, turns)
    except Image.DecompressionBombError:
        return None  # large, and OpenCV's business
    except Exception as error:  # Pillow raises nearly anything
        return "picture-unreadable", f"{path}: can't be read ({error})"
    declared = (image.get("width"), image.get("height"))
    if size == declared or any(type(side) not in (int, float) for side in declared):
        return None  # what is no number is said elsewhere
    said = f"{path}: is {size[0]}x{size[1]}, but declared {declared[0]}x{declared[1]}"
    if declared == stored:
        said += ", which is it before it is turned as its Exif data says"
    return "picture-size", said


def _decode(path: str, turns: bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """Decode an image.

    Returns:
        Width and height as training loads it, and as it is if Exif isn't heeded.
    """
    # As bytes: it crashes at a name that is no UTF-8.
    if not cv2.haveImageReader(os.fsencode(path)):
        raise ValueError("no image format that OpenCV knows")
    with Image.open(path) as picture:
        sizes = loaded_size(picture, turns), loaded_size(picture, False)
        # JPEGs are read whole, and computed at an eighth of their size.
        picture.draft(picture.mode, (picture.width // 8, picture.height // 8))
        picture.load()
    return sizes

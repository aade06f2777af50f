"""Checks that images exist, are readable, have the declared size, and are in one split only."""

import hashlib
import os
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from ..datasets.formats.files import is_remote
from ..datasets.formats.images import loaded_size
from ..errors import some
from ..runtime.images import num_frames, why_unreadable
from .annotation_file import AnnotationFile
from .datasets import Dataset
from .finding import ERROR, WARNING, Finding, and_more

_SAMPLE_BYTES = 4096
_UNREADABLE = "picture-unreadable"
_DEEP = "image of 16 bits"  # counted, but no mistake
_SMALL_RANGE = 1 << 14  # a quarter of 16 bits; cameras have 10 to 14


def image_paths(file: AnnotationFile) -> list[str]:
    """List the paths of a dataset's images; return [] if they are in remote storage."""
    folder = file.dataset.folder
    if is_remote(folder):
        return []
    names = (image.get("file_name") for image in file.images)
    return [os.path.join(folder, name) for name in names if isinstance(name, str)]


def check_missing(dataset: Dataset, paths: Sequence[str]) -> list[Finding]:
    """Check that images exist by listing each of their folders once.

    Args:
        dataset: The dataset.
        paths: The paths of the dataset's images.
    """
    listed = {folder: _list(folder) for folder in set(map(os.path.dirname, paths))}
    missing = [
        path for path in paths if os.path.basename(path) not in listed[os.path.dirname(path)]
    ]
    if not missing:
        return []
    folder, name = os.path.split(missing[0])
    similar = {_plain(other): other for other in listed[folder]}.get(_plain(name))
    hint = f" (but {similar} does)" if similar else ""
    others = [os.path.basename(path) for path in missing[1:3]]
    listed = f"{missing[0]} doesn't exist{hint}" + (f", nor {some(others)}" if others else "")
    listed += f", nor {len(missing) - 3:,} more" if len(missing) > 3 else ""
    is_training = dataset.key.startswith("train")
    skip = ", or train without them with LoadReadableImage(unreadable='skip')"
    message = (
        f"{dataset.where}: {len(missing):,} of {len(paths):,} images are missing: {listed}; add "
        "them, set data_prefix=dict(img=...) to their folder, or remove them from the file"
        f"{skip if is_training else ''}"
    )
    skips = dataset.loading.get("unreadable") == "skip" and len(missing) < len(paths)
    return [Finding(WARNING if skips else ERROR, "image-missing", message, len(missing))]


def _list(folder: str) -> set[str]:
    try:
        return set(os.listdir(folder or "."))
    except OSError:
        return set()


def _plain(name: str) -> str:
    """Normalize a name as case-insensitive, Unicode-normalizing file systems do."""
    return unicodedata.normalize("NFC", name).casefold()


def check_images(file: AnnotationFile) -> list[Finding]:
    """Decode all existing images of a dataset, and report unreadable files and wrong sizes.

    Args:
        file: The annotation file.
    """
    dataset = file.dataset
    if is_remote(dataset.folder):
        return []
    color_type = dataset.loading.get("color_type", "color")
    rotates = color_type != "unchanged" and not color_type.endswith("ignore_orientation")
    problems = defaultdict(list)
    for found in _decode_all(dataset.folder, file.images, rotates):
        for code, text in found:
            problems[code].append(text)
    num_deep = len(problems.pop(_DEEP, ()))
    # Training can be configured to skip unreadable images.
    skips = dataset.loading.get("unreadable") == "skip"
    levels = {_UNREADABLE: WARNING if skips else ERROR, "picture-size": ERROR}
    remedies = {
        _UNREADABLE: "replace the file, or remove it from the annotation file",
        "picture-size": "boxes refer to the declared size; correct width and height, or the boxes",
        "image-depth": f"{num_deep:,} images have 16 bits; scale their values to the full "
        "range, both for training and for detection",
        "image-frames": "save the frames as images of their own if they should be used, too",
    }
    return [
        Finding(
            levels.get(code, WARNING),
            code,
            f"{dataset.key}: image {and_more(texts[0], len(texts))}; {remedies[code]}",
            len(texts),
        )
        for code, texts in problems.items()
    ]


def unreadable_images(folder: str, images: Sequence[dict]) -> list[dict]:
    """Decode existing images, and return those that can't be read.

    Args:
        folder: The folder that file names are relative to.
        images: Entries of an annotation file.
    """
    every = zip(images, _decode_all(folder, images, rotates=True))
    return [image for image, found in every if _UNREADABLE in dict(found)]


def _decode_all(
    folder: str, images: Sequence[dict], rotates: bool
) -> Iterator[list[tuple[str, str]]]:
    """Yield the mistakes of each image; see `_decode`."""
    bar = tqdm(images, desc="Reading images", unit="img", disable=None)
    with ThreadPoolExecutor() as pool, bar, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about images that are large or unusual, but readable
        yield from pool.map(lambda image: list(_decode(folder, image, rotates)), bar)


def _decode(folder: str, image: dict, rotates: bool) -> Iterator[tuple[str, str]]:
    """Decode an image, and yield the code and the description of each of its mistakes."""
    path = os.path.join(folder, str(image.get("file_name")))
    if not os.path.isfile(path):
        return  # reported by check_missing
    try:
        read = _read(path, rotates)
    except Image.DecompressionBombError:
        return  # the image is large, but OpenCV has its own limit
    except Exception as error:  # Pillow raises almost any exception
        yield _UNREADABLE, f"{path}: can't be read ({error})"
        return
    if read.num_frames > 1:
        text = f"{path}: has {read.num_frames} frames, of which only the first is used"
        yield "image-frames", text
    if read.values is not None:
        yield _DEEP, path
        low, high = read.values
        if low < high < low + _SMALL_RANGE:
            text = f"{path}: has values from {low} to {high} of 65535, which load as {low >> 8} to "
            yield "image-depth", f"{text}{high >> 8} of 255"
    declared = (image.get("width"), image.get("height"))
    if read.size == declared or any(type(side) not in (int, float) for side in declared):
        return  # sizes that aren't numbers are reported by check_annotations
    text = f"{path}: is {read.size[0]}x{read.size[1]}, but declared {declared[0]}x{declared[1]}"
    if declared == read.stored:
        text += ", its size before it is rotated according to its Exif data"
    yield "picture-size", text


class _ReadImage(NamedTuple):
    """What is known of an image once it has been decoded.

    Attributes:
        size: Width and height as loaded in training.
        stored: Width and height as stored, before Exif rotation.
        num_frames: Number of frames of an animation, or of pages.
        values: Smallest and largest value of an image with 16 bits; None for other images.
    """

    size: tuple[int, int]
    stored: tuple[int, int]
    num_frames: int
    values: Optional[tuple[int, int]]


def _read(path: str, rotates: bool) -> _ReadImage:
    if not _opencv_can_read(path):
        raise ValueError("not an image format that OpenCV supports")
    with Image.open(path) as image:
        sizes = loaded_size(image, rotates), loaded_size(image, False)
        frames = num_frames(image)
        # Such as I;16, and RGB read from RGB;16B, of which Pillow keeps 8 bits.
        is_deep = image.mode[0] in "IF" or ";16" in str(getattr(image, "tile", ""))
        # A JPEG is still read completely, but decoded at an eighth of its size.
        image.draft(image.mode, (max(1, image.width // 8), max(1, image.height // 8)))
        image.load()
    return _ReadImage(*sizes, frames, _values(path) if is_deep else None)


def _opencv_can_read(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:  # OpenCV crashes on names that aren't UTF-8
        content = np.fromfile(path, np.uint8)
        return content.size > 0 and cv2.imdecode(content, 0) is not None
    return cv2.haveImageReader(path)


def _values(path: str) -> Optional[tuple[int, int]]:
    """Return the range of values of an image with 16 bits; None if OpenCV finds fewer bits.

    Raises:
        ValueError: OpenCV can't load the image.
    """
    content = np.fromfile(path, np.uint8)
    if cv2.imdecode(content, cv2.IMREAD_COLOR) is None:
        raise ValueError(why_unreadable(content.tobytes()))
    pixels = cv2.imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    return (int(pixels.min()), int(pixels.max())) if pixels.dtype == np.uint16 else None


def check_shared(
    train: Sequence[tuple[Dataset, Sequence[str]]], others: Sequence[tuple[Dataset, Sequence[str]]]
) -> list[Finding]:
    """Check that no image occurs in both training and evaluation, comparing file contents.

    Args:
        train: The training datasets, each with the paths of its images.
        others: The evaluation datasets, each with the paths of its images.
    """
    trained = [path for _, paths in train for path in paths]
    findings = []
    for dataset, paths in others:
        pairs = _equal_files(trained, paths)
        if not pairs:
            continue
        example = and_more(f"{pairs[0][1]} equals {pairs[0][0]}", len(pairs))
        message = (
            f"{dataset.where}: {len(pairs):,} of {len(paths):,} images are also in the training "
            f"set: {example}; AP then says nothing about new images; remove "
            "them from one of the sets"
        )
        # Not an error: training and evaluating on the same few images is a common sanity check.
        findings.append(Finding(WARNING, "image-shared", message, len(pairs)))
    return findings


def _equal_files(ours: Sequence[str], theirs: Sequence[str]) -> list[tuple[str, str]]:
    """Return pairs of files from `ours` and `theirs` that have the same bytes."""
    keys: dict[str, tuple] = dict.fromkeys([*ours, *theirs], ())
    for measure in (os.path.getsize, _sample, _digest):  # from fast to exact
        keys = {path: (*key, _try(measure, path)) for path, key in keys.items()}
        shared = {keys[p] for p in ours if p in keys} & {keys[p] for p in theirs if p in keys}
        keys = {p: key for p, key in keys.items() if key in shared and key[-1] is not None}
    by_key = {keys[path]: path for path in reversed(ours) if path in keys}
    return [(by_key[keys[path]], path) for path in theirs if path in keys]


def _try(measure: Callable[[str], Any], path: str) -> Any:
    try:
        return measure(path)
    except OSError:
        return None


def _sample(path: str) -> bytes:
    """Read the end of a file, where compressed images are likely to differ."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - _SAMPLE_BYTES))
        return file.read()


def _digest(path: str) -> bytes:
    return hashlib.sha256(Path(path).read_bytes()).digest()

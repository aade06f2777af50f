"""Results as files that COCO's tools and spreadsheets read."""

import csv
import io
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..fileio import atomic_write
from .packages import load

FILES = ("results.json", "images.json", "results.csv")


def write_results(folder: Path, records: Iterable[dict[str, Any]], classes: Sequence[str]) -> int:
    """Write the results of many images, each file whole or not at all.

    `results.json` is a list of COCO results; `images.json` is a COCO file with the images and
    categories that its ids stand for, so that `COCO("images.json").loadRes("results.json")` reads
    both; `results.csv` has a line for each object.

    Args:
        folder: Where to.
        records: `file`, `width`, `height` and `detections`, as `Detections.to_coco` writes them,
            for each image in turn; and `frame` for one of a video. Images are numbered from 1.
        classes: Names of the classes.

    Returns:
        How many objects there are.
    """
    images, results = [], []
    rows: list[Sequence[Any]] = []
    frames = False
    for image_id, record in enumerate(records, 1):
        size = dict(width=record["width"], height=record["height"])
        image = dict(id=image_id, file_name=record["file"], **size)
        where = [record["file"]]
        if "frame" in record:
            frames = True
            image["frame"] = record["frame"]
            where.append(record["frame"])
        images.append(image)
        for found in record["detections"]:
            results.append({**found, "image_id": image_id})
            left, top, width, height = found["bbox"]
            box = [round(v, 3) for v in (left, top, left + width, top + height)]
            rows.append([*where, classes[found["category_id"] - 1], found["score"], *box])
    categories = [dict(id=index, name=name) for index, name in enumerate(classes, 1)]
    table = io.StringIO()
    header = ["file", *["frame"] * frames, "class", "score", "x1", "y1", "x2", "y2"]
    csv.writer(table).writerows([header, *rows])
    truth = dict(info={}, licenses=[], images=images, annotations=[], categories=categories)
    contents = (json.dumps(results), json.dumps(truth), table.getvalue())
    for name, content in zip(FILES, contents):
        # Names of files may hold bytes that are no UTF-8; JSON escapes them by itself.
        write_bytes(folder / name, content.encode("utf-8", "backslashreplace"))
    return len(results)


def printable(text: str) -> str:
    """Escape what a terminal can't show, such as the bytes of a name that are no UTF-8."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def write_picture(path: Path, image: np.ndarray) -> None:
    """Write a picture, whole or not at all.

    Args:
        path: Its file, `.jpg`, `.jpeg` or `.png`; folders are made.
        image: uint8 `(height, width, 3)`, BGR.

    Raises:
        UserError: It can't be written.
    """
    _, encoded = load("cv2").imencode(path.suffix, image)
    write_bytes(path, encoded.tobytes())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, and make its folder.

    Raises:
        UserError: It can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(content)
    except OSError as error:
        raise UserError(
            f"--out: {path} can't be written ({error.strerror or error}); make room, or choose "
            "another place"
        ) from error

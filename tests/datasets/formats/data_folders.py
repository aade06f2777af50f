"""Datasets of a few small images in the formats that users have."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

ORIENTATION = 0x0112  # the tag of Exif
SIZE = (60, 40)  # default width and height of images
BOX = [5, 6, 20, 10]


def save_image(path: Path, seed: int = 0, mode: str = "RGB", turned: bool = False) -> Path:
    """Write an image of noise; `turned` is stored lying and displayed upright."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.RandomState(seed).randint(0, 255, (*SIZE[::-1], 3), np.uint8)
    image = Image.fromarray(noise)
    if mode == "I;16":
        image = Image.fromarray(noise[..., 0].astype(np.uint16) * 256)
    exif = Image.Exif()
    if turned:
        exif[ORIENTATION] = 6
    (image if mode == "I;16" else image.convert(mode)).save(path, exif=exif)
    return path


def write(path: Path, content) -> Path:
    """Write text, or anything else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def found(source, split: str = "train") -> list:
    """Give file name, class and box of each object, and the names of images without objects."""
    content = getattr(source, split)
    names = {category["id"]: category["name"] for category in content["categories"]}
    files = {image["id"]: image["file_name"] for image in content["images"]}
    objects = [
        (files[a["image_id"]], names[a["category_id"]], a["bbox"]) for a in content["annotations"]
    ]
    empty = set(files.values()) - {file for file, _, _ in objects}
    return sorted(objects) + sorted(empty)


def sizes(source, split: str = "train") -> dict:
    """Give width and height of each image by its name."""
    images = getattr(source, split)["images"]
    return {image["file_name"]: (image["width"], image["height"]) for image in images}


def remark(source, start: str) -> str:
    """Give the one remark that starts so."""
    (text,) = [text for text in source.remarks if text.startswith(start)]
    return text


def content(*names, box=BOX, ids=(1, 2), **keys):
    """Give COCO content: an object in each image; the classes alternate between cat and dog."""
    return dict(
        images=[
            dict(id=i, file_name=name, width=SIZE[0], height=SIZE[1])
            for i, name in enumerate(names, 1)
        ],
        annotations=[
            dict(id=i, image_id=i, category_id=ids[i % 2 - 1], bbox=box, area=200, iscrowd=0) | keys
            for i in range(1, len(names) + 1)
        ],
        categories=[dict(id=ids[0], name="cat"), dict(id=ids[1], name="dog")],
    )

"""A COCO 2017 of a few small pictures."""

import itertools
import json

import numpy as np
from mmdet.datasets import CocoDataset
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_images

NOT_USED = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}  # ids of COCO's that have no category
CATEGORIES = dict(
    zip((id for id in range(1, 91) if id not in NOT_USED), CocoDataset.METAINFO["classes"])
)
ORIENTATION = 0x0112  # the tag of Exif
# Width and height as displayed, category and box (x, y, w, h) of each object.
LANDSCAPE, PORTRAIT = (96, 64), (64, 96)
PICTURES = {
    "colour": (LANDSCAPE, [(1, (6, 8, 40, 20)), (90, (60, 30, 24, 28))]),
    "grey": (PORTRAIT, [(18, (10, 12, 20, 44))]),
    "turned": (PORTRAIT, [(3, (4, 50, 36, 40)), (3, (40, 6, 16, 30))]),
    "cmyk": (LANDSCAPE, [(44, (30, 10, 50, 30))]),
    "empty": (LANDSCAPE, []),
}


def make_mini_coco(root):
    """Write COCO 2017's layout with the same few objects for training and validation.

    Objects are boxes of one colour, on other parts of a photograph for training than for
    validation. One picture is grey, one CMYK, one stored lying and displayed upright (Exif), one
    has no annotation; `colour` has a crowd, too.
    """
    (root / "annotations").mkdir()
    for split, left in (("train", 20), ("val", 40)):
        (root / f"{split}2017").mkdir()
        content = dict(
            images=[],
            annotations=[],
            categories=[dict(id=i, name=n) for i, n in CATEGORIES.items()],
        )
        for id, (name, (size, objects)) in enumerate(PICTURES.items(), 1):
            file = f"{id:012}.jpg"
            _draw(root / f"{split}2017" / file, name, size, objects, left)
            content["images"].append(dict(id=id, file_name=file, width=size[0], height=size[1]))
            for category, box in objects:
                _annotate(content, id, category, box, segmentation=[_outline(*box)])
        width, height = LANDSCAPE
        rows = 4
        crowd = dict(size=[height, width], counts=list(_columns(height, width, rows)))
        box = (0, height - rows, width, rows)
        _annotate(content, 1, 1, box, segmentation=crowd, iscrowd=1)
        path = root / "annotations" / f"instances_{split}2017.json"
        path.write_text(json.dumps(content))


def _draw(path, name, size, objects, left):
    photograph = Image.fromarray(load_sample_images().images[0])
    picture = photograph.resize((160, 107)).crop((left, 5, left + size[0], 5 + size[1]))
    for _, (x, y, w, h) in objects:
        ImageDraw.Draw(picture).rectangle((x, y, x + w - 1, y + h - 1), fill=(230, 60, 40))
    if name == "grey":
        picture = picture.convert("L")
    if name == "cmyk":
        picture = picture.convert("CMYK")
    exif = Image.Exif()
    if name == "turned":
        picture = picture.transpose(Image.Transpose.ROTATE_90)
        exif[ORIENTATION] = 6  # to be turned clockwise
    picture.save(path, quality=95, subsampling=0, exif=exif)


def _outline(x, y, w, h):
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def _columns(height, width, rows):
    """Uncompressed run lengths, column by column, of the lowest rows."""
    return itertools.chain.from_iterable((height - rows, rows) for _ in range(width))


def _annotate(content, image_id, category, box, segmentation, iscrowd=0):
    content["annotations"].append(
        dict(
            id=len(content["annotations"]) + 1,
            image_id=image_id,
            category_id=category,
            bbox=list(box),
            area=float(np.prod(box[2:])),
            iscrowd=iscrowd,
            segmentation=segmentation,
        )
    )

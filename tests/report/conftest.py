"""Truth with known content, and detections made from it with seeded mistakes."""

import contextlib
import copy
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

CATEGORIES = {3: "cat", 7: "dog", 20: "<b>bird</b>"}


@pytest.fixture
def truth():
    """Twelve images and three classes, with ids that don't begin at 1 and one that is 0."""
    random = np.random.default_rng(0)
    images = [
        {"id": 5 * i, "file_name": f"a b/ü{i}.png", "width": 160, "height": 120} for i in range(12)
    ]
    annotations = []
    for image in images[:-1]:
        for _ in range(random.integers(1, 6)):
            x, y = random.uniform(0, 50, 2)
            width, height = random.uniform(8, 105), random.uniform(8, 65)
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": image["id"],
                    "category_id": int(random.choice(list(CATEGORIES))),
                    "bbox": [x, y, width, height],
                    "area": 0.7 * width * height,
                    "segmentation": [[x, y, x + width, y, x + width, y + height, x, y + height]],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": key, "name": name} for key, name in CATEGORIES.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture
def detections(truth):
    """Moved boxes, a tenth of another class, a fifth missing, and some of nothing."""
    random = np.random.default_rng(1)
    found = []
    for truth_box in truth["annotations"]:
        if random.random() < 0.8:
            category = truth_box["category_id"]
            if random.random() < 0.1:
                category = int(random.choice(list(CATEGORIES)))
            box = (np.array(truth_box["bbox"]) + random.normal(0, 2, 4)).tolist()
            found.append(_detection(truth_box["image_id"], category, box, random.uniform(0.4, 1)))
    for image in truth["images"]:
        box = [*random.uniform(0, 80, 2), *random.uniform(8, 40, 2)]
        category = int(random.choice(list(CATEGORIES)))
        found.append(_detection(image["id"], category, box, random.uniform(0, 0.7)))
    return found


def _detection(image_id, category_id, box, score):
    box = [float(value) for value in box]
    return {
        "image_id": image_id,
        "category_id": category_id,
        "bbox": box,
        "score": float(score),
    }


@pytest.fixture
def make_detection():
    return _detection


@pytest.fixture
def coco_stats():
    """pycocotools itself, as its users call it."""

    def compute(truth, detections, kind="bbox", **params):
        truth, detections = copy.deepcopy((truth, detections))
        for annotation in truth["annotations"]:
            annotation["id"] += 1  # 0 would be no match
        with contextlib.redirect_stdout(io.StringIO()):
            index = COCO()
            index.dataset = truth
            index.createIndex()
            evaluator = COCOeval(index, index.loadRes(detections), kind)
            vars(evaluator.params).update(params)
            evaluator.evaluate()
            evaluator.accumulate()
            evaluator.summarize()
        return evaluator.stats

    return compute


@pytest.fixture
def folder(truth, tmp_path):
    """Folder with the images of `truth`."""
    (tmp_path / "a b").mkdir()
    random = np.random.default_rng(2)
    for image in truth["images"]:
        shape = (image["height"], image["width"], 3)
        pixels = random.integers(0, 256, shape, np.uint8)
        Image.fromarray(pixels).save(tmp_path / image["file_name"])
    return tmp_path


class _Tables(HTMLParser):
    def __init__(self):
        super().__init__()
        self.rows, self.cell = [], None

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.cell = ""

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += f"{data} "

    def handle_endtag(self, tag):
        if tag in ("th", "td"):
            self.rows[-1].append(self.cell.strip())
            self.cell = None


@pytest.fixture
def rows():
    """All rows of the tables of a section, as texts."""

    def read(path, section):
        parser = _Tables()
        text = path.read_text().partition(f'<section id="{section}">')[2].partition("</section>")[0]
        parser.feed(text)
        return parser.rows

    return read

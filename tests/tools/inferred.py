"""Results of `vanillanet-det infer`, and how they are compared."""

import numpy as np
from pycocotools.coco import COCO


def read(out):
    """Detections by file name, read with pycocotools."""
    coco = COCO(str(out / "images.json"))
    results = coco.loadRes(str(out / "results.json"))
    return {
        image["file_name"]: [
            (coco.cats[a["category_id"]]["name"], a["score"], *a["bbox"])
            for a in results.imgToAnns[image["id"]]
        ]
        for image in coco.dataset["images"]
    }


def assert_equal(found, expected):
    assert list(found) == list(expected)
    for name, rows in found.items():
        assert [row[0] for row in rows] == [row[0] for row in expected[name]]
        numbers = [[row[1:] for row in result[name]] for result in (found, expected)]
        np.testing.assert_allclose(*numbers, atol=2e-2)

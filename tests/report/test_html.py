"""The report shows the computed metrics, for any dataset."""

import base64
import os
import re
import warnings

import numpy as np
import pytest
from PIL import Image

from vanillanet_det import UserError
from vanillanet_det.report import Curves, Series, write_report
from vanillanet_det.report.coco_eval import prepare_detections, prepare_truth
from vanillanet_det.report.matches import confuse, match
from vanillanet_det.report.metrics import compute_metrics

DASH = "\u2013"


@pytest.fixture
def write(tmp_path):
    """Write a report; returns its path."""

    def make(truth, detections, root=None, curves=None, facts=(("Model", "RetinaNet"),), **more):
        path = tmp_path / "report.html"
        write_report(
            path, "Title", truth, detections, root or tmp_path, curves or {}, facts, **more
        )
        return path

    return make


def number(value, digits=3):
    return DASH if value is None else f"{value:.{digits}f}"


def alts(path):
    return re.findall(r'<img src="data:image/[^"]*"[^>]* alt="([^"]*)"', path.read_text())


def test_tables_hold_the_metrics(write, truth, detections, folder, rows, coco_stats):
    truth["categories"].append({"id": 99, "name": "fish"})
    path = write(truth, detections, folder)
    stats = coco_stats(truth, detections)
    tiles = re.findall(r"<li><b>(.*?)</b>(.*?)</li>", path.read_text())
    assert tiles[:3] == [
        *((number(value), name) for value, name in zip(stats, ("box AP", "box AP50", "box AP75"))),
    ]
    prepared = prepare_truth(truth)
    metrics = compute_metrics(prepared, prepare_detections(prepared, detections))
    assert tiles[3:] == [
        (number(metrics.precision), "precision"),
        (number(metrics.recall), "recall"),
    ]
    *classes, total = rows(path, "classes")[1:]
    assert classes == [
        [
            *(str(c.number), c.name, str(c.instances), number(c.ap), number(c.ap50)),
            *(number(c.precision), number(c.recall), number(c.best_f1), number(c.best_score, 2)),
        ]
        for c in metrics.classes
    ]
    assert classes[-1][1:] == ["fish", "0", *[DASH] * 6]
    assert total[2:5] == [str(len(truth["annotations"])), number(stats[0]), number(stats[1])]
    sizes = [row for row in rows(path, "sizes") if row[0] != "size"]
    assert sizes == [
        [s.name, str(s.instances), number(s.ap), number(s.recall)]
        for s in (*metrics.coco_sizes, *metrics.quarters)
    ]
    images = match(metrics.boxes, prepared["images"], metrics.score)
    counts = confuse(images, prepared["categories"]).counts
    header, *matrix = rows(path, "confusion")
    assert header[1:] == ["cat", "dog", "<b>bird</b>", "fish", "missed"]
    for row, expected in zip(matrix, counts):
        sums = max(expected.sum(), 1)
        cells = [f"{count / sums:.0%} {count}" if count else "" for count in expected]
        assert [re.sub(r"\s+", " ", cell) for cell in row[1:]] == cells
    assert [row[0] for row in matrix][-1] == "background"


def test_mask_ap_needs_masks(write, truth, detections, folder):
    assert "mask AP" not in write(truth, detections, folder).read_text()
    for found in detections:
        x, y, width, height = np.maximum(found["bbox"], 0)
        found["segmentation"] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
    assert "mask AP</li>" in write(truth, detections, folder).read_text()


def test_texts_of_the_user_are_escaped(write, truth, detections, folder):
    path = write(truth, detections, folder, facts=[("<script>", 'a "b" & <c>')])
    text = path.read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "&lt;c&gt;" in text
    assert "<b>bird" not in text
    assert "&lt;b&gt;bird&lt;/b&gt;" in text
    assert "a b/ü" in text


def test_the_precision_of_a_class_has_the_name_of_the_gallery(write, truth, detections, folder):
    for category, name in zip(truth["categories"], ("_cat", "狗", r"$\frac$")):
        category["name"] = name
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of characters that the font lacks
        text = write(truth, detections, folder).read_text()
    address = re.search(r'<img src="([^"]*)" alt="Precision-recall curves', text).group(1)
    chart = base64.b64decode(address.partition(",")[2]).decode()
    for label in (" _cat", "#2", r"$\frac$"):  # matplotlib writes labels as comments also
        assert f"<!-- {label} -->" in chart


def test_a_file_name_that_is_not_utf_8(write, truth, detections, folder):
    truth["images"][0]["file_name"] = name = os.fsdecode(b"a b/\xfc.png")
    os.rename(folder / "a b/ü0.png", folder / name)
    assert r"a b/\udcfc.png" in write(truth, detections, folder).read_text()


def test_nothing_is_fetched(write, truth, detections, folder):
    text = write(truth, detections, folder).read_text()
    addresses = re.findall(r'(?:src|href)="([^"]{0,5})', text)
    assert set(addresses) == {"data:"}
    assert "url(" not in text
    assert "@import" not in text


def test_worst_and_best_images_are_shown_in_order(write, truth, detections, folder):
    path = write(truth, detections, folder)
    notes = re.findall(r"<figcaption><b>(.*?)</b><br>F1 (.*?), mean IoU (.*?):", path.read_text())
    assert len(notes) == 12
    f1 = [float(value) for _, value, _ in notes]
    assert f1[:6] == sorted(f1[:6])
    assert f1[6:] == sorted(f1[6:], reverse=True)
    assert len({name for name, *_ in notes}) == 12
    assert sum(alt.startswith("Ground truth of ") for alt in alts(path)) == 12
    assert sum(alt.startswith("Detections of ") for alt in alts(path)) == 12


@pytest.mark.slow
def test_curves_are_drawn_and_compared(write, truth, detections):
    curves = Curves(
        losses={"loss": Series((1, 2), (2.0, 1.0))},
        learning_rate=Series((1, 2), (0.1, 0.1)),
        metrics={"coco/bbox_mAP": Series((1, 2), (0.1, 0.2))},
    )
    one = write(truth, detections, curves={"a": curves})
    assert [alt for alt in alts(one) if alt.startswith("Training chart")] == [
        f"Training chart: {name}" for name in ("losses", "average precision", "learning rate")
    ]
    size = _svg_paths(one)
    assert _svg_paths(write(truth, detections, curves={"a": curves, "b": curves})) > size
    assert "Training" not in write(truth, detections, curves={"a": Curves()}).read_text()


def _svg_paths(path):
    images = re.findall(r"data:image/svg\+xml;base64,([^\"]*)", path.read_text())
    return sum(base64.b64decode(image).count(b'id="line2d') for image in images)


def test_many_classes_have_a_list_of_pairs_and_a_mean_curve(write, rows, make_detection):
    categories = [{"id": i, "name": f"class {i}"} for i in range(1, 81)]
    images = [{"id": i, "file_name": f"{i}.png"} for i in range(1, 81)]
    box = [10, 10, 30, 30]
    annotations = [{"id": i, "image_id": i, "category_id": i, "bbox": box} for i in range(1, 81)]
    found = [make_detection(i, i if i > 3 else i + 1, box, 0.9) for i in range(1, 81)]
    found += [make_detection(i, 7, [100, 100, 20, 20], 0.9) for i in range(1, 81)]
    truth = {"images": images, "annotations": annotations, "categories": categories}
    path = write(truth, found)
    assert rows(path, "confusion")[1:] == [
        [f"class {i}", f"class {i + 1}", "1", "100.0%"] for i in (1, 2, 3)
    ]
    assert "70 others" not in path.read_text()  # it is in an image
    assert len(rows(path, "classes")) == 82


@pytest.mark.parametrize("kind", ["no detections", "no truth", "one class", "no images"])
def test_poor_datasets_make_a_report(write, truth, detections, rows, kind):
    if kind == "no detections":
        detections = []
    elif kind == "no truth":
        truth["annotations"] = []
    elif kind == "no images":
        truth, detections = {**truth, "images": [], "annotations": []}, []
    else:
        truth["categories"] = truth["categories"][:1]
        for entry in (*truth["annotations"], *detections):
            entry["category_id"] = 3
    path = write(truth, detections)
    text = path.read_text()
    assert "-1.000" not in text
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text)
    total = rows(path, "classes")[-1]
    if kind in ("no truth", "no images"):
        assert total[3:5] == [DASH, DASH]
        assert "Precision-recall curves" not in text
    elif kind == "no detections":
        assert total[3:8] == ["0.000", "0.000", DASH, "0.000", "0.000"]


def test_a_score_may_be_given(write, truth, detections):
    assert "least <b>0.77</b>" in write(truth, detections, score=0.77).read_text()


@pytest.mark.slow
def test_a_report_with_large_images_stays_small(write, truth, detections, folder):
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (1500, 2000, 3), np.uint8))
    noise.save(folder / "noise.jpg")
    for image in truth["images"]:
        image["file_name"] = "noise.jpg"
    path = write(truth, detections, folder)
    assert path.stat().st_size < 8e6  # noise is the worst case for JPEG


def test_a_failed_write_changes_nothing(write, truth, detections, tmp_path, file_size_limit):
    path = tmp_path / "report.html"
    path.write_text("old")
    with (
        file_size_limit(2000),
        pytest.raises(UserError, match=r"can't be written \(File too large"),
    ):
        write(truth, detections)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == [path.name]

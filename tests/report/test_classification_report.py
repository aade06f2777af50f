"""The report of a classifier."""

import re

import numpy as np
import pytest

from vanillanet_det import UserError
from vanillanet_det.report.classification import (
    ClassifiedImage,
    class_rows,
    confusion_matrix,
    write_classification_report,
)

CLASSES = ("cat", "dog & <b>", "emu", "nobody")
TARGETS = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 1, 1, 1, 1, 0])


def test_classes_are_summarised():
    matrix = confusion_matrix(PREDICTED, TARGETS, 4)
    assert matrix.tolist() == [[1, 2, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    cat, dog, emu, nobody = class_rows(matrix, CLASSES)
    assert (cat.images, cat.accuracy, cat.precision) == (3, pytest.approx(1 / 3), 0.5)
    assert cat.confused == "dog & <b> (2)"
    assert (dog.accuracy, dog.precision, dog.confused) == (1, 0.5, "")
    assert (emu.accuracy, emu.precision, emu.confused) == (0, None, "cat (1)")
    assert (nobody.accuracy, nobody.precision) == (None, None)


@pytest.fixture
def write(tmp_path):
    def write(path=tmp_path / "report.html", classes=CLASSES, heat=True):
        logits = np.eye(len(classes), dtype=np.float32)[PREDICTED] * np.arange(1, 7)[:, None]
        shown = []

        def show(index, label):
            assert label == PREDICTED[index]
            shown.append(index)
            pixels = np.full((6, 8, 3), 40 * index, np.uint8)
            return ClassifiedImage(f"{index}.png", pixels, np.ones((6, 8)) if heat else None)

        forms = {"average": (0.5, None), "network": (0.25, None)}
        write_classification_report(
            path, "<Title>", classes, logits, TARGETS, forms, {}, [("Epochs", "3")], show, "Note."
        )
        return path.read_text(), shown

    return write


def test_what_it_shows(write):
    html, shown = write()
    assert "&lt;Title&gt;" in html
    assert "dog &amp; &lt;b&gt;" in html
    assert "<b>" not in html.partition("taken for")[2].partition("</table>")[0]
    # Wrong, surest first; right, least sure first; right, surest first.
    assert shown == [5, 2, 1, 0, 3, 4, 4, 3, 0]
    captions = re.findall(r"<figcaption><b>(\d)\.png</b><br>(.*?)</figcaption>", html)
    assert captions[0] == ("5", "cat, 99%; is emu, 0%")
    assert captions[-1] == ("0", "cat, 48%")
    assert html.count("Class activation map of") == 9
    assert html.count('<tr><th scope="row">cat</th>') == 2


def test_without_maps_and_with_many_classes(write):
    html, _ = write(classes=[str(number) for number in range(21)], heat=False)
    assert "Class activation map of" not in html
    assert "Confusion" not in html


def test_a_folder_that_is_missing(write, tmp_path):
    with pytest.raises(UserError, match=r"none/report\.html: can't be written"):
        write(tmp_path / "none/report.html")

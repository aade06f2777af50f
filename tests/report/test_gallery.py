"""Drawings of truth and detections, as MMDetection's loader sees the files."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from vanillanet_det.report.gallery import SIDE, draw_matches
from vanillanet_det.report.matches import ImageMatches

NAMES = {1: (1, "cat"), 2: (2, "猫")}
BLUE, RED, GREY, WHITE = (0, 114, 178), (213, 94, 0), (119, 119, 119), (255, 255, 255)


def entry(id, category, box, **more):
    return {"id": id, "category_id": category, "bbox": box, "iscrowd": 0, "score": 0.9, **more}


@pytest.fixture
def draw(tmp_path):
    """Draw on a grey image; returns the drawing, truth and detections as arrays."""

    def make(truth=(), found=(), pairs=None, crowd=(), size=(100, 50), masks=False, image=None):
        image = image or Image.new("RGB", size, (128, 128, 128))
        image.save(tmp_path / "a b ü.png")
        matches = ImageMatches(
            {"file_name": "a b ü.png"}, list(truth), list(found), pairs or {}, set(crowd)
        )
        drawing = draw_matches(matches, tmp_path, NAMES, masks)
        return drawing, decode(drawing.truth), decode(drawing.found)

    return make


def decode(address):
    kind, _, data = address.partition(",")
    assert kind == "data:image/jpeg;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    return np.asarray(image).astype(int)


def near(pixels, colour):
    return np.abs(pixels - colour).max(axis=-1) < 40


def extent(pixels, colour):
    rows, columns = np.nonzero(near(pixels, colour))
    return columns.min(), rows.min(), columns.max(), rows.max()


def test_boxes_are_where_they_are_in_the_data(draw):
    drawing, truth, found = draw([entry(1, 1, [50, 20, 30, 20])], [entry(1, 1, [60, 20, 30, 20])])
    scale = 2 * SIDE / 100
    assert drawing.size == (SIDE, SIDE / 2)
    assert truth.shape == (SIDE, 2 * SIDE, 3)
    for pixels, left in ((truth, 50), (found, 60)):
        x0, y0, x1, y1 = extent(pixels, RED)
        assert (x0, x1, y1) == pytest.approx([left * scale, (left + 30) * scale, 40 * scale], abs=4)
        assert y0 < 20 * scale - 20  # the name is above


def test_colours_tell_what_is_correct(draw):
    truth = [
        entry(1, 1, [5, 20, 20, 20]),
        entry(2, 1, [40, 20, 20, 20]),
        entry(3, 1, [75, 20, 20, 20], iscrowd=1),
    ]
    found = [
        entry(11, 1, [5, 20, 20, 20]),
        entry(12, 1, [40, 30, 20, 10]),
        entry(13, 1, [80, 25, 5, 5]),
    ]
    drawing, *both = draw(truth, found, pairs={11: 1}, crowd={13})
    for pixels in both:
        thirds = np.array_split(pixels, 3, axis=1)
        for third, colour in zip(thirds, (BLUE, RED, GREY)):
            counts = [near(third, other).sum() for other in (BLUE, RED, GREY)]
            if colour == GREY:
                assert counts[0] == counts[1] == 0
            else:
                assert counts[(BLUE, RED).index(colour)] > 500
                assert counts[(RED, BLUE).index(colour)] == 0
    assert drawing.note == "F1 0.50, mean IoU 1.00: 1 correct, 1 missed, 1 wrong"


def test_scores_and_names_are_written(draw):
    _, truth, found = draw([entry(1, 1, [50, 30, 40, 15])], [entry(1, 1, [50, 30, 40, 15])])
    # The score makes the label longer.
    fields = [near(pixels[:165], RED).any(axis=0).sum() for pixels in (truth, found)]
    assert fields[1] > fields[0] + 30
    assert near(found, WHITE).sum() > near(truth, WHITE).sum() > 50


def test_a_name_without_letters_in_the_font_is_its_number(monkeypatch, draw):
    written = []
    monkeypatch.setattr(
        "PIL.ImageDraw.ImageDraw.text", lambda self, xy, text, **_: written.append(text)
    )
    draw([entry(1, 1, [5, 5, 9, 9]), entry(2, 2, [5, 5, 9, 9])], [entry(3, 2, [5, 5, 9, 9])])
    assert written == ["cat", "#2", "#2 0.90"]


def test_boxes_outside_are_drawn_at_the_edge(draw):
    _, truth, _ = draw([entry(1, 1, [-20, -20, 40, 200]), entry(2, 1, [90, 45, 500, 500])])
    assert near(truth[-3:], RED).any()
    draw([entry(1, 1, [500, 500, 10, 10])])


def test_masks_are_laid_over_the_image_if_wanted(draw):
    box, outline = [20, 10, 60, 30], [[20, 10, 80, 10, 80, 40, 20, 40]]
    truth = [entry(1, 1, box, segmentation=outline)]
    _, with_mask, _ = draw(truth, masks=True)
    _, without, _ = draw(truth)
    middle = slice(SIDE // 2 - 10, SIDE // 2 + 10), slice(SIDE - 10, SIDE + 10)
    assert without[middle].mean(axis=(0, 1)) == pytest.approx((128,) * 3, abs=3)
    veiled = 0.65 * 128 + 0.35 * np.array(RED)
    assert with_mask[middle].mean(axis=(0, 1)) == pytest.approx(veiled, abs=4)


@pytest.mark.parametrize(("size", "shown"), [((3000, 1000), (288, 96)), ((20, 40), (144, 288))])
def test_large_and_small_images_get_one_size(draw, size, shown):
    drawing, truth, _ = draw(size=size)
    assert drawing.size == shown
    assert truth.shape[:2] == (2 * shown[1], 2 * shown[0])


@pytest.mark.parametrize("mode", ["P", "L", "1", "LA", "RGBA", "I;16"])
def test_all_kinds_of_images_are_drawn(draw, mode):
    if mode == "I;16":
        image = Image.fromarray(np.full((50, 100), 65535, np.uint16))
    else:
        image = Image.new("RGB", (100, 50), WHITE).convert(mode)
    _, truth, _ = draw(image=image)
    assert truth.min() > 250


def test_cmyk_and_rotated_images_are_as_the_loader_sees_them(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be rotated by 90 degrees
    Image.new("RGB", (100, 50), (255, 0, 0)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("CMYK", (100, 50), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg")
    for name, size in (("turned.jpg", (144, 288)), ("cmyk.jpg", (288, 144))):
        drawing = draw_matches(ImageMatches({"file_name": name}), tmp_path, NAMES, False)
        assert drawing.size == size
        red, green, blue = decode(drawing.truth).mean(axis=(0, 1))
        assert red > 200
        assert max(green, blue) < 60


def test_a_file_that_can_not_be_read_is_reported(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    for name in ("broken.jpg", "missing.jpg"):
        drawing = draw_matches(ImageMatches({"file_name": name}), tmp_path, NAMES, False)
        assert drawing.truth is None
        assert f"{name}: can't be read" in drawing.note

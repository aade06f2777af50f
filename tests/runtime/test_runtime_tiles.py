"""Large images are cut into tiles, and what tiles find is merged."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from vanillanet_det import UserError
from vanillanet_det.runtime import Detections, Detector
from vanillanet_det.runtime.base_detector import BaseDetector
from vanillanet_det.runtime.images import PreparedImage, as_bgr
from vanillanet_det.runtime.tiles import Tiles, merge

SIZE = (90, 250)
WINDOWS = [(0, 0, 100, 90), (75, 0, 175, 90), (150, 0, 250, 90)]


@pytest.mark.parametrize("size", [(64, 64), (48, 100), (300, 300)])
@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("image", [(64, 64), (65, 64), (200, 333), (32, 500), (3, 5)])
def test_tiles_cover_the_image_and_overlap(size, overlap, image):
    windows = Tiles(size, overlap).windows(*image)
    covered = np.zeros(image, int)
    for left, top, right, bottom in windows:
        assert (bottom - top, right - left) == tuple(map(min, image, size))
        covered[top:bottom, left:right] += 1
    assert covered.shape == image
    assert covered.min() >= 1
    for axis in (0, 1):
        starts = sorted({window[axis] for window in windows})
        shared = [start + size[1 - axis] - after for start, after in zip(starts, starts[1:])]
        assert all(side >= int(overlap * size[1 - axis]) for side in shared)
    if image <= size and image[1] <= size[1]:
        assert len(windows) == 1


def detections(*rows, masks=False, size=(90, 100)):
    boxes = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
    drawn = np.zeros((len(rows), *size), bool)
    for mask, (left, top, right, bottom) in zip(drawn, boxes.astype(int)):
        mask[top:bottom, left:right] = True
    return Detections(
        boxes,
        np.array([row[4] for row in rows], np.float32),
        np.array([row[5] for row in rows], np.int64),
        drawn if masks else None,
        ("a", "b"),
        size,
    )


def test_an_object_in_two_tiles_counts_once_and_the_higher_score_wins():
    found = [
        detections((80, 10, 98, 30, 0.6, 0)),
        detections((6, 10, 23, 30, 0.7, 0)),
        detections(),
    ]
    merged = merge(found, WINDOWS, SIZE)
    assert merged.boxes.tolist() == [[81, 10, 98, 30]]
    assert merged.scores.tolist() == pytest.approx([0.7])


def test_a_whole_object_replaces_its_part_even_of_a_higher_score():
    found = [
        detections((85, 10, 100, 30, 0.9, 0)),
        detections((10, 10, 50, 30, 0.5, 0)),
        detections(),
    ]
    assert merge(found, WINDOWS, SIZE).boxes.tolist() == [[85, 10, 125, 30]]


def test_parts_become_one_over_any_number_of_tiles():
    found = [
        detections((40, 10, 100, 30, 0.5, 0), masks=True),
        detections((0, 10, 100, 30, 0.8, 0), masks=True),
        detections((0, 10, 30, 30, 0.6, 0), masks=True),
    ]
    merged = merge(found, WINDOWS, SIZE)
    assert merged.boxes.tolist() == [[40, 10, 180, 30]]
    assert merged.scores.tolist() == pytest.approx([0.8])
    expected = np.zeros(SIZE, bool)
    expected[10:30, 40:180] = True
    np.testing.assert_array_equal(merged.masks, expected[None])


def test_two_whole_objects_may_overlap_where_tiles_do():
    windows, size = [(0, 0, 100, 90), (50, 0, 150, 90)], (90, 150)
    found = [detections((10, 10, 90, 30, 0.9, 0)), detections((10, 10, 90, 30, 0.8, 0))]
    assert len(merge(found, windows, size)) == 2  # IoU of 0.33, but 0.6 in the shared pixels


def test_other_classes_and_neighbours_are_kept():
    found = [
        detections((80, 10, 98, 30, 0.6, 0), (80, 12, 98, 31, 0.5, 0)),  # by one tile
        detections((5, 10, 23, 30, 0.7, 1), (23, 10, 40, 30, 0.9, 0)),
        detections(),
    ]
    merged = merge(found, WINDOWS, SIZE)
    assert merged.scores.tolist() == pytest.approx([0.9, 0.7, 0.6, 0.5])
    assert merged.labels.tolist() == [0, 1, 0, 0]
    assert merged.size == SIZE


class Components(BaseDetector):
    """Finds rectangles of one colour each, exactly; the red value is the class."""

    def prepare(self, source):
        image = source[1] if isinstance(source, tuple) else source
        try:
            pixels = as_bgr(image)
        except UserError as error:
            return PreparedImage(source, error=str(error))
        return PreparedImage(source, pixels, data=pixels, shape=pixels.shape)

    def detect(self, images):
        return [self.find(image.data) for image in images]

    def find(self, pixels):
        rows = []
        for colour in np.unique(pixels.reshape(-1, 3), axis=0):
            if colour.any():
                y, x = np.nonzero((pixels == colour).all(axis=2))
                box = x.min(), y.min(), x.max() + 1, y.max() + 1
                rows.append((*box, 0.5 + colour[0] / 600, colour[2] - 1))
        return detections(*rows, size=pixels.shape[:2])


def scene(random) -> np.ndarray:
    pixels = np.zeros((random.randint(50, 400), random.randint(50, 500), 3), np.uint8)
    for index in range(1, 25):
        height, width = random.randint(6, 60, 2)
        top, left = (random.randint(0, max(1, s - 6)) for s in pixels.shape[:2])
        # Two pixels apart from others.
        around = pixels[max(0, top - 2) : top + height + 2, max(0, left - 2) : left + width + 2]
        if not around.any():
            label = random.randint(1, 3)
            pixels[top : top + height, left : left + width] = (index, 5, label)
    return pixels


@pytest.mark.parametrize("seed", range(12))
def test_merged_detections_are_those_of_the_whole_image(seed):
    pixels = scene(np.random.RandomState(seed))
    whole = Components(("a", "b"))(pixels)
    # Objects have sides up to 60 pixels, more than the 40 that two tiles share.
    found = Components(("a", "b"), tiles=Tiles((100, 120), 0.4))(pixels)
    assert len(whole) > 3
    assert sorted(map(list, zip(*unpack(found)))) == sorted(map(list, zip(*unpack(whole))))
    assert (np.diff(found.scores) <= 0).all()
    assert found.size == whole.size


def unpack(found):
    return found.boxes.tolist(), found.scores.tolist(), found.labels.tolist()


def test_images_stay_in_order_with_their_pixels_and_errors(tmp_path):
    random = np.random.RandomState(0)
    images = [scene(random) for _ in range(4)]
    missing = tmp_path / "missing.png"
    sources = [("0", images[0]), ("x", missing), *(("1", image) for image in images[1:])]

    def endless() -> Iterator:
        yield from sources
        raise AssertionError("not asked for")

    detector = Components(("a", "b"), tiles=Tiles((64, 64)))
    results = list(detector.stream(sources, batch_size=2))
    assert [prepared.source for prepared, _ in results] == sources
    prepared, found = results[1]
    assert found is None
    assert str(missing) in prepared.error
    for (prepared, found), image in zip([results[0], *results[2:]], images):
        assert prepared.image is image
        assert unpack(found) == unpack(detector(image))
    stream = detector.stream(endless(), batch_size=1)
    next(stream)
    stream.close()


def test_a_file_is_used_as_its_metadata_says(make_file, images, tmp_path):
    plain = make_file(tmp_path / "plain.onnx")
    tiled = make_file(
        tmp_path / "tiled.onnx",
        tiles=dict(size=[40, 40], overlap=0.25),
        class_scores=[0.9, 0.4, 0.6],
    )
    large = np.tile(images[0], (2, 2, 1))
    found = Detector(tiled, score=0.0)(large)
    parts = Detector(plain, score=0.0, tiles=Tiles((40, 40), 0.25))(large)
    assert len(found) > 0
    assert unpack(found) == unpack(parts)
    assert unpack(Detector(tiled, score=0.0, tiles=False)(large)) == unpack(
        Detector(plain, score=0.0)(large)
    )
    by_class = Detector(tiled, tiles=False)(large)
    everything = Detector(plain, score=0.0)(large)
    limits = np.float32([0.9, 0.4, 0.6])[everything.labels]
    assert 0 < len(by_class) == (everything.scores >= limits).sum() < len(everything)
    assert len(Detector(tiled, score=0.2, tiles=False)(large)) == (everything.scores >= 0.2).sum()


@pytest.mark.parametrize("text", ["10", "0", "x", "640x", "a", "1x2x3", "-640", "٦٤٠"])
def test_sizes_that_are_none(text):
    with pytest.raises(UserError, match=f"--tiles {text}: .*expected"):
        Tiles.parse(text)


def test_sizes():
    assert Tiles.parse("640") == Tiles((640, 640))
    assert Tiles.parse("480X640") == Tiles((480, 640))
    assert Tiles.parse("none") is False
    assert Tiles.parse(None) is None
    with pytest.raises(UserError, match="overlap of 1: expected"):
        Tiles((64, 64), 1.0)


def test_drawings_show_the_whole_image(onnx_file, images, tmp_path, command):
    large = np.tile(images[0], (2, 2, 1))
    cv2.imwrite(str(tmp_path / "a.png"), large)
    assert command(onnx_file, tmp_path / "a.png", "--tiles", "40", "--out", tmp_path / "b.png") == 0
    assert cv2.imread(str(tmp_path / "b.png")).shape == large.shape

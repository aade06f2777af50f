"""The detector on exported files, in batches, in threads and in streams."""

import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image

from vanillanet_det import UserError
from vanillanet_det.runtime import Detections, Detector
from vanillanet_det.runtime.preprocessing import MAX_SIDE


def assert_equal(found: Detections, expected: Detections):
    """Compare bit for bit."""
    assert len(found) > 0
    for name in ("boxes", "scores", "labels", "masks"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert (found.classes, found.size) == (expected.classes, expected.size)


def test_detections(any_file, images):
    detector = Detector(any_file, score=0.0)
    for image, found in zip(images, detector(images)):
        outputs = detector.engine.run(image[None])
        kept = outputs["labels"][0] >= 0
        assert 0 < len(found) == kept.sum()
        np.testing.assert_array_equal(found.boxes, outputs["boxes"][0][kept])
        np.testing.assert_array_equal(found.scores, outputs["scores"][0][kept])
        assert (np.diff(found.scores) <= 0).all()
        assert found.boxes.dtype == found.scores.dtype == np.float32
        assert found.labels.dtype == np.int64
        assert found.masks.shape == (len(found), *image.shape[:2])
        item = next(iter(found))
        assert item.name == detector.classes[item.label]
        left, top, right, bottom = item.box.astype(int)
        inside = item.mask[top:bottom, left:right].all()
        assert bool(inside) == (item.score >= 0.5) == bool(item.mask.any())


def test_padding_rows_and_low_scores_are_dropped(any_file, images):
    everything = Detector(any_file, score=0.0)(images)
    assert len({len(found) for found in everything}) > 1  # else no row is padding
    assert all(found.labels.min() >= 0 for found in everything)
    middle = float(np.median(everything[0].scores))
    found = Detector(any_file, score=middle)(images[0])
    assert len(found) == (everything[0].scores >= middle).sum() < len(everything[0])


def test_no_detections(any_file):
    found = Detector(any_file, score=1.0)(np.zeros((20, 30, 3), np.uint8))
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)
    assert found.masks.shape == (0, 20, 30)
    assert list(found) == found.to_coco(1) == []
    assert found.summary() == "0"


def test_an_image_of_a_single_cell(any_file):
    assert len(Detector(any_file)(np.zeros((8, 8, 3), np.uint8))) <= 1


def test_a_file_an_array_and_a_pil_image_are_the_same(onnx_file, images, tmp_path):
    path = tmp_path / "ein Bild 图.png"
    path.write_bytes(cv2.imencode(".png", images[0])[1].tobytes())
    detector = Detector(onnx_file)
    first, *others = detector([path, str(path), images[0], Image.open(path)])
    for other in others:
        assert_equal(other, first)


def test_neighbours_in_a_batch_change_nothing(any_file, images, shapes_seen):
    detector = Detector(any_file)
    alone = [detector(image) for image in images]
    seen = shapes_seen(detector)
    together = detector(images, batch_size=3)
    assert [shape[0] for shape in seen] == [3, 3, 3, 3]
    for found, expected in zip(together, alone):
        assert_equal(found, expected)


@pytest.mark.slow
def test_eight_threads_get_the_same_results(any_file, images):
    detector = Detector(any_file, threads=1)
    expected = [detector(image) for image in images]
    barrier = threading.Barrier(8)

    def call(start):
        barrier.wait()
        order = [(start + step) % len(images) for step in range(2 * len(images))]
        return [(index, detector(images[index])) for index in order]

    with ThreadPoolExecutor(8) as pool:
        for results in pool.map(call, range(8)):
            for index, found in results:
                assert_equal(found, expected[index])


def test_streams_run_concurrently_and_keep_the_order(any_file, images, watch):
    expected = Detector(any_file)(images)
    detector = Detector(any_file, streams=2, threads=2)
    both = threading.Barrier(2, timeout=30)
    watch(detector, lambda images: both.wait())  # breaks unless two run at the same time
    sources = [(index, image) for index, image in enumerate(images)]
    results = list(detector.stream(sources, batch_size=3))
    assert [prepared.source[0] for prepared, _ in results] == list(range(len(images)))
    for (_, found), wanted in zip(results, expected):
        assert_equal(found, wanted)


def test_an_error_in_a_stream_is_raised(onnx_file, images, watch):
    detector = Detector(onnx_file, streams=2)
    watch(detector, lambda images: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        detector(images)


@pytest.mark.parametrize("name", ["a.onnx", "a.xml"])
def test_a_fixed_batch_is_padded(name, make_file, tmp_path, images, shapes_seen):
    expected = Detector(make_file(tmp_path / f"any_{name}"))(images[:3])
    detector = Detector(make_file(tmp_path / name, batch_size=2))
    seen = shapes_seen(detector)
    for found, wanted in zip(detector(images[:3]), expected):
        np.testing.assert_array_equal(found.scores, wanted.scores)
        np.testing.assert_array_equal(found.boxes, wanted.boxes)
    assert sorted(seen) == [(2, 40, 80, 3), (2, 48, 64, 3)]


def test_boxes_are_in_pixels_of_the_image(make_file, tmp_path, images):
    resize = dict(scale=[160, 120], keep_ratio=True)
    detector = Detector(make_file(tmp_path / "a.onnx", resize=resize, mask_threshold=0.5), 0.0)
    resized = cv2.resize(images[0], (160, 120))
    expected = Detector(make_file(tmp_path / "b.onnx"), 0.0)(resized)
    found = detector(images[0])
    np.testing.assert_allclose(found.boxes, expected.boxes * 64 / 160, rtol=1e-6)
    assert found.size == (48, 64)
    assert found.masks.shape[1:] == (48, 64)


@pytest.mark.parametrize("name", ["a.onnx", "a.xml"])
def test_a_fixed_size_is_padded_and_boxes_are_clipped(name, make_file, tmp_path, shapes_seen):
    fixed = dict(input_size=[64, 96], resize=dict(scale=[1333, 800], keep_ratio=True))
    path = make_file(tmp_path / name, **fixed, mask_threshold=0.5)
    detector = Detector(path, 0.0)
    seen = shapes_seen(detector)
    image = np.random.RandomState(1).randint(0, 256, (40, 30, 3), np.uint8)
    found = detector(image)
    assert seen == [(1, 64, 96, 3)]
    assert found.size == (40, 30)
    assert found.boxes.min() >= 0
    assert found.boxes[:, 2].max() == 30
    assert found.boxes[:, 3].max() == 40
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()  # none is entirely in the padding
    filled = np.full((64, 96, 3), (104, 116, 124), np.uint8)
    filled[:, :48] = cv2.resize(image, (48, 64))
    outputs = detector.engine.run(filled[None])
    within = (outputs["labels"][0] >= 0) & (outputs["boxes"][0][:, 0] < 48)
    expected = (outputs["boxes"][0][within] * 30 / 48).clip(0, [30, 40, 30, 40])
    np.testing.assert_allclose(found.boxes, expected, rtol=1e-6)


@pytest.mark.slow
def test_nms_outside_of_the_graph(make_file, tmp_path, images):
    outside = dict(nms_inside=False, iou_threshold=0.05, max_detections=7, score_threshold=0.4)
    for name in ("a.onnx", "a.xml"):
        detector = Detector(make_file(tmp_path / name, **outside), score=0.0)
        outputs = detector.engine.run(images[0][None])
        found = detector(images[0])
        assert len(found) == 7 < outputs["boxes"].shape[1]
        assert found.scores.min() > 0.4
        assert (np.diff(found.scores) <= 0).all()
        everything = Detector(make_file(tmp_path / name, **{**outside, "max_detections": 99}), 0.0)
        assert len(everything(images[0])) < (outputs["scores"][0] > 0.4).sum()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((0, 0, 3), np.uint8), r"shape \(0, 0, 3\)"),
        (np.zeros((8, 8, 4), np.uint8), r"shape \(8, 8, 4\) .*expected uint8 of shape"),
        (np.zeros((8, 8, 3), np.float32), r"type float32; expected uint8"),
        (np.zeros((8, 8, 3), np.uint16), r"type uint16; expected uint8"),
        (np.zeros((1, 20_000, 3), np.uint8), r"^image: 20000 x 1 pixels; .*at most 16,384.*tiles"),
        (np.zeros((MAX_SIDE + 1, 1, 3), np.uint8), r"1 x 16385 pixels"),
        ("nothing.png", r"image nothing\.png: can't be read \(No such file.*replace or remove"),
        (None, r"a NoneType; expected a path"),
    ],
)
def test_arguments_that_are_not_images(image, message, onnx_file):
    with pytest.raises(UserError, match=message):
        Detector(onnx_file)(image)


def test_files_that_are_not_images(onnx_file, tmp_path, images):
    detector = Detector(onnx_file)
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "empty.png").touch()
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((1, 20_000, 3), np.uint8))
    for name, message in {
        "text.png": r"can't be read \(not an image format that OpenCV supports\); replace",
        "empty.png": r"can't be read \(the file is empty\); replace",
        "wide.png": r"20000 x 1 pixels; expected at most 16,384",
    }.items():
        with pytest.raises(UserError, match=rf"^image .*{name}: {message}"):
            detector(tmp_path / name)
    sources = [images[0], tmp_path / "text.png", images[2]]
    found = list(detector.stream(sources))
    assert [detections is None for _, detections in found] == [False, True, False]
    assert "text.png" in found[1][0].error


def test_the_largest_image(make_file, tmp_path):
    resize = dict(scale=[64, 64], keep_ratio=True)
    detector = Detector(make_file(tmp_path / "a.onnx", resize=resize), 0.0)
    assert detector(np.zeros((2048, MAX_SIDE, 3), np.uint8)).size == (2048, MAX_SIDE)


def test_wrong_batch_sizes(onnx_file, make_file, tmp_path, images):
    for path in (onnx_file, make_file(tmp_path / "a.onnx", batch_size=2)):
        with pytest.raises(UserError, match=r"batch size 0: expected a positive number"):
            Detector(path)(images, batch_size=0)

"""Files and PIL images give the same pixels."""

import cv2
import numpy as np
import pytest
from PIL import Image

from vanillanet_det import UserError
from vanillanet_det.inference.images import load_bgr

RGB = np.random.RandomState(0).randint(0, 256, (4, 6, 3), np.uint8).repeat(8, 0).repeat(8, 1)
TURN = Image.Exif()
TURN[0x0112] = 6  # rotate by 90 degrees clockwise


def palette(path):
    Image.fromarray(RGB).quantize(32).save(path)


def alpha(path):
    Image.fromarray(RGB).convert("RGBA").save(path)


def grey(path):
    Image.fromarray(RGB).convert("L").save(path)


def deep(path):
    Image.fromarray((RGB[..., 0].astype(np.uint16) << 8) + 77).save(path)


def exif(path):
    Image.fromarray(RGB).save(path, exif=TURN, quality=95)


def cmyk(path):
    Image.fromarray(RGB).convert("CMYK").save(path, quality=95)


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (palette, "a.png"),
        (alpha, "a.png"),
        (grey, "a.png"),
        (deep, "a.png"),
        (exif, "a.jpg"),
        (cmyk, "a.jpg"),
        (grey, "ein Bild mit Umlaut ä 图.png"),
    ],
)
def test_odd_files(write, name, tmp_path):
    path = tmp_path / name
    write(path)
    found = load_bgr(path)
    assert found.dtype == np.uint8
    assert found.shape == ((48, 32, 3) if write is exif else (32, 48, 3))
    expected = RGB[..., ::-1]
    if write in (grey, deep):
        channel = RGB[..., 0] if write is deep else np.asarray(Image.fromarray(RGB).convert("L"))
        expected = channel[..., None].repeat(3, 2)
    if write is exif:
        expected = np.rot90(expected, -1)
    tolerance = {palette: 40, exif: 12, cmyk: 12}.get(write, 0)
    assert np.abs(found.astype(int) - expected).mean() <= tolerance
    with Image.open(path) as image:
        other = load_bgr(image)
    assert np.abs(found.astype(int) - other).max() <= (4 if path.suffix == ".jpg" else 0)


def test_arrays_are_bgr_as_opencv_reads_them(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), RGB[..., ::-1])
    np.testing.assert_array_equal(load_bgr(tmp_path / "a.png"), RGB[..., ::-1])
    assert load_bgr(RGB) is RGB
    np.testing.assert_array_equal(load_bgr(RGB[..., 0]), RGB[..., :1].repeat(3, 2))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (RGB.astype(np.float32), r"shape \(32, 48, 3\) and type float32; expected uint8"),
        (RGB[..., :2], r"shape \(32, 48, 2\)"),
        (RGB[:0], r"shape \(0, 48, 3\)"),
        (3, r"a int; expected a path"),
        ("nothing.png", r"nothing\.png: can't be read .*replace or remove the file"),
    ],
)
def test_anything_else_is_refused(image, message):
    with pytest.raises(UserError, match=message):
        load_bgr(image)

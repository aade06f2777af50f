"""Files give the same pixels as in MMDetection."""

import cv2
import numpy as np
import pytest
from PIL import Image

from vanillanet_det import UserError
from vanillanet_det.inference.images import load_bgr
from vanillanet_det.runtime.images import as_bgr

RGB = np.random.RandomState(0).randint(0, 256, (32, 48, 3), np.uint8)
TURN = Image.Exif()
TURN[0x0112] = 6  # rotate by 90 degrees clockwise
XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description
xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>"""
DEEP = Image.fromarray((RGB[..., 0].astype(np.uint16) << 8) + 77)


@pytest.mark.parametrize(
    ("image", "name", "options"),
    [
        (Image.fromarray(RGB).quantize(32), "a.png", {}),
        (Image.fromarray(RGB).quantize(32), "a.bmp", {}),
        (Image.fromarray(RGB).convert("RGBA"), "a.png", {}),
        (Image.fromarray(RGB).convert("L"), "größer 图.png", {}),
        (Image.fromarray(RGB).convert("1"), "a.png", {}),
        (DEEP, "a.png", {}),
        (DEEP, "a.tif", {}),
        (Image.fromarray(RGB), "a.webp", {}),
        (Image.fromarray(RGB), "a.jpg", dict(exif=TURN)),
        (Image.fromarray(RGB).convert("CMYK"), "a.jpg", {}),
        (Image.fromarray(RGB), "a.ppm", {}),
    ],
)
def test_files_of_every_depth_and_colour(image, name, options, tmp_path):
    image.save(tmp_path / name, **options)
    found = as_bgr(tmp_path / name)
    np.testing.assert_array_equal(found, load_bgr(str(tmp_path / name)))
    assert found.dtype == np.uint8
    assert found.shape == ((48, 32, 3) if options else (32, 48, 3))
    np.testing.assert_array_equal(as_bgr(str(tmp_path / name)), found)


def test_a_truncated_file_and_a_folder(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[:100])
    with pytest.raises(UserError, match=r"a\.jpg: can't be read .*; replace or remove the file"):
        as_bgr(tmp_path / "a.jpg")
    with pytest.raises(UserError, match=r"can't be read \(Is a directory\)"):
        as_bgr(tmp_path)


def test_missing_opencv(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"cv2 is needed.*pip install opencv-python-headless"):
        as_bgr(tmp_path / "a.png")
    assert as_bgr(RGB) is RGB


NOISE = np.random.RandomState(1).randint(0, 65536, (32, 48))
SHADES = Image.merge(
    "RGBA", [*Image.fromarray(RGB).split(), Image.linear_gradient("L").resize((48, 32))]
)


@pytest.mark.parametrize(
    ("image", "name", "options"),
    [
        (Image.fromarray(NOISE.astype(np.uint16)), "a.png", {}),
        (Image.fromarray(NOISE.astype(np.uint16)), "a.tif", {}),
        (Image.fromarray((NOISE % 4096).astype(np.uint16)), "a.png", {}),
        (SHADES, "a.png", {}),
        (SHADES, "a.tif", {}),
        (SHADES, "a.webp", dict(lossless=True)),
        (SHADES.convert("LA"), "a.png", {}),
        (Image.fromarray(RGB).quantize(32), "a.png", dict(transparency=3)),
        (Image.fromarray(RGB).quantize(32), "a.gif", dict(transparency=3)),
        (Image.fromarray(RGB).convert("1"), "a.tif", {}),
        (Image.fromarray(RGB), "a.webp", dict(exif=TURN, lossless=True)),
        (Image.fromarray(RGB), "a.png", dict(exif=TURN)),
        (Image.fromarray(RGB), "a.tif", dict(exif=TURN)),
        (Image.fromarray(RGB), "xmp.webp", dict(xmp=XMP, lossless=True)),
    ],
)
def test_pil_images_give_the_pixels_of_their_files(image, name, options, tmp_path):
    image.save(tmp_path / name, **options)
    if not cv2.haveImageReader(str(tmp_path / name)):
        pytest.skip("this OpenCV doesn't read GIF")
    np.testing.assert_array_equal(as_bgr(Image.open(tmp_path / name)), as_bgr(tmp_path / name))


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_pil_images_without_a_conversion_are_refused(mode):
    image = (
        Image.new("LAB", (9, 9)) if mode == "LAB" else Image.fromarray(RGB[..., 0]).convert(mode)
    )
    with pytest.raises(UserError, match=f"a PIL image of mode {mode} has no fixed conversion"):
        as_bgr(image)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_files_that_opencv_does_not_load_in_colour(mode, tmp_path):
    Image.fromarray(RGB[..., 0]).convert(mode).save(tmp_path / "a.tif")
    for load in (as_bgr, load_bgr):
        with pytest.raises(UserError, match=f"OpenCV doesn't load TIFF images of mode {mode}"):
            load(str(tmp_path / "a.tif"))

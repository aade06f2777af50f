"""Files give the same pixels as in MMDetection."""

import numpy as np
import pytest
from PIL import Image

from vanillanet_det import UserError
from vanillanet_det.inference.images import load_bgr
from vanillanet_det.runtime.images import as_bgr

RGB = np.random.RandomState(0).randint(0, 256, (32, 48, 3), np.uint8)
TURN = Image.Exif()
TURN[0x0112] = 6  # rotate by 90 degrees clockwise
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

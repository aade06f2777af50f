"""Images are resized like in MMDetection's test pipeline."""

import mmcv
import numpy as np
import pytest
from mmdet.datasets.transforms import Resize as MMDetResize

from vanillanet_det.runtime.metadata import Metadata, Resize
from vanillanet_det.runtime.preprocessing import find_size, fit

SIZES = [(37, 53), (101, 33), (64, 64), (1, 7), (333, 5), (160, 161)]


def random_image(height, width):
    return np.random.RandomState(0).randint(0, 256, (height, width, 3), np.uint8)


def described(scale=None, keep_ratio=True, **kwargs):
    resize = None if scale is None else Resize(scale, keep_ratio)
    return Metadata("detector", "a", "fp32", resize=resize, **kwargs)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scale", [(1333, 800), (97, 61), (61, 97), (160, 160), (53, 53)])
def test_pixels_equal_mmdetection(size, scale):
    image = random_image(*size)
    for keep_ratio in (True, False):
        expected = MMDetResize(scale=scale, keep_ratio=keep_ratio)(dict(img=image.copy()))
        found, scales = fit(image, described(scale, keep_ratio))
        np.testing.assert_array_equal(found, expected["img"])
        assert scales == expected["scale_factor"]
    np.testing.assert_array_equal(fit(image, described(scale))[0], mmcv.imrescale(image, scale))


def test_an_image_is_unchanged_without_resize():
    image = random_image(37, 53)
    found, scales = fit(image, described())
    assert found is image
    assert scales == (1, 1)


def test_a_thin_image_keeps_one_pixel():
    found, scales = fit(random_image(1, 3000), described((100, 50)))
    assert found.shape == (1, 100, 3)
    assert scales == (100 / 3000, 1.0)


@pytest.mark.parametrize(
    ("size", "scale", "keep_ratio", "expected"),
    [
        ((50, 100), (1333, 800), True, (32, 64)),  # height, width of the image in 48 x 64
        ((100, 50), (1333, 800), True, (48, 24)),
        ((10, 10), (1333, 800), True, (48, 48)),
        ((10, 10), None, True, (10, 10)),
        ((100, 100), None, True, (48, 48)),
        ((10, 99), (1333, 800), False, (48, 64)),
    ],
)
def test_a_fixed_size_is_padded_on_the_right_and_at_the_bottom(size, scale, keep_ratio, expected):
    image = random_image(*size)
    fixed = described(scale, keep_ratio, input_size=(48, 64), padding=(103.53, 116.28, 123.675))
    found, scales = fit(image, fixed)
    assert found.shape == (48, 64, 3)
    height, width = expected
    assert scales == (width / size[1], height / size[0])
    np.testing.assert_array_equal(found[:height, :width], mmcv.imresize(image, (width, height)))
    assert (found[height:] == (104, 116, 124)).all()
    assert (found[:, width:] == (104, 116, 124)).all()


def test_an_image_never_exceeds_a_fixed_size():
    fixed = described((1333, 800), input_size=(480, 641))
    for width in range(1, 2000, 7):
        for height in range(1, 2000, 13):
            found = find_size(width, height, fixed)
            assert found[0] <= 641
            assert found[1] <= 480
            assert 641 in found or 480 in found

"""Small image folders."""

import pytest
from PIL import Image

from vanillanet_det.datasets.digit_images import ensure_digit_images


@pytest.fixture(scope="session")
def digit_images(tmp_path_factory):
    """The embedded images, only few and small."""
    folder = tmp_path_factory.mktemp("digit_images") / "images"
    return ensure_digit_images(folder, counts={"train": 80, "val": 40}, side=32)


@pytest.fixture
def folder(tmp_path):
    """Function that makes an image folder of `{split: {class: number of images}}`."""

    def make(**splits):
        for split, classes in splits.items():
            (tmp_path / split).mkdir()
            for name, count in classes.items():
                (tmp_path / split / name).mkdir()
                for number in range(count):
                    image = Image.new("RGB", (12, 10), (20 * number, 0, 0))
                    image.save(tmp_path / split / name / f"{number}.png")
        return tmp_path

    return make

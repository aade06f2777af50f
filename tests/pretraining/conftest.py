"""Small image folders."""

import pytest
from PIL import Image


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

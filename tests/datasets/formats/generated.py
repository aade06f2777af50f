"""Generated datasets: scenes to write in a format's own conventions.

A format's test has a function that writes a scene, and passes it to two checks, one of them in
`harmed`:

    @given(scenes())
    def test_what_is_written_comes_back(scene):
        check_comes_back(scene, write_voc)

    @given(scenes(), harms())
    def test_harmed_files_end_in_a_sentence_or_a_remark(scene, harm):
        check_harmed(scene, write_voc, harm)
"""

import io
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, NamedTuple, Optional

from hypothesis import strategies as st
from PIL import Image

from vanillanet_det.datasets.formats import RawDataset, read_dataset
from vanillanet_det.datasets.formats.raw_dataset import bounds

NAMES = ("cat", "Tür", "猫", "yes", "no", "010", "1_000", "1e3", "null", "~", "0x1F", "12:30")
NAMES += ("2024-01-01", "a b", "traffic light", "A&B", "it's", "1", "0", "true", "x<y", "a: b")
NAMES += ("#1",)
STEMS = ("a", "b 1", "ü", "0001", "c.d", "e-f")
PIXELS = 0.01  # by which formats that write fractions may differ


class Thing(NamedTuple):
    """An object: its class, its box as whole pixels `(left, top, right, bottom)`, its polygon."""

    name: str
    box: tuple[int, int, int, int]
    polygon: Optional[tuple[int, ...]] = None

    @property
    def coco_box(self):
        """The box `[x, y, width, height]`, which is the polygon's if there is one."""
        left, top, right, bottom = self.box
        return bounds([self.polygon]) if self.polygon else [left, top, right - left, bottom - top]


class Picture(NamedTuple):
    """An image of a scene; `split` is `train` or `val`."""

    stem: str
    size: tuple[int, int]
    split: str
    things: tuple[Thing, ...]


@dataclass(frozen=True)
class Scene:
    """A dataset without a format.

    Attributes:
        names: The classes, some of which may have no object.
        pictures: The images; at least one for training has an object.
    """

    names: tuple[str, ...]
    pictures: tuple[Picture, ...]

    def of(self, split: str) -> list[Picture]:
        """The images of a split."""
        return [picture for picture in self.pictures if picture.split == split]

    @property
    def splits(self) -> list[str]:
        """The splits that have images."""
        return [split for split in ("train", "val") if self.of(split)]


@st.composite
def _things(draw, names, size, polygons):
    width, height = size
    left, top = draw(st.integers(0, width - 2)), draw(st.integers(0, height - 2))
    right, bottom = draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))
    polygon = None
    if polygons and draw(st.booleans()):
        middle = draw(st.integers(left, right))
        polygon = (left, top, right, top, middle, bottom)
    return Thing(draw(st.sampled_from(names)), (left, top, right, bottom), polygon)


@st.composite
def scenes(draw, polygons: bool = False, names=NAMES):
    """Strategy for scenes of up to four images with up to three objects each.

    Args:
        draw: Given by hypothesis.
        polygons: Whether some objects have polygons.
        names: The class names to choose from.
    """
    names = draw(st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True))
    stems = draw(st.lists(st.sampled_from(STEMS), min_size=1, max_size=4, unique=True))
    pictures = []
    for index, stem in enumerate(stems):
        size = draw(st.tuples(st.integers(8, 40), st.integers(8, 40)))
        things = draw(st.lists(_things(names, size, polygons), min_size=index == 0, max_size=3))
        split = "train" if index == 0 else draw(st.sampled_from(("train", "val")))
        pictures.append(Picture(stem, size, split, tuple(things)))
    return Scene(tuple(names), tuple(pictures))


@cache
def _png(size):
    with io.BytesIO() as file:
        Image.new("RGB", size, "gray").save(file, "PNG")
        return file.getvalue()


def save_picture(path: Path, size: tuple[int, int]) -> None:
    """Write a gray PNG image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_png(size))


Write = Callable[[Path, Scene], None]  # writes the scene's images and annotations into a folder


@contextmanager
def written(scene: Scene, write: Write):
    """A new folder with the scene; pytest's `tmp_path` is the same for all examples."""
    with TemporaryDirectory() as folder:
        write(Path(folder), scene)
        yield Path(folder)


def check_comes_back(scene: Scene, write: Write, is_split: bool = True) -> RawDataset:
    """Assert that a written scene is read as it is, and that nothing is skipped.

    Args:
        scene: The scene.
        write: Function that writes it.
        is_split: Whether the format keeps the images of training and validation apart.
    """
    with written(scene, write) as root:
        source = read_dataset(root)
    expected = Counter()
    for picture in scene.pictures:
        split = picture.split if is_split else "train"
        expected[split, picture.stem, picture.size] += 1
        for thing in picture.things:
            expected[(split, picture.stem, thing.name, _rounded(thing.coco_box))] += 1
    assert _content(source) == expected
    assert source.skipped == (0, 0), source.remarks
    assert set(source.classes) == {t.name for p in scene.pictures for t in p.things}
    return source


def _content(source: RawDataset) -> Counter:
    found = Counter()
    for split, content in (("train", source.train), ("val", source.val)):
        if content is None:
            continue
        images = {image["id"]: image for image in content["images"]}
        names = {category["id"]: category["name"] for category in content["categories"]}
        stems = {id: _stem(image["file_name"]) for id, image in images.items()}
        for id, image in images.items():
            found[split, stems[id], (image["width"], image["height"])] += 1
        for a in content["annotations"]:
            name = names[a["category_id"]]
            found[(split, stems[a["image_id"]], name, _rounded(a["bbox"]))] += 1
    return found


def _stem(file: str) -> str:
    return file.rpartition("/")[2].rpartition(".")[0]


def _rounded(box) -> tuple:
    assert all(abs(value - round(value)) < PIXELS for value in box), box
    return tuple(map(round, box))

"""Ids of COCO files become integers, which the evaluation needs."""

import pytest
from data_folders import BOX, content, found, remark, save_image, write

from vanillanet_det.datasets.formats import read_dataset


def with_ids(images=(1, 2), categories=(1, 2), annotations=(1, 2), refer=(0, 1)):
    """Two objects with these ids; `refer` gives the places of their images."""
    written = content("a.jpg", "b.jpg", ids=categories)
    for image, id in zip(written["images"], images):
        image["id"] = id
    for annotation, id, place in zip(written["annotations"], annotations, refer):
        annotation |= dict(id=id, image_id=images[place])
    return written


@pytest.mark.parametrize(
    ("ids", "images", "categories", "annotations"),
    [
        (dict(), [1, 2], [1, 2], [1, 2]),
        (dict(images=(7, "5"), refer=(1, 0)), [7, 5], [1, 2], [1, 2]),
        (dict(images=("1234567890123", "000a12")), [1, 2], [1, 2], [1, 2]),
        (dict(images=("007", "7"), refer=(1, 0)), [1, 2], [1, 2], [1, 2]),
        (dict(images=("1" * 16, "5")), [1, 2], [1, 2], [1, 2]),
        (dict(images=(-3, 0)), [-3, 0], [1, 2], [1, 2]),
        (dict(categories=("b", 9)), [1, 2], [1, 2], [1, 2]),
        (dict(categories=("3", 9.0)), [1, 2], [3, 9], [1, 2]),
        (dict(annotations=(9, 4)), [1, 2], [1, 2], [9, 4]),
        (dict(annotations=(0, 4)), [1, 2], [1, 2], [1, 2]),
        (dict(annotations=("3f2a", "3f2b")), [1, 2], [1, 2], [1, 2]),
        (dict(annotations=("3", 4)), [1, 2], [1, 2], [1, 2]),
        (dict(annotations=(True, 4)), [1, 2], [1, 2], [1, 2]),
        (dict(annotations=(4, 4)), [1, 2], [1, 2], [1, 2]),
        (dict(annotations=([1], {"a": 1})), [1, 2], [1, 2], [1, 2]),
        (dict(annotations=(1 << 63, 4)), [1, 2], [1, 2], [1, 2]),
    ],
)
def test_ids_become_numbers_that_can_be_compared(tmp_path, ids, images, categories, annotations):
    save_image(tmp_path / "a.jpg")
    save_image(tmp_path / "b.jpg")
    written = with_ids(**ids)
    write(tmp_path / "a.json", written)

    source = read_dataset(tmp_path)

    assert [image["id"] for image in source.train["images"]] == images
    assert [category["id"] for category in source.train["categories"]] == categories
    assert [a["id"] for a in source.train["annotations"]] == annotations
    names = ["a.jpg", "b.jpg"]
    places = ids.get("refer", (0, 1))
    expected = [(names[place], name, BOX) for place, name in zip(places, ("cat", "dog"))]
    assert found(source) == sorted(expected)


def test_new_ids_are_reported(tmp_path):
    save_image(tmp_path / "a.jpg")
    save_image(tmp_path / "b.jpg")
    write(tmp_path / "a.json", with_ids(("x", 1), ("y", 1), ("z", 1)))
    source = read_dataset(tmp_path)
    for name in ("images", "categories"):
        assert remark(source, f"Entries of {name} renumbered because not all").endswith(": 2.")
    assert remark(source, "Annotations renumbered because not all").endswith(": 2.")


def test_an_id_without_leading_zeros_means_the_one_with_them(tmp_path):
    save_image(tmp_path / "a.jpg")
    save_image(tmp_path / "b.jpg")
    written = with_ids(images=("007", "008"))
    written["annotations"][0]["image_id"] = 7
    write(tmp_path / "a.json", written)
    assert [a["image_id"] for a in read_dataset(tmp_path).train["annotations"]] == [7, 8]


def test_entries_of_one_image_are_joined(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        save_image(tmp_path / name)
    source = read_dataset(write(tmp_path / "train.json", content("a.jpg", "b.jpg", "a.jpg")))
    assert [image["file_name"] for image in source.train["images"]] == ["a.jpg", "b.jpg"]
    assert [name for name, *_ in found(source)] == ["a.jpg", "a.jpg", "b.jpg"]
    assert remark(source, "Images listed more than once, whose objects").endswith("a.jpg): 1.")

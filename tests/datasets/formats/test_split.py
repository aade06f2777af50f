"""A validation split that is stratified, repeatable and shares no image with training."""

import json
import shutil

import pytest
from data_folders import save_image

from vanillanet_det import UserError
from vanillanet_det.datasets.formats import split


def content(root, images, equal=()):
    """Images with objects of the categories given for each; pairs of equal ones on disk."""
    for number in range(len(images)):
        save_image(root / f"{number}.png", seed=number)
    for one, other in equal:
        shutil.copy(root / f"{one}.png", root / f"{other}.png")
    annotations = [
        dict(id=100 + 10 * i + j, image_id=i, category_id=label, iscrowd=0)
        for i, labels in enumerate(images)
        for j, label in enumerate(labels)
    ]
    return dict(
        info=dict(description="mine"),
        images=[dict(id=i, file_name=f"{i}.png") for i in range(len(images))],
        annotations=annotations,
        categories=[dict(id=label, name=str(label)) for label in sorted(set().union(*images))],
    )


def ids(part):
    return {image["id"] for image in part["images"]}


def classes(part):
    return {annotation["category_id"] for annotation in part["annotations"]}


def test_parts_make_up_the_whole_and_say_how(tmp_path):
    whole = content(tmp_path, [[1], [1, 2], [2], [], [1], []] * 5)
    before = json.dumps(whole)

    train, val = split(whole, tmp_path, share=0.3, seed=4)

    assert json.dumps(whole) == before
    assert ids(train) | ids(val) == ids(whole)
    assert not ids(train) & ids(val)
    assert len(val["images"]) == 9
    for part in (train, val):
        assert {a["image_id"] for a in part["annotations"]} <= ids(part)
        assert part["categories"] == whole["categories"]
    assert len(train["annotations"] + val["annotations"]) == len(whole["annotations"])
    expected = dict(seed=4, share=0.3, images=30, in_val=9)
    assert val["info"] == dict(description="mine", split=dict(expected, part="val"))


def test_a_seed_gives_one_split_whatever_the_order(tmp_path):
    whole = content(tmp_path, [[1], [2]] * 10)
    shuffled = dict(whole, images=whole["images"][::-1])
    splits = [ids(split(whole, tmp_path, seed=seed)[1]) for seed in range(4)]
    assert ids(split(shuffled, tmp_path, seed=1)[1]) == splits[1]
    assert len(set(map(frozenset, splits))) > 1


@pytest.mark.parametrize("seed", range(5))
def test_each_class_is_on_both_sides(tmp_path, seed):
    images = [[1]] * 20 + [[1, 2]] * 2 + [[2, 3], [3], [1, 4], [4, 1], [5]] + [[]] * 5
    train, val = split(content(tmp_path, images), tmp_path, seed=seed)
    assert classes(train) == {1, 2, 3, 4, 5}  # one image is there to be learned
    assert classes(val) == {1, 2, 3, 4}
    assert len(val["images"]) < 10


def test_a_class_beside_rarer_ones_is_brought_to_both_sides(tmp_path):
    # 9 is never the rarest of an image.
    images = [[1], [1, 9], [2], [2, 9]]
    for seed in range(8):
        train, val = split(content(tmp_path, images), tmp_path, seed=seed)
        assert classes(train) == classes(val) == {1, 2, 9}


def test_strata_keep_their_shares(tmp_path):
    images = [[1]] * 40 + [[2]] * 10
    _, val = split(content(tmp_path, images), tmp_path, share=0.2)
    labels = [annotation["category_id"] for annotation in val["annotations"]]
    assert (labels.count(1), labels.count(2)) == (8, 2)


@pytest.mark.parametrize("seed", range(6))
def test_equal_images_stay_together(tmp_path, seed):
    whole = content(tmp_path, [[1]] * 6, equal=[(0, 1), (2, 3)])
    val = ids(split(whole, tmp_path, share=0.4, seed=seed)[1])
    assert (0 in val) == (1 in val)
    assert (2 in val) == (3 in val)


@pytest.mark.parametrize(
    ("images", "equal"), [([[1]], ()), ([[1], []], ()), ([[1], [1]], [(0, 1)]), ([[]], ())]
)
def test_too_few_images_are_refused(tmp_path, images, equal):
    with pytest.raises(UserError, match=r"at least two different images with objects, but"):
        split(content(tmp_path, images, equal), tmp_path)


def test_two_images_are_one_for_each(tmp_path):
    train, val = split(content(tmp_path, [[1], [2]]), tmp_path, share=0.01)
    assert len(train["images"]) == len(val["images"]) == 1


def test_mistakes_are_named(tmp_path):
    whole = content(tmp_path, [[1], [1]])
    with pytest.raises(UserError, match=r"share is 20, expected a number between 0 and 1"):
        split(whole, tmp_path, share=20)
    (tmp_path / "1.png").unlink()
    with pytest.raises(UserError, match=r"1\.png: can't be read \(No such file"):
        split(whole, tmp_path)

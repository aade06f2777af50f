"""Class names of YOLO: a list for each folder, and names that YAML has another type for."""

import pytest
from data_folders import found, remark, save_image, write

from vanillanet_det import UserError
from vanillanet_det.datasets.formats import read_dataset

BOX = " 0.5 0.5 0.5 0.25\n"


def labelled(root, split, *indices, folder="labels/{}", images="images/{}"):
    """An image with an object of each of the class indices."""
    save_image(root / images.format(split) / f"{split}.png")
    path = root / folder.format(split) / f"{split}.txt"
    write(path, "".join(f"{index}{BOX}" for index in indices))
    return path.parent


def names(source, split="train"):
    return [name for _, name, _ in found(source, split)]


@pytest.mark.parametrize("name", ["classes.txt", "obj.names", "_darknet.labels"])
def test_each_folder_has_its_own_list(tmp_path, name):
    write(labelled(tmp_path, "train", 0, 1, 1) / "classes.txt", "square\ndisc\n")
    write(labelled(tmp_path, "val", 0, 1, 1) / name, "disc\nsquare\r\n\n")
    source = read_dataset(tmp_path)
    assert source.classes == ("square", "disc")
    assert names(source) == ["disc", "disc", "square"]
    assert names(source, "val") == ["disc", "square", "square"]
    assert remark(source, "Lists of classes that differ").endswith(f"labels/val/{name}): 2.")


def test_lists_of_other_lengths_beside_the_images(tmp_path):
    write(labelled(tmp_path, "train", 0, folder="{}", images="{}") / "classes.txt", "disc\n")
    write(labelled(tmp_path, "val", 1, folder="{}", images="{}") / "labels.txt", "ring\ndisc\n")
    source = read_dataset(tmp_path)
    assert (names(source), names(source, "val")) == (["disc"], ["disc"])
    assert source.skipped == (0, 0)


def test_the_nearest_list_above_holds(tmp_path):
    labelled(tmp_path, "train", 1)
    write(labelled(tmp_path, "val", 1) / "classes.txt", "disc\nsquare\n")
    write(tmp_path / "classes.txt", "square\ndisc\n")
    source = read_dataset(tmp_path)
    assert (names(source), names(source, "val")) == (["disc"], ["square"])


def test_lists_that_could_both_hold_are_refused(tmp_path):
    labelled(tmp_path, "train", 1)
    for folder in ("one", "two"):
        write(tmp_path / folder / "classes.txt", f"square\n{folder}\n")
    with pytest.raises(UserError, match=r"labels/train: .* those of .*one.* or of .*two"):
        read_dataset(tmp_path)
    write(tmp_path / "labels/train/obj.names", "a\nb\n")
    assert names(read_dataset(tmp_path)) == ["b"]
    write(tmp_path / "labels/train/classes.txt", "b\na\n")
    with pytest.raises(UserError, match=r"labels/train: its classes could be .*classes\.txt or of"):
        read_dataset(tmp_path)


def test_an_empty_line_has_an_index(tmp_path):
    write(labelled(tmp_path, "train", 0, 2) / "classes.txt", "square\n\ndisc\n\n\n")
    assert names(read_dataset(tmp_path)) == ["disc", "square"]
    labelled(tmp_path, "train", 1)
    with pytest.raises(UserError, match=r"train\.txt:1: class is 1, which has no name; name it in"):
        read_dataset(tmp_path)
    write(tmp_path / "labels/train/classes.txt", "\n\n")
    with pytest.raises(UserError, match=r"classes\.txt: lists no classes"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("place", ["labels/train", "labels", "."])
def test_lists_and_data_yaml(tmp_path, place):
    labelled(tmp_path, "train", 0)
    folder = tmp_path / place
    write(tmp_path / "data.yaml", "train: images/train\nnames: [square, disc]\n")
    write(folder / "classes.txt", "square\ndisc\n")
    assert len(read_dataset(tmp_path).remarks) == 2  # the summary and a class without objects
    write(folder / "classes.txt", "square\nring\n")
    source = read_dataset(tmp_path)
    assert names(source) == ["square"]
    assert remark(source, "Class lists that differ from the names in data.yaml").endswith(
        "classes.txt): 1."
    )
    write(folder / "classes.txt", "square\nsquare\n")
    assert remark(read_dataset(tmp_path), "Class lists that can't be read, ignored")
    write(folder / "classes.txt", "disc\nsquare\n")
    with pytest.raises(UserError, match=r"names has the classes of .* in another order"):
        read_dataset(tmp_path)


def test_another_yaml_file_beside_data_yaml(tmp_path):
    labelled(tmp_path, "train", 0)
    write(tmp_path / "data.yaml", "train: images/train\nnames: [square, disc]\n")
    write(tmp_path / "other.yaml", "train: images/train\nnames: [disc, square]\n")
    write(tmp_path / "training.yaml", "epochs: 3\n")
    source = read_dataset(tmp_path)
    assert names(source) == ["square"]
    assert remark(source, "YAML files that list classes, ignored").endswith("(other.yaml): 1.")


LETTERS = "abcdefghijklmnop"
TYPED = ["yes", "no", "on", "010", "1_000", "1e3", "null", "~", "2024-01-01", "12:30", "0x1F", ".5"]


@pytest.mark.parametrize(
    "text",
    [
        "[" + ", ".join(TYPED) + "]",
        "".join(f"\n  - {name}" for name in TYPED),
        "".join(f"\n  {index}: {name}" for index, name in enumerate(TYPED)),
        "".join(f"\n  '{index}': \"{name}\"" for index, name in enumerate(TYPED)),
    ],
)
def test_names_are_text(tmp_path, text):
    labelled(tmp_path, "train", *range(len(TYPED)))
    write(tmp_path / "data.yaml", f"train: images/train\nval: ~\ntest: null\nnames: {text}\n")
    assert read_dataset(tmp_path).classes == tuple(TYPED)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [a, [b]]", r"class 1 in names is a list, expected a name; put it in quotes"),
        ("names: [a, {b: c}]", r"class 1 in names is a dict"),
        ("names: cat", r"names is 'cat', expected a list"),
        ("names:", r"names is '', expected a list"),
        ("names: {1: a, 2: b}", r"names has the indices 1, 2, expected 0 to 1"),
        ("names: [a, a]", r"the class 'a' is listed twice"),
        ("names: " + "[" * 2000, r"data\.yaml.*: is not valid YAML"),
        (
            "a: &a [x, x, x]\n"
            + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip(LETTERS, LETTERS[1:]))
            + "names: *p",
            r"class 0 in names is a list",
        ),
    ],
)
def test_names_that_are_none(tmp_path, text, message):
    labelled(tmp_path, "train", 0)
    write(tmp_path / "data.yaml", f"train: images/train\n{text}\n")
    with pytest.raises(UserError, match=message) as caught:
        read_dataset(tmp_path)
    assert len(str(caught.value)) < 400

"""Pascal VOC in the wild: lists, boxes that count from 1, and invalid files."""

import shutil

import pytest
from data_folders import SIZE, found, remark, save_image, sizes, write

from vanillanet_det import UserError
from vanillanet_det.datasets.formats import read_dataset

BOX = [5, 6, 20, 10]


def xml(name="a.jpg", edges=(6, 7, 25, 16), size=SIZE, label="cat", extra="", more=""):
    box = "".join(f"<{t}>{v}</{t}>" for t, v in zip(("xmin", "ymin", "xmax", "ymax"), edges))
    declared = size and f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    return (
        f"<annotation><folder>gone</folder><filename>{name}</filename><path>C:\\gone\\{name}</path>"
        f"{declared or ''}<object><name>{label}</name>{extra}<bndbox>{box}</bndbox></object>{more}"
        "</annotation>"
    )


def standard(root, *names, lists=(), **keys):
    for name in names:
        save_image(root / "JPEGImages" / f"{name}.jpg")
        write(root / "Annotations" / f"{name}.xml", xml(f"{name}.jpg", **keys))
    for split, listed in lists:
        write(root / "ImageSets/Main" / f"{split}.txt", "".join(f"{name}\n" for name in listed))
    return root


def test_lists_say_the_split(tmp_path):
    lists = [("train", ["ä 1"]), ("val", ["b"]), ("trainval", ["ä 1", "b"]), ("test", ["c"])]
    standard(tmp_path, "ä 1", "b", "c", "d", lists=[*lists, ("cat_train", ["c -1"])])

    source = read_dataset(tmp_path)

    assert (source.format, source.root, source.classes) == ("Pascal VOC", tmp_path, ("cat",))
    assert found(source) == [("JPEGImages/ä 1.jpg", "cat", BOX)]
    assert found(source, "val") == [("JPEGImages/b.jpg", "cat", BOX)]
    assert remark(source, "Annotation files of the test split").endswith(": 1.")
    assert remark(source, "Annotation files that aren't listed").endswith(": 1.")


@pytest.mark.parametrize(
    ("lists", "train", "val"),
    [
        ([], "ab", None),
        ([("train", "ab")], "ab", None),
        ([("trainval", "ab")], "ab", None),
        ([("trainval", "ab"), ("val", "b")], "a", "b"),
        ([("train", ["a 1"]), ("val", ["b.jpg"])], "a", "b"),
        ([("Train", "a"), ("Validation", "b")], "a", "b"),  # CVAT's subsets
        ([("train", "a"), ("valid", "b"), ("Trainval", "ab")], "a", "b"),
    ],
)
def test_lists_that_are_there(tmp_path, lists, train, val):
    source = read_dataset(standard(tmp_path, "a", "b", lists=lists))
    assert [name[11] for name, *_ in found(source)] == list(train)
    assert val is None or [name[11] for name, *_ in found(source, "val")] == list(val)
    assert (source.val is None) == (val is None)


def test_lists_of_no_split_are_reported(tmp_path):
    lists = [("train", "a"), ("cat_train", "a"), ("default", "a")]
    source = read_dataset(standard(tmp_path, "a", lists=lists))
    assert remark(source, "Lists in ImageSets/Main/ whose names aren't those of a split").endswith(
        "(cat_train.txt, default.txt): 2."
    )


def cameras(root, *files, lists):
    """Write annotation files and images of the same names; the x of a box tells which it is."""
    for x, name in enumerate(files):
        save_image(root / "JPEGImages" / f"{name}.jpg", seed=x)
        edges = (x + 1, 7, 25, 16)
        write(root / "Annotations" / f"{name}.xml", xml(f"{name}.jpg", edges=edges))
    for split, listed in lists:
        write(root / "ImageSets/Main" / f"{split}.txt", "".join(f"{name}\n" for name in listed))
    return root


@pytest.mark.parametrize(
    "form",
    ["{}", "{}.jpg", "{} 1", "{}.jpg -1", "Annotations/{}", "JPEGImages/{}.jpg", "./x/{}.xml"],
)
def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path, form):
    files = ["cam1/0001", "cam2/0001", "0001"]
    lists = [
        ("train", [form.format(files[0])]),
        ("val", [form.format(files[1])]),
        ("test", ["0001"]),
    ]
    source = read_dataset(cameras(tmp_path, *files, lists=lists))
    assert [(name, box[0]) for name, _, box in found(source)] == [("JPEGImages/cam1/0001.jpg", 0)]
    assert [(name, box[0]) for name, _, box in found(source, "val")] == [
        ("JPEGImages/cam2/0001.jpg", 1)
    ]
    assert remark(source, "Annotation files of the test split").endswith(": 1.")


def test_a_name_of_several_files_is_refused(tmp_path):
    lists = [("train", ["cam1/0001", "0001"])]
    with pytest.raises(UserError) as caught:
        read_dataset(cameras(tmp_path, "cam1/0001", "cam2/0001", lists=lists))
    assert str(caught.value) == (
        f"{tmp_path}/ImageSets/Main/train.txt:2: 0001 could be Annotations/cam1/0001.xml, "
        "Annotations/cam2/0001.xml; write its path relative to Annotations/ without the "
        "extension, or keep only one file with this name"
    )


def test_a_copy_elsewhere_does_not_hide_the_file_that_is_meant(tmp_path):
    standard(tmp_path, "a", lists=[("train", ["a"])])
    for folder in ("Again", "Z"):
        write(tmp_path / folder / "a.xml", xml("a.jpg", label="dog"))
    source = read_dataset(tmp_path)
    assert source.classes == ("cat",)
    assert remark(source, "Annotation files that aren't listed").endswith(": 2.")


def test_a_name_is_found_in_whatever_folder(tmp_path):
    source = read_dataset(cameras(tmp_path, "cam1/0001", lists=[("train", ["0001"])]))
    assert [name for name, *_ in found(source)] == ["JPEGImages/cam1/0001.jpg"]


def test_folders_say_the_split(tmp_path):
    for split in ("train", "valid"):
        save_image(tmp_path / split / "a.jpg")
        write(tmp_path / split / "a.xml", xml())
    source = read_dataset(tmp_path)
    assert found(source) == [("train/a.jpg", "cat", BOX)]
    assert found(source, "val") == [("valid/a.jpg", "cat", BOX)]


def test_images_are_found_by_the_folder_s_name(tmp_path):
    for split in ("train", "val"):
        save_image(tmp_path / "images" / split / "a.jpg")
        write(tmp_path / "xml" / split / "a.xml", xml("stale.jpg"))
    write(tmp_path / "xml/train/other.xml", xml("b.jpg"))
    save_image(tmp_path / "images/b.jpg")
    source = read_dataset(tmp_path)
    assert [name for name, *_ in found(source)] == ["images/b.jpg", "images/train/a.jpg"]
    assert [name for name, *_ in found(source, "val")] == ["images/val/a.jpg"]


def test_boxes_count_from_one_and_numbers_are_read(tmp_path):
    standard(tmp_path, "a", edges=(0, "1.0", "60", 40.0))
    source = read_dataset(tmp_path)
    assert found(source)[0][2] == [0, 0, *SIZE]
    assert remark(source, "Box edges clipped because they are at 0").endswith(": 1.")


def test_difficult_objects_are_crowd(tmp_path):
    standard(tmp_path, "a")
    standard(tmp_path, "b", extra="<difficult>1</difficult>")
    source = read_dataset(tmp_path)
    assert [a["iscrowd"] for a in source.train["annotations"]] == [0, 1]
    assert remark(source, "Objects marked as difficult").endswith(": 1.")


def test_images_without_objects_are_kept_and_those_without_a_file_left_out(tmp_path):
    standard(tmp_path, "a")
    save_image(tmp_path / "JPEGImages/b.jpg")
    save_image(tmp_path / "JPEGImages/c.jpg")
    write(tmp_path / "Annotations/c.xml", "<annotation><filename>c.jpg</filename></annotation>")
    source = read_dataset(tmp_path)
    assert found(source)[1:] == ["JPEGImages/c.jpg"]
    assert remark(source, "Images without an annotation file, skipped").endswith(": 1.")


@pytest.mark.parametrize("size", [None, (0, 0)])
def test_size_is_of_the_displayed_image_unless_declared(tmp_path, size):
    standard(tmp_path, "a", size=size)
    standard(tmp_path, "b", size=(7, 5))
    save_image(tmp_path / "JPEGImages/a.jpg", turned=True)
    assert list(sizes(read_dataset(tmp_path)).values()) == [SIZE[::-1], (7, 5)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (xml(edges=(26, 7, 6, 16)), r"a\.xml: object 1: its box spans \(26, 7\) to \(6, 16\)"),
        (xml(edges=("x", 7, 6, 16)), r"a\.xml: object 1: xmin 'x' is not a finite number"),
        (xml(edges=(1, 2, 3)), r"a\.xml: object 1: has no ymax"),
        (xml(label=" "), r"a\.xml: object 1: has no name"),
        (xml(more="<object/>"), r"a\.xml: object 2: has no name"),
        (xml(size=("x", 1)), r"a\.xml: size: 'x'"),
        (xml()[:-1], r"a\.xml:1: is not valid XML"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]>" + xml(), r"a\.xml: has a DOCTYPE"),
    ],
)
def test_mistakes_are_named(tmp_path, content, message):
    standard(tmp_path, "a")
    write(tmp_path / "Annotations/a.xml", content)
    with pytest.raises(UserError, match=message):
        read_dataset(tmp_path)


def test_missing_and_doubtful_images_are_named(tmp_path):
    standard(tmp_path, "a")
    shutil.copy(tmp_path / "Annotations/a.xml", tmp_path / "Annotations/b.xml")
    with pytest.raises(UserError, match=r"b\.xml: annotates JPEGImages/a\.jpg, as does Ann.*/a\."):
        read_dataset(tmp_path)
    write(tmp_path / "Annotations/b.xml", xml("../../b.jpg"))
    save_image(tmp_path.parent / "b.jpg")
    with pytest.raises(
        UserError, match=r"are missing \(Annotations/b\.xml of '\.\./\.\./b\.jpg'\): 1; add"
    ):
        read_dataset(tmp_path)
    for folder in ("one", "two"):
        save_image(tmp_path / folder / "b.jpg")
    with pytest.raises(UserError, match=r"b\.xml: could belong to one/b\.jpg, two/b\.jpg; keep"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ([("train", ["a", "x"])], r"without an annotation file \(train\.txt:2: x\): 1; add"),
        ([("train", ["a"]), ("val", ["a"])], r"val\.txt:1: a is also in .*train\.txt"),
        ([("val", ["a"])], r"all annotation files are for validation or test"),
    ],
)
def test_wrong_lists_are_named(tmp_path, lists, message):
    with pytest.raises(UserError, match=message):
        read_dataset(standard(tmp_path, "a", lists=lists))


def test_twenty_thousand_objects_take_no_time(tmp_path, clock):
    text = xml(more="".join(xml().partition("<object>")[1:])[: -len("</annotation>")] * 49)
    save_image(tmp_path / "0.jpg")
    for i in range(400):
        (tmp_path / f"{i}.jpg").touch()
        write(tmp_path / f"{i}.xml", text)
    with clock(3):
        assert len(read_dataset(tmp_path).train["annotations"]) == 20_000


def test_a_image_beside_the_annotation_comes_before_one_below_it(tmp_path):
    write(tmp_path / "a.xml", xml("a.jpg"))
    for name in ("a.jpg", "older/a.jpg"):
        save_image(tmp_path / name)
    assert [name for name, *_ in found(read_dataset(tmp_path))] == ["a.jpg"]

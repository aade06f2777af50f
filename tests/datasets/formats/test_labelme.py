"""LabelMe in the wild: shapes, groups, and image paths of another machine."""

import base64

import pytest
from data_folders import SIZE, found, remark, save_image, sizes, write

from vanillanet_det import UserError
from vanillanet_det.datasets.formats import read_dataset

CORNERS = [[5, 6], [25, 16]]
BOX = [5, 6, 20, 10]
TRIANGLE = [[5, 6], [25, 6], [25, "16.0"]]


def shape(points=CORNERS, kind="rectangle", label="cat", group=None):
    return dict(label=label, points=points, group_id=group, shape_type=kind, flags={})


def labelme(*shapes, image="a.jpg", size=SIZE):
    return dict(
        version="5.4.1",
        flags={},
        shapes=list(shapes),
        imagePath=image,
        imageData=base64.b64encode(bytes(100)).decode(),
        imageHeight=size[1],
        imageWidth=size[0],
    )


def standard(root, *shapes, name="a", **keys):
    save_image(root / f"{name}.jpg")
    write(root / f"{name}.json", labelme(*shapes, **keys))
    return root


def test_polygons_rectangles_and_circles(tmp_path):
    standard(
        tmp_path,
        shape(TRIANGLE, "polygon", "dog"),
        shape(CORNERS[::-1]),
        shape([[30, 20], [30, 30]], "circle"),
        name="ä b",
        image="ä b.jpg",
    )

    source = read_dataset(tmp_path)

    polygon, rectangle, circle = source.train["annotations"]
    assert (source.format, source.root, source.classes) == ("LabelMe", tmp_path, ("cat", "dog"))
    assert polygon["segmentation"] == [[5, 6, 25, 6, 25, 16]]
    assert (polygon["category_id"], polygon["bbox"], polygon["area"]) == (2, BOX, 100)
    assert (rectangle["category_id"], rectangle["bbox"]) == (1, BOX)
    assert "segmentation" not in rectangle
    assert circle["bbox"] == [20, 10, 20, 20]
    assert circle["area"] == pytest.approx(3.14 * 100, rel=0.01)
    assert source.remarks[1:] == ()


def test_shapes_of_a_group_are_one_object(tmp_path):
    standard(
        tmp_path,
        shape(TRIANGLE, "polygon", group=1),
        shape([[40, 30], [50, 35]], group=1),
        shape(TRIANGLE, "polygon", "dog", group=1),
    )
    source = read_dataset(tmp_path)
    joined, dog = source.train["annotations"]
    assert joined["bbox"] == [5, 6, 45, 29]
    assert joined["segmentation"] == [[5, 6, 25, 6, 25, 16], [40, 30, 50, 30, 50, 35, 40, 35]]
    assert dog["bbox"] == BOX
    assert remark(source, "Shapes joined to others of the same label").endswith("(a.json): 1.")
    assert source.skipped == (0, 1)


def test_rectangles_of_a_group_are_objects_of_their_own(tmp_path):
    """Some tools write the same group_id for all shapes, and two boxes don't make a larger one."""
    standard(tmp_path, *[shape(group=0)] * 3, shape(label="dog", group=0))
    standard(tmp_path, shape([[20, 20], [28, 20]], "circle", group=0), name="b", image="b.jpg")
    source = read_dataset(tmp_path)
    assert [name for _, name, _ in found(source)] == ["cat"] * 3 + ["dog", "cat"]
    assert remark(source, "Rectangles of the same label and group_id").endswith("(a.json): 3.")
    assert source.skipped == (0, 0)


@pytest.mark.parametrize("label", ["__ignore__", "_background_"])
def test_labels_that_are_no_class_are_left_out(tmp_path, label):
    standard(tmp_path, shape(), shape(TRIANGLE, "polygon", label))
    source = read_dataset(tmp_path)
    assert source.classes == ("cat",)
    assert remark(source, "Shapes labelled __ignore__ or _background_").endswith("(a.json): 1.")
    assert source.skipped == (0, 1)


def test_what_has_no_area_is_left_out_and_counted(tmp_path):
    kinds = ["point", "line", "linestrip", "polygon"]
    standard(tmp_path, shape(), *(shape(CORNERS, kind) for kind in kinds), shape(kind="mask"))
    source = read_dataset(tmp_path)
    assert found(source) == [("a.jpg", "cat", BOX)] * 2
    assert remark(source, "Shapes without an area").endswith(": 4.")
    assert remark(source, "Shapes drawn as masks").endswith(": 1.")


@pytest.mark.parametrize(
    ("json_file", "image", "said"),
    [
        ("a.json", "a.jpg", r"C:\\photos\\gone.jpg"),
        ("other.json", "a.jpg", r"..\\..\\a.jpg"),
        ("json/a.json", "images/a.jpg", "../images/a.jpg"),
        ("json/x.json", "images/a.jpg", r"..\\images\\a.jpg"),
    ],
)
def test_images_are_found(tmp_path, json_file, image, said):
    save_image(tmp_path.parent / "a.jpg")
    save_image(tmp_path / image)
    write(tmp_path / json_file, labelme(shape(), image=said))
    assert found(read_dataset(tmp_path)) == [(image, "cat", BOX)]


def test_the_path_decides_between_equal_names(tmp_path):
    for folder in ("one", "two"):
        save_image(tmp_path / folder / "a.jpg")
    write(tmp_path / "json/a.json", labelme(shape(), image="../two/a.jpg"))
    assert found(read_dataset(tmp_path)) == [("two/a.jpg", "cat", BOX)]


def test_folders_say_the_split(tmp_path):
    for split in ("train", "val", "test"):
        standard(tmp_path / split, shape())
    standard(tmp_path / "val", name="empty")
    save_image(tmp_path / "train/alone.jpg")
    write(tmp_path / "settings.json", {"a": 1})
    source = read_dataset(tmp_path)
    assert found(source) == [("train/a.jpg", "cat", BOX)]
    assert found(source, "val") == [("val/a.jpg", "cat", BOX), "val/empty.jpg"]
    for start in (
        "Annotation files of the test split",
        "JSON files in other formats",
        "Images without an",
    ):
        assert remark(source, start).endswith(": 1.")


def test_size_is_of_the_displayed_image_unless_declared(tmp_path):
    standard(tmp_path, shape(), size=(0, 0))
    standard(tmp_path, name="b", size=("7", 5))
    save_image(tmp_path / "a.jpg", turned=True)
    assert list(sizes(read_dataset(tmp_path)).values()) == [SIZE[::-1], (7, 5)]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (shape(label=""), r"a\.json: shape 2: its label is ''"),
        (shape([[1, "x"], [2, 3]]), r"a\.json: shape 2: its points are not pairs .*'x'"),
        (shape([1, 2]), r"a\.json: shape 2: its points are not pairs"),
        (shape(kind="star"), r"a\.json: shape 2: is a 'star', expected a polygon"),
        ("cat", r"a\.json: shape 2: is 'cat', expected an object with label"),
    ],
)
def test_mistakes_are_named(tmp_path, broken, message):
    with pytest.raises(UserError, match=message):
        read_dataset(standard(tmp_path, shape(), broken))


def test_missing_images_and_double_files_are_named(tmp_path):
    standard(tmp_path, shape())
    write(tmp_path / "b.json", labelme(shape()))
    with pytest.raises(UserError, match=r"b\.json: annotates a\.jpg, as does a\.json"):
        read_dataset(tmp_path)
    write(tmp_path / "b.json", labelme(shape(), image="../b.jpg"))
    save_image(tmp_path.parent / "b.jpg")
    with pytest.raises(UserError, match=r"images are missing \(b\.json of '\.\./b\.jpg'\): 1; add"):
        read_dataset(tmp_path)


@pytest.mark.slow
def test_twenty_thousand_objects_take_no_time(tmp_path, clock):
    for i in range(400):
        (tmp_path / f"{i}.jpg").touch()
        write(tmp_path / f"{i}.json", labelme(*[shape(TRIANGLE, "polygon")] * 50))
    with clock(3):
        assert len(read_dataset(tmp_path).train["annotations"]) == 20_000


def test_an_image_that_opencv_cannot_read_is_named(tmp_path):
    standard(tmp_path, shape())
    write(tmp_path / "b.json", labelme(shape(), image="b.HEIC"))
    write(tmp_path / "b.HEIC", "")
    with pytest.raises(UserError, match=r"b\.json: OpenCV can't read its image b\.HEIC; convert"):
        read_dataset(tmp_path)

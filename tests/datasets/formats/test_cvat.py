"""CVAT's XML: rotated boxes, masks, groups, subsets, and shapes that aren't objects."""

import math

import pytest
from data_folders import SIZE, found, remark, save_image, sizes, write
from pycocotools import mask as coco_mask

from vanillanet_det import UserError
from vanillanet_det.datasets.formats import read_dataset

BOX = '<box label="cat" source="manual" occluded="0" xtl="5" ytl="6" xbr="25" ybr="16"/>'
TRIANGLE = '<polygon label="cat" points="5.0,6.0;25.0,6.0;25.0,16.0" {}/>'
META = "<version>1.1</version><meta><task><labels><label><name>cat</name></label></labels></task>"
META += "</meta>"


def image(*shapes, name="a.jpg", keys="", size=SIZE):
    sides = f'width="{size[0]}" height="{size[1]}"'
    return f'<image id="0" name="{name}" {keys} {sides}>{"".join(shapes)}</image>'


def export(root, *images, saved=("a.jpg",), text=None):
    for index, name in enumerate(saved):
        save_image(root / "images" / name, seed=index)
    text = text or f"<annotations>{META}{''.join(images)}</annotations>"
    write(root / "annotations.xml", '<?xml version="1.0" encoding="utf-8"?>\n' + text)
    return root


def one(root, *shapes):
    return read_dataset(export(root, image(*shapes)))


def test_boxes_polygons_and_ellipses(tmp_path):
    source = one(
        tmp_path,
        BOX,
        TRIANGLE.format(""),
        '<ellipse label="cat" cx="30" cy="20" rx="6" ry="4"/>',
        '<ellipse label="cat" cx="30" cy="20" rx="6" ry="4" rotation="90.0"/>',
    )
    box, polygon, upright, turned = source.train["annotations"]
    assert (source.format, source.classes, source.root) == ("CVAT", ("cat",), tmp_path)
    assert sizes(source) == {"images/a.jpg": SIZE}
    assert (box["bbox"], box.get("segmentation")) == ([5, 6, 20, 10], None)
    assert polygon["segmentation"] == [[5, 6, 25, 6, 25, 16]]
    assert upright["bbox"] == [24, 16, 12, 8]
    assert upright["area"] == pytest.approx(math.pi * 24, rel=0.01)
    assert turned["bbox"] == [26, 14, 8, 12]
    assert source.remarks[1:] == ()


def test_rotated_boxes_turn_around_their_centre(tmp_path):
    turned = BOX.replace("/>", ' rotation="{}"/>')
    source = one(tmp_path, *(turned.format(degrees) for degrees in (90, 30, 330, 360, 0)))
    boxes = [annotation["bbox"] for annotation in source.train["annotations"]]
    cos, sin = math.cos(math.pi / 6), math.sin(math.pi / 6)
    width, height = 20 * cos + 10 * sin, 20 * sin + 10 * cos
    slanted = pytest.approx([15 - width / 2, 11 - height / 2, width, height], abs=1e-3)
    assert boxes == [[10, 1, 10, 20], slanted, slanted, [5, 6, 20, 10], [5, 6, 20, 10]]
    assert remark(source, "Rotated boxes").endswith(": 3.")


def test_masks_run_along_the_rows_of_their_box(tmp_path):
    mask = '<mask label="cat" rle="1, 2, 2, 1" left="10" top="4" width="3" height="2"/>'
    beyond = '<mask label="cat" rle="0, 6" left="58" top="39" width="3" height="2"/>'
    empty = '<mask label="cat" rle="6" left="10" top="4" width="3" height="2"/>'
    source = one(tmp_path, mask, beyond, empty)
    first, second = source.train["annotations"]
    pixels = coco_mask.decode(first["segmentation"])
    assert pixels.shape == SIZE[::-1]
    assert pixels[4:6, 10:13].tolist() == [[0, 1, 1], [0, 0, 1]]
    assert (first["bbox"], first["area"]) == ([11, 4, 2, 2], 3)
    assert (second["bbox"], second["area"]) == ([58, 39, 2, 1], 2)
    assert remark(source, "Masks without a pixel").endswith(": 1.")
    assert source.skipped == (0, 1)


def test_polygons_of_a_group_are_one_object(tmp_path):
    far = TRIANGLE.replace('"5.0', '"45.0')
    source = one(
        tmp_path,
        TRIANGLE.format('group_id="3"'),
        far.format('group_id="3"'),
        TRIANGLE.format('group_id="4"'),
        TRIANGLE.format('group_id="3"').replace("cat", "dog"),
        *(BOX.replace("/>", ' group_id="3"/>') for _ in range(2)),
    )
    assert [len(a.get("segmentation", ())) for a in source.train["annotations"]] == [2, 1, 1, 0, 0]
    assert source.train["annotations"][0]["bbox"] == [5, 6, 40, 10]
    assert remark(source, "Polygons joined to others").endswith(": 1.")
    assert source.skipped == (0, 1)


def test_what_is_no_area_is_counted(tmp_path):
    source = one(
        tmp_path,
        BOX,
        '<points label="cat" points="5,5"/>',
        '<polyline label="cat" points="5,5;6,6"/>',
        '<cuboid label="cat" xtl1="1" ytl1="1"/>',
        '<skeleton label="cat"><points label="nose" points="5,5"/></skeleton>',
        '<tag label="indoor"></tag>',
    )
    assert remark(source, "Shapes without an area").endswith(": 2.")
    assert remark(source, "Cuboids and skeletons").endswith(": 2.")
    assert remark(source, "Tags of whole images").endswith(": 1.")
    assert (len(source.train["annotations"]), source.skipped) == (1, (0, 4))


def test_subsets(tmp_path):
    subsets = {"a.jpg": "Train", "b.jpg": "Validation", "c.jpg": "Test", "d.jpg": "default"}
    images = [image(BOX, name=name, keys=f'subset="{subset}"') for name, subset in subsets.items()]
    source = read_dataset(export(tmp_path, *images, saved=list(subsets)))
    assert [name for name, *_ in found(source)] == ["images/a.jpg", "images/d.jpg"]
    assert [name for name, *_ in found(source, "val")] == ["images/b.jpg"]
    assert remark(source, "Images of the test split").endswith(": 1.")
    assert source.skipped == (1, 0)


def test_images_of_one_name_in_subfolders(tmp_path):
    images = [image(BOX, name=f"{i}/a.jpg") for i in (1, 2)]
    source = read_dataset(export(tmp_path, *images, saved=("1/a.jpg", "2/a.jpg")))
    assert [name for name, *_ in found(source)] == ["images/1/a.jpg", "images/2/a.jpg"]
    assert source.remarks[1:] == ()


def test_an_image_in_another_folder_is_remarked(tmp_path):
    source = read_dataset(export(tmp_path, image(BOX, name="batch/a.jpg")))
    assert remark(source, "Images found in another folder").endswith("(images/a.jpg): 1.")


def test_several_tasks_in_a_folder(tmp_path):
    for split in ("train", "val"):
        export(tmp_path / split, image(BOX, name=f"{split}.jpg"), saved=(f"{split}.jpg",))
    source = read_dataset(tmp_path)
    assert [len(source.train["images"]), len(source.val["images"])] == [1, 1]


def test_videos_are_refused_with_the_export_to_choose(tmp_path):
    box = BOX.replace("<box", '<box frame="0" outside="0" keyframe="1"')
    text = f'<annotations>{META}<track id="0" label="cat">{box}</track></annotations>'
    with pytest.raises(UserError, match=r'is "CVAT for video 1\.1".*"CVAT for images 1\.1" or'):
        read_dataset(export(tmp_path, text=text))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (BOX.replace('label="cat"', ""), r"a box without a label"),
        (BOX.replace('xtl="5"', ""), r"a box without xtl"),
        (BOX.replace('xtl="5"', 'xtl="x"'), r"xtl 'x' is not a finite number"),
        (BOX.replace('xtl="5"', 'xtl="50"'), r"its box spans \(50, 6\) to \(25, 16\), expected"),
        (BOX.replace("/>", ' rotation="nan"/>'), r"'nan' is not a finite number"),
        ('<polygon label="cat" points="1,2;3,4"/>', r"its points aren't three or more pairs"),
        ('<polygon label="cat" points="1,2;3,4;5"/>', r"its points aren't three or more pairs"),
        ('<mask label="cat" rle="1,2" left="0" top="0" width="9" height="9"/>', r"don't add up"),
        ('<mask label="cat" rle="99" left="0" top="0" width="99" height="1"/>', r"99 x 1 pixels"),
        ('<blob label="cat"/>', r"is a 'blob', expected a box, polygon, ellipse or mask"),
    ],
)
def test_shapes_that_are_wrong(tmp_path, shape, message):
    with pytest.raises(UserError, match=rf"annotations\.xml: a\.jpg: shape 2: .*{message}"):
        one(tmp_path, BOX, shape)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (image(BOX, name=""), r"annotations\.xml: image 1: has no name"),
        (image(BOX, size=(0, 4)), r"image 1: its size is 0 x 4, expected pixels"),
        (image(BOX) * 2, r"a\.jpg: annotates images/a\.jpg, as does"),
        (image(BOX, name="b.jpg"), r"Annotated images that are missing \(b\.jpg\): 1"),
        ("<image", r"annotations\.xml:2: is not valid XML"),
    ],
)
def test_images_that_are_wrong(tmp_path, images, message):
    with pytest.raises(UserError, match=message):
        read_dataset(export(tmp_path, images))


def test_images_of_one_name_in_several_subsets(tmp_path):
    names = ("Train", "Validation")
    images = [image(BOX, name="f_0.jpg", keys=f'subset="{name}"') for name in names]
    source = read_dataset(export(tmp_path, *images, saved=[f"{name}/f_0.jpg" for name in names]))
    assert found(source)[0][0] == "images/Train/f_0.jpg"
    assert found(source, "val")[0][0] == "images/Validation/f_0.jpg"
    assert source.remarks[1:] == ()


def test_images_of_one_name_in_a_folder_and_below_it(tmp_path):
    names = ("a.jpg", "sub/a.jpg")
    source = read_dataset(export(tmp_path, *(image(BOX, name=name) for name in names), saved=names))
    assert [file for file, *_ in found(source)] == ["images/a.jpg", "images/sub/a.jpg"]
    assert source.remarks[1:] == ()

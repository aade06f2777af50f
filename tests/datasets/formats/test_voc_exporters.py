"""Pascal VOC of other tools: words for numbers, boxes that count from 0, drawings beside images."""

import pytest
from data_folders import found, remark, save_image, write

from vanillanet_det import UserError
from vanillanet_det.datasets.formats import read_dataset


def xml(*objects, name="a.jpg"):
    size = "<size><width>60</width><height>40</height></size>"
    return f"<annotation><filename>{name}</filename>{size}{''.join(objects)}</annotation>"


def thing(edges=(6, 7, 25, 16), extra=""):
    box = "".join(f"<{t}>{v}</{t}>" for t, v in zip(("xmin", "ymin", "xmax", "ymax"), edges))
    return f"<object><name>cat</name>{extra}<bndbox>{box}</bndbox></object>"


def standard(root, *objects, name="a", folder="JPEGImages"):
    save_image(root / folder / f"{name}.jpg")
    write(root / "Annotations" / f"{name}.xml", xml(*objects, name=f"{name}.jpg"))
    return root


def boxes(root):
    return [box for _, _, box in found(read_dataset(root))]


@pytest.mark.parametrize(
    ("word", "crowd"),
    [("Unspecified", 0), ("", 0), ("False", 0), ("no", 0), ("true", 1), (" 1 ", 1), ("Yes", 1)],
)
def test_difficult_may_be_a_word(tmp_path, word, crowd):
    standard(tmp_path, thing(), thing((8, 8, 20, 20), f"<difficult>{word}</difficult>"))
    assert [a["iscrowd"] for a in read_dataset(tmp_path).train["annotations"]] == [0, crowd]


def test_another_word_for_difficult_is_named(tmp_path):
    standard(tmp_path, thing(extra="<difficult>maybe</difficult>"))
    with pytest.raises(UserError, match=r"a\.xml: object 1: <difficult> is 'maybe', expected 0 or"):
        read_dataset(tmp_path)


def test_boxes_that_count_from_zero(tmp_path):
    standard(tmp_path, thing((0, 0, 10, 10)), thing((5, 6, 25, 16)))
    standard(tmp_path, thing((0, 8, 60, 40)), name="b")
    assert boxes(tmp_path) == [[0, 0, 10, 10], [5, 6, 20, 10], [0, 8, 60, 32]]
    text = remark(read_dataset(tmp_path), "warning: Pascal VOC counts pixels from 1, but these")
    assert text.endswith("(a.xml, b.xml): 3.")


def test_boxes_that_count_from_one(tmp_path):
    standard(tmp_path, thing((0, 1, 10, 10)), thing((1, 6, 25, 16)))
    assert boxes(tmp_path) == [[0, 0, 10, 10], [0, 5, 25, 11]]
    assert remark(read_dataset(tmp_path), "Box edges clipped").endswith("(a.xml): 1.")


def lists(root, **entries):
    for name, listed in entries.items():
        write(root / "ImageSets/Main" / f"{name}.txt", "".join(f"{entry}\n" for entry in listed))


def test_a_test_list_needs_no_annotations(tmp_path):
    standard(tmp_path, thing())
    for name in ("t1", "t2"):
        save_image(tmp_path / "JPEGImages" / f"{name}.jpg")
    lists(tmp_path, train=["a"], test=["t1", "t2", "gone"])
    source = read_dataset(tmp_path)
    assert len(source.train["images"]) == 1
    assert remark(source, "Images of the test split without an annotation file").endswith(
        "(t1, t2, gone): 3."
    )


def test_training_images_without_annotations_are_counted_and_can_be_left_out(tmp_path):
    standard(tmp_path, thing())
    lists(tmp_path, train=["a", "b", "c"], val=["d"])
    with pytest.raises(UserError, match=r"\(train\.txt:2: b, train\.txt:3: c, val\.txt:1: d\): 3"):
        read_dataset(tmp_path)
    source = read_dataset(tmp_path, skip_missing=True)
    assert (len(source.train["images"]), source.val, source.skipped) == (1, None, (3, 0))


@pytest.mark.parametrize("folder", ["AnnotationsVisualization", "SegmentationClass", "masks"])
def test_drawings_of_the_annotations_are_not_the_images(tmp_path, folder):
    """LabelMe's converter writes them under the same names."""
    standard(tmp_path, thing())
    save_image(tmp_path / folder / "a.jpg", seed=1)
    assert [name for name, *_ in found(read_dataset(tmp_path))] == ["JPEGImages/a.jpg"]


def test_images_in_two_folders_are_still_refused(tmp_path):
    standard(tmp_path, thing())
    save_image(tmp_path / "Copies/a.jpg")
    with pytest.raises(UserError, match=r"could belong to Copies/a\.jpg, JPEGImages/a\.jpg"):
        read_dataset(tmp_path)


def test_boxes_that_cvat_rotates(tmp_path):
    angle = "<attribute><name>rotation</name><value>{}</value></attribute>"
    other = "<attribute><name>color</name><value>red</value></attribute>"
    rotated = f"<attributes>{other}{angle.format(90)}</attributes>"
    standard(tmp_path, thing((11, 11, 30, 20), rotated))
    (box,) = boxes(tmp_path)
    assert box == pytest.approx([15, 5, 10, 20], abs=1e-3)
    assert remark(read_dataset(tmp_path), "Rotated boxes").endswith("(a.xml): 1.")
    straight = f"<attributes>{angle.format('0.0')}</attributes>"
    standard(tmp_path, thing((11, 11, 30, 20), straight))
    assert boxes(tmp_path) == [[10, 10, 20, 10]]


@pytest.mark.parametrize("outline", ["<robndbox><cx>9</cx></robndbox>", "<polygon><pt/></polygon>"])
def test_outlines_of_other_formats_are_named(tmp_path, outline):
    standard(tmp_path, f"<object><name>cat</name>{outline}</object>")
    with pytest.raises(UserError, match=r"object 1: is a rotated box or a polygon, which isn't"):
        read_dataset(tmp_path)


def test_missing_and_unreadable_images_can_be_left_out(tmp_path):
    standard(tmp_path, thing(), thing((8, 8, 20, 20)))
    write(tmp_path / "Annotations/b.xml", xml(thing(), thing((9, 9, 20, 20)), name="b.jpg"))
    broken = xml(thing()).replace("<width>60</width>", "").replace("a.jpg", "c.jpg")
    write(tmp_path / "Annotations/c.xml", broken)
    write(tmp_path / "JPEGImages/c.jpg", "no image")
    with pytest.raises(UserError) as caught:
        read_dataset(tmp_path)
    assert "whose images are missing (Annotations/b.xml of 'b.jpg'): 1" in str(caught.value)
    assert "Images that can't be read (c.jpg): 1" in str(caught.value)
    source = read_dataset(tmp_path, skip_missing=True)
    assert (len(source.train["annotations"]), source.skipped) == (2, (2, 3))


def test_xml_files_in_other_formats_are_named(tmp_path):
    standard(tmp_path, thing())
    save_image(tmp_path / "JPEGImages/b.jpg")
    write(tmp_path / "Annotations/b.xml", "")
    text = remark(read_dataset(tmp_path), "XML files in other formats, skipped")
    assert text.endswith("(Annotations/b.xml): 1.")

"""CreateML, Hugging Face and CSV in the wild: their variants and their mistakes."""

import json
import unicodedata

import pytest
from data_folders import SIZE, found, remark, save_image, write

from vanillanet_det import UserError
from vanillanet_det.datasets.formats import read_dataset

BOX = [5, 6, 20, 10]
CENTRE = dict(x=15, y=11, width=20, height=10)
HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
ROW = "a.jpg,60,40,cat,5,6,25,16\n"


@pytest.fixture
def root(tmp_path):
    save_image(tmp_path / "a.jpg")
    return tmp_path


def createml(root, *images, name="_annotations.createml.json"):
    write(root / name, list(images))
    return root


def boxes(*names):
    return [dict(label=name, coordinates=CENTRE) for name in names]


@pytest.mark.parametrize("image_key", ["image", "imagefilename"])
@pytest.mark.parametrize("shapes_key", ["annotations", "annotation"])
def test_createml_gives_centres(root, image_key, shapes_key):
    source = read_dataset(createml(root, {image_key: "a.jpg", shapes_key: boxes("cat", "dog")}))
    assert source.format == "CreateML"
    assert found(source) == [("a.jpg", "cat", BOX), ("a.jpg", "dog", BOX)]


def test_createml_in_folders_of_splits(root):
    for index, split in enumerate(("train", "valid", "test")):
        save_image(root / split / "b.jpg", seed=index)
        createml(root / split, dict(image="b.jpg", annotations=boxes("cat")))
    source = read_dataset(root)
    assert found(source) == [("train/b.jpg", "cat", BOX)]
    assert found(source, "val") == [("valid/b.jpg", "cat", BOX)]
    assert remark(source, "Images of the test split").endswith(": 1.")
    assert remark(source, "Images that no annotation file lists").endswith("(a.jpg): 1.")
    assert source.skipped == (2, 0)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (3, r"image 2: is 3, expected an object"),
        (dict(annotations=[]), r"image 2: its image is None"),
        (dict(image="b.jpg", annotations={}), r"image 2: its annotations are \{\}"),
        (dict(image="b.jpg", annotations=[3]), r"b\.jpg: annotation 1: is 3, expected an object"),
        (dict(image="b.jpg", annotations=[dict(label="")]), r"annotation 1: its label is ''"),
        (dict(image="b.jpg", annotations=[dict(label="a")]), r"its coordinates are None"),
        (
            dict(image="b.jpg", annotations=[dict(label="a", coordinates=dict(CENTRE, x="?"))]),
            r"b\.jpg: annotation 1: '\?' is not a finite number",
        ),
    ],
)
def test_createml_that_is_wrong(root, image, message):
    save_image(root / "b.jpg", seed=1)
    good = dict(image="a.jpg", annotations=boxes("cat"))
    with pytest.raises(UserError, match=message):
        read_dataset(createml(root, good, image))


def hugging_face(root, *objects, **keys):
    lines = [json.dumps(dict(file_name="a.jpg", objects=each, **keys)) for each in objects]
    write(root / "metadata.jsonl", "\n".join(lines) + "\n")
    return root


@pytest.mark.parametrize(
    "objects",
    [
        dict(bbox=[BOX], categories=["cat"]),
        dict(bbox=[BOX], category=["cat"], area=[200], id=[1]),
        dict(bbox=[BOX], label=[0]),
        [dict(bbox=BOX, category="cat")],
        [dict(bbox=BOX, category_id=0)],
    ],
)
def test_hugging_face_gives_columns_or_objects(root, objects):
    write(root / "classes.txt", "cat\ndog\n")
    source = read_dataset(hugging_face(root, objects, width=60))
    assert source.format == "Hugging Face image folder"
    assert found(source) == [("a.jpg", "cat", BOX)]


def test_hugging_face_without_objects_is_an_image_without(root):
    save_image(root / "b.jpg", seed=1)
    hugging_face(root, [dict(bbox=BOX, category="cat")])
    with open(root / "metadata.jsonl", "a") as file:
        file.write('{"file_name": "b.jpg", "objects": null}\n')
    source = read_dataset(root)
    assert found(source) == [("a.jpg", "cat", BOX), "b.jpg"]
    assert source.skipped == (0, 0)


def test_annotations_are_found_among_files_of_other_kinds(root):
    for index in range(20):
        write(root / f"{index}.csv", "epoch,loss\n1,0.5\n")
    write(root / "labels.csv", HEADER + ROW)
    assert found(read_dataset(root)) == [("a.jpg", "cat", BOX)]


def test_hugging_face_takes_the_split_from_the_image(root):
    for index, split in enumerate(("train", "validation")):
        save_image(root / split / "b.jpg", seed=index)
    line = json.dumps(dict(file_name="{}/b.jpg", objects=[dict(bbox=BOX, category="cat")]))
    text = "\n".join(line.replace("{}", split) for split in ("train", "validation"))
    write(root / "metadata.jsonl", text)
    source = read_dataset(root)
    assert found(source) == [("train/b.jpg", "cat", BOX)]
    assert found(source, "val") == [("validation/b.jpg", "cat", BOX)]


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (dict(bbox=[BOX], categories=[3]), r"category is 3, but no classes\.txt names the categ"),
        (dict(bbox=[BOX], categories=[True]), r"object 1: its category is True"),
        (dict(bbox=[BOX], categories=[]), r"line 1: has 1 boxes but 0 categories"),
        (dict(bbox=[BOX]), r"line 1: its objects have no list category; found bbox"),
        (dict(bbox=[BOX[:3]], categories=["cat"]), r"its box is \[5, 6, 20\], expected \[x, y,"),
        ("cat", r"line 1: its objects are 'cat'"),
    ],
)
def test_hugging_face_that_is_wrong(root, objects, message):
    with pytest.raises(UserError, match=message):
        read_dataset(hugging_face(root, objects))


@pytest.mark.parametrize(("names", "category"), [("cat\ndog\n", 2), ("cat\n\ndog\n", 1)])
def test_a_category_without_a_name(root, names, category):
    write(root / "classes.txt", names)
    message = rf"its category is {category}, but classes\.txt has \d names; write"
    with pytest.raises(UserError, match=message):
        read_dataset(hugging_face(root, dict(bbox=[BOX], categories=[category])))


def test_a_line_that_is_no_json(root):
    hugging_face(root, dict(bbox=[BOX], categories=["cat"]))
    with open(root / "metadata.jsonl", "a") as file:
        file.write('{"file_name":')
    with pytest.raises(UserError, match=r"metadata\.jsonl:2: is not valid JSON"):
        read_dataset(root)


@pytest.mark.parametrize("header", [HEADER, HEADER.upper(), '"filename"' + HEADER[8:]])
def test_csv_gives_corners(root, header):
    save_image(root / "b.jpg", seed=1)
    write(root / "_annotations.csv", header + ROW + ROW.replace("cat", "dog") + "b.jpg,60,40,,,,,")
    source = read_dataset(root)
    assert source.format == "CSV"
    assert found(source) == [("a.jpg", "cat", BOX), ("a.jpg", "dog", BOX), "b.jpg"]


def test_csv_of_tensorflow(root):
    for split in ("train", "test"):
        save_image(root / "images" / split / f"{split}.jpg")
        write(root / f"{split}_labels.csv", HEADER + ROW.replace("a.jpg", f"{split}.jpg"))
    source = read_dataset(root)
    assert found(source) == [("images/train/train.jpg", "cat", BOX)]
    assert source.skipped == (2, 0)  # one for testing, one that isn't listed


@pytest.mark.parametrize("images", ["images/{}/a.jpg", "{}/a.jpg"])
@pytest.mark.parametrize("name", ["{}_labels.csv", "annotations/{}.csv"])
def test_files_of_splits_whose_images_have_one_name(tmp_path, images, name):
    for split in ("train", "val", "test"):
        save_image(tmp_path / images.format(split))
        write(tmp_path / name.format(split), HEADER + ROW)
    source = read_dataset(tmp_path)
    assert found(source) == [(images.format("train"), "cat", BOX)]
    assert found(source, "val") == [(images.format("val"), "cat", BOX)]
    assert source.skipped == (1, 0)


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_accented_letters_composed_or_not(tmp_path, forms):
    listed, saved = (unicodedata.normalize(form, "été/café.jpg") for form in forms)
    save_image(tmp_path / saved)
    save_image(tmp_path / "other/café.jpg")
    write(tmp_path / "a.csv", HEADER + ROW.replace("a.jpg", listed))
    source = read_dataset(tmp_path)
    assert found(source) == [(saved, "cat", BOX)]
    assert not any("another folder" in text for text in source.remarks)


@pytest.mark.parametrize("separator", [",", ";"])
def test_csv_of_excel(root, separator):
    text = (HEADER + ROW.replace("cat", '"cat, striped; big"')).replace(",", separator)
    text = text.replace("cat" + separator, "cat,")
    write(root / "a.csv", "\ufeff" + text.replace("\n", "\r\n"))
    assert found(read_dataset(root)) == [("a.jpg", "cat, striped; big", BOX)]


@pytest.mark.parametrize("text", [HEADER + ROW.replace("cat", "café"), HEADER + "é.jpg" + ROW[5:]])
def test_csv_that_is_not_utf8(root, text):
    (root / "a.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"a\.csv:2: is not UTF-8 text; save the file as UTF-8"):
        read_dataset(root)


def test_columns_in_another_order_and_without_a_size(root):
    write(root / "a.csv", "class,filename,ymin,xmin,ymax,xmax\r\ncat,a.jpg,6,5,16,25\r\n")
    source = read_dataset(root / "a.csv")
    assert found(source) == [("a.jpg", "cat", BOX)]
    assert (source.train["images"][0]["width"], source.train["images"][0]["height"]) == SIZE


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.jpg,60,40,cat,5,6,25\n", r"_annotations\.csv:3: has another number of columns"),
        ("a.jpg,60,40,cat,5,6,25,16,1\n", r":3: has another number of columns than the first line"),
        (",60,40,cat,5,6,25,16\n", r":3: has no filename"),
        ("a.jpg,60,40,,5,6,25,16\n", r"a\.jpg: line 3: has no class"),
        ("a.jpg,60,40,cat,5,6,2,16\n", r"a\.jpg: line 3: its box spans \(5, 6\) to \(2, 16\)"),
        ("a.jpg,60,40,cat,,6,2,16\n", r"a\.jpg: line 3: '' is not a finite number"),
        ("a.jpg,40,60,cat,5,6,25,16\n", r"line 2: other lines of its image have another size"),
        ('"a.jpg,60\n', r"unexpected end of data; export"),
    ],
)
def test_csv_that_is_wrong(root, row, message):
    write(root / "_annotations.csv", HEADER + ROW + row)
    with pytest.raises(UserError, match=message):
        read_dataset(root)

"""Formats that can't be read are named, with the export to choose instead."""

import pytest
from data_folders import content, save_image, write

from vanillanet_det import UserError
from vanillanet_det.datasets.formats import read_dataset

COCO_IMAGES = [dict(id=1, file_name="a.jpg", width=60, height=40)]
KITTI = "Car 0.00 0 -1.57 5.0 6.0 25.0 16.0 2.85 2.63 12.34 0.47 1.49 69.44 -1.56"
VIA = dict(
    filename="a.jpg", size=1, regions=[dict(shape_attributes=dict(name="rect"))], file_attributes={}
)
OTHERS = {
    "Datumaro JSON": (
        "annotations/train.json",
        dict(
            dm_format_version="1.0",
            infos={},
            categories={},
            items=[dict(id="a", annotations=[dict(type="bbox")])],
        ),
        "datum convert -if datumaro -f coco",
    ),
    "V7 Darwin": (
        "a.json",
        dict(version="2.0", schema_ref="darwin", item={}, annotations=[dict(name="cat")]),
        "in V7, export as COCO",
    ),
    "VIA (VGG Image Annotator) JSON": ("via.json", {"a.jpg1": VIA}, "Export Annotations (COCO"),
    "VIA (VGG Image Annotator) CSV": (
        "via.csv",
        "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes\n",
        "Export Annotations (COCO",
    ),
    "VoTT": ("project.vott", dict(name="a", assets={"1": dict(name="a.jpg")}), "as Pascal VOC"),
    "VoTT CSV": ("a.csv", '"image","xmin","ymin","xmax","ymax","label"\n', "as Pascal VOC"),
    "Open Images": (
        "train-annotations-bbox.csv",
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n",
        "datum convert -if open_images -f coco",
    ),
    "Supervisely": (
        "ds/ann/a.jpg.json",
        dict(size={}, objects=[dict(classTitle="cat", geometryType="rectangle")]),
        "run the app Export to COCO",
    ),
    "Labelbox": ("export.ndjson", '{"data_row": {"id": "1"}}\n', "convert it to COCO"),
    "Cityscapes": ("gtFine/a_gtFine_polygons.json", dict(objects=[]), "-if cityscapes -f coco"),
    "DOTA": ("labelTxt/a.txt", "5 6 25 6 25 16 5 16 plane 0\n", "-if dota -f coco"),
    "KITTI": ("label_2/a.txt", KITTI + "\n", "-if kitti -f coco"),
    "WIDER FACE": ("wider_face_bbx_gt.txt", "a.jpg\n1\n5 6 20 10 0 0 0 0 0 0\n", "-if wider_face"),
    "MOT": ("gt/gt.txt", "1,1,5,6,20,10,1,1,0.9\n", "-if mot_seq"),
    "TFRecord": ("train.tfrecord", "x", "export as COCO or Pascal VOC"),
    "Parquet": ("data/train-00000-of-00001.parquet", "PAR1", "metadata.jsonl"),
    "a segmentation mask of Pascal VOC": (
        "SegmentationClass/a.png",
        "x",
        "export boxes or polygons",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_format_and_the_remedy_are_named(tmp_path, name):
    file, text, remedy = OTHERS[name]
    save_image(tmp_path / "images/a.jpg")
    write(tmp_path / file, text)
    for data in (tmp_path, *([tmp_path / file] if not file.endswith(".png") else [])):
        with pytest.raises(UserError) as error:
            read_dataset(data)
        assert f"{tmp_path / file}: is {name}, which isn't supported; " in str(error.value)
        assert remedy in str(error.value)


def test_shards_of_tfrecords(tmp_path):
    write(tmp_path / "train.record-00000-of-00010", "x")
    with pytest.raises(UserError, match=r"is TFRecord, which isn't supported"):
        read_dataset(tmp_path)


OTHER_TASKS = {
    "panoptic_train.json": dict(
        images=COCO_IMAGES,
        annotations=[
            dict(image_id=1, category_id=1, segments_info=[dict(id=1, bbox=[1, 1, 2, 2])])
        ],
        categories=[dict(id=1, name="cat", isthing=1)],
    ),
    "annotations/captions_train2017.json": dict(
        images=COCO_IMAGES, annotations=[dict(id=1, image_id=1, caption="A cat.")]
    ),
}


@pytest.mark.parametrize("file", OTHER_TASKS)
def test_other_files_of_coco(tmp_path, file):
    save_image(tmp_path / "images/a.jpg")
    write(tmp_path / file, OTHER_TASKS[file])
    with pytest.raises(UserError, match=r"has panoptic segments|export the instances, not only c"):
        read_dataset(tmp_path)
    write(tmp_path / "annotations/instances_train.json", content("a.jpg"))
    assert read_dataset(tmp_path).format == "COCO"


def test_captions_of_instances_do_not_matter(tmp_path):
    save_image(tmp_path / "images/a.jpg")
    write(tmp_path / "train.json", content("a.jpg", caption="A cat."))
    assert len(read_dataset(tmp_path).train["annotations"]) == 1


def test_a_list_that_nobody_knows(tmp_path):
    save_image(tmp_path / "a.jpg")
    write(tmp_path / "a.json", [dict(annotations=[])])
    with pytest.raises(UserError, match=r"a\.json: neither an annotation file of many images"):
        read_dataset(tmp_path / "a.json")
    with pytest.raises(UserError, match=r"no dataset in a known format: .*Label Studio.*CreateML"):
        read_dataset(tmp_path)

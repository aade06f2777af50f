"""Missing data and weights are reported before anything slow starts."""

import json
import re
import shutil
from pathlib import Path

import pytest
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from PIL import Image
from pycocotools.coco import COCO

from vanillanet_det import UserError
from vanillanet_det.checks import check_config, stop_at_errors
from vanillanet_det.datasets import digits

IMAGE = dict(id=1, file_name="1.jpg", height=9, width=9)
ANNOTATION = dict(id=1, image_id=1, category_id=3, bbox=[1, 1, 5, 5], area=25, iscrowd=0)
PANOPTIC = dict(image_id=1, file_name="1.png", segments_info=[dict(id=1, category_id=3)])
CAPTION = dict(id=1, image_id=1, caption="A cat.")
TASK = dict(id=1, data=dict(image="1.jpg"), annotations=[dict(id=1, result=[])])
CONTENT = dict(images=[IMAGE], annotations=[ANNOTATION], categories=[dict(id=3, name="cat")])


@pytest.fixture
def data(tmp_path):
    """Function that writes a dataset and gives its config."""

    def write(content=CONTENT, **kwargs):
        (tmp_path / "train2017").mkdir()
        Image.new("RGB", (9, 9)).save(tmp_path / "train2017" / "1.jpg")
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "instances_train2017.json").write_text(text)
        return dict(
            type="CocoDataset",
            data_root=str(tmp_path),
            ann_file="instances_train2017.json",
            data_prefix=dict(img="train2017/"),
            **{"metainfo": dict(classes=("cat",)), **kwargs},
        )

    return write


def check(dataset, key="train_dataloader"):
    cfg = Config({key: dict(dataset=dataset)})
    stop_at_errors(check_config(cfg, dataloaders=(key, "absent_dataloader")))


@pytest.mark.parametrize("kind", ["CocoDataset", "mmdet.CocoDataset", CocoDataset])
def test_a_data_set_that_is_there_passes(data, kind):
    check({**data(), "type": kind})


def test_a_missing_annotation_file_is_answered_with_what_to_do(tmp_path):
    dataset = dict(type="CocoDataset", data_root=str(tmp_path), ann_file="a/instances_2017.json")
    with pytest.raises(UserError) as caught:
        check(dataset)
    assert str(caught.value).splitlines() == [
        f"train_dataloader: {tmp_path}/a/instances_2017.json is missing.",
        "The layout of COCO 2017:",
        f"  {tmp_path}/annotations/instances_train2017.json and instances_val2017.json",
        f"  {tmp_path}/train2017/*.jpg",
        f"  {tmp_path}/val2017/*.jpg",
        "If the data is in another folder: --cfg-options data_root=/path/to/data/",
        "If you have no data: vanillanet-det train retinanet_vanillanet5_digits",
        "  trains on images that come with this project",
    ]


def test_the_config_that_is_recommended_exists(root):
    assert (root / "configs/retinanet_vanillanet5_digits.py").is_file()


def test_the_layout_of_coco_is_not_told_of_other_data(tmp_path):
    with pytest.raises(UserError, match=r"own\.json is missing\.\nIf the data is in"):
        check(dict(type="CocoDataset", data_root=str(tmp_path), ann_file="own.json"))


def test_a_missing_image_folder_is_named(data, tmp_path):
    dataset = data()
    shutil.rmtree(tmp_path / "train2017")
    with pytest.raises(UserError, match=f"train_dataloader: {tmp_path}/train2017/ is missing"):
        check(dataset)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (json.dumps(CONTENT)[:50], r"is not valid JSON \(.*expected COCO's instances format"),
        ("", r"is not valid JSON \("),
        ([IMAGE], "expected COCO's lists images, annotations and categories"),
        ({"images": [IMAGE], "categories": []}, "expected COCO's lists"),
        (
            [TASK],
            "categories; .*: is Label Studio, which vanillanet-det finetune reads",
        ),
        ({**CONTENT, "annotations": [PANOPTIC]}, "is COCO panoptic, .* use the file with the inst"),
        ({"images": [IMAGE], "annotations": [CAPTION]}, "is COCO captions, .* use the file with"),
        ({**CONTENT, "images": {}}, "expected COCO's lists"),
        ({**CONTENT, "images": []}, "is empty: the file lists no images"),
        ({**CONTENT, "annotations": []}, "is empty: none of its 0 annotations"),
    ],
)
def test_an_annotation_file_without_data_is_refused(data, content, said):
    dataset = data(content)
    where = f"train_dataloader: annotation file {dataset['data_root']}/{dataset['ann_file']}"
    with pytest.raises(UserError, match=f"^{where}: .*{said}"):
        check(dataset)


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8-sig", "UTF-8 with a byte order mark"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16-LE"),
        ("utf-32", "UTF-32"),
        ("latin-1", r"not UTF-8 (byte 1 in line 2 is 0xfc)"),
    ],
)
def test_text_that_mmdetection_reads_otherwise_is_refused(data, tmp_path, encoding, said):
    dataset = data()
    text = "\nü" if encoding == "latin-1" else json.dumps(CONTENT)
    path = tmp_path / "instances_train2017.json"
    path.write_bytes(text.encode(encoding))
    with pytest.raises((ValueError, UnicodeError)):
        COCO(path)
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        check(dataset)
    assert str(caught.value).startswith(
        f"train_dataloader: annotation file {path}: its encoding is"
    )
    assert str(caught.value).endswith("save the file as UTF-8 without BOM")


def test_an_annotation_file_that_may_not_be_read_is_named(data, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    dataset = data()
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UserError, match=r"2017\.json: can't be read \(Permission denied\); make"):
        check(dataset)


def test_a_misspelt_class_is_refused_with_the_categories_there_are(data):
    said = r"none of its 1 annotations belongs to .* \(kat, dog\).*are cat; list them"
    with pytest.raises(UserError, match=said):
        check(data(metainfo=dict(classes=("kat", "dog"))))


def test_classes_are_those_of_the_config_and_not_of_coco(data):
    content = {**CONTENT, "categories": [dict(id=3, name="screw")]}
    with pytest.raises(UserError, match=r"\(person, bicycle, .*, airplane and 75 more\)"):
        check(dataset := data(content, metainfo=None))
    check({**dataset, "metainfo": dict(classes=("screw",))})


def test_test_images_may_be_without_annotations(data):
    content = {key: value for key, value in CONTENT.items() if key != "annotations"}
    check(data(content, test_mode=True), "test_dataloader")


def test_json_files_of_other_kinds_of_data_sets_are_left_to_them(data):
    segments = dict(image_id=1, segments_info=[dict(category_id=3)])
    check({**data({**CONTENT, "annotations": [segments]}), "type": "CocoPanopticDataset"})


@pytest.mark.parametrize(
    "wrap",
    [
        lambda d: dict(type="RepeatDataset", times=2, dataset=d),
        lambda d: dict(type="ConcatDataset", datasets=[d, {**d, "ann_file": "no.json"}]),
        lambda d: dict(type="RepeatDataset", dataset=dict(type="ConcatDataset", datasets=[d])),
    ],
)
def test_data_sets_in_wrappers_are_checked(data, wrap):
    dataset = wrap({**data(), "ann_file": "no.json"})
    with pytest.raises(UserError, match=r"no\.json is missing"):
        check(dataset)


def test_of_concatenated_data_sets_the_last_is_checked_too(data):
    good = data()
    check(dict(type="ConcatDataset", datasets=[good, good]))
    with pytest.raises(UserError, match=r"no\.json is missing"):
        check(dict(type="ConcatDataset", datasets=[good, {**good, "ann_file": "no.json"}]))


def test_files_in_other_storages_are_not_looked_for():
    check(dict(type="CocoDataset", data_root="s3://bucket/", ann_file="a.json"))


@pytest.mark.parametrize("named", [True, False])
def test_the_embedded_data_set_is_made(tmp_path, monkeypatch, named):
    monkeypatch.setattr(digits, "NUM_SCENES", {"train": 2, "val": 1})
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "made" if named else tmp_path / "data" / "digits"
    check(
        dict(
            type="DigitsDataset",
            **(dict(data_root=str(folder)) if named else {}),
            ann_file="annotations/instances_train.json",
            data_prefix=dict(img="train/"),
        )
    )
    assert sorted(path.name for path in folder.glob("train/*")) == ["000001.png", "000002.png"]


def check_weights(cfg):
    stop_at_errors(check_config(cfg))


def weights(checkpoint, **kwargs):
    init_cfg = dict(type="Pretrained", checkpoint=checkpoint)
    return Config(dict(model=dict(backbone=dict(init_cfg=init_cfg), **kwargs)))


def test_missing_weights_are_named_with_their_key():
    with pytest.raises(UserError) as caught:
        check_weights(weights("no/such.pth"))
    said = str(caught.value)
    assert said.startswith("model.backbone.init_cfg.checkpoint: no/such.pth is missing")
    assert "--cfg-options model.backbone.init_cfg.checkpoint=FILE" in said
    assert "--cfg-options model.backbone.init_cfg=None" in said


def test_the_remedies_that_are_named_work(tmp_path):
    (tmp_path / "a.pth").touch()
    for option in (dict(checkpoint=str(tmp_path / "a.pth")), None):
        cfg = weights("no/such.pth")
        cfg.merge_from_dict({"model.backbone.init_cfg": option})
        check_weights(cfg)


@pytest.mark.parametrize("url", ["https://host/a.pth", "torchvision://resnet50"])
def test_weights_of_other_places_and_a_config_without_model_pass(url):
    check_weights(weights(url))
    check_weights(Config())


def test_weights_in_lists_are_found():
    cfg = Config(dict(model=dict(heads=[dict(init_cfg=[dict(type="Pretrained", checkpoint="x")])])))
    with pytest.raises(UserError, match=re.escape("model.heads.0.init_cfg.0.checkpoint: x is")):
        check_weights(cfg)

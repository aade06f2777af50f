"""What fine-tuning makes of classes: of weights in another order, of crowds, of dense images."""

import json

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from PIL import Image

from vanillanet_det import UserError
from vanillanet_det.datasets.formats import read_dataset
from vanillanet_det.finetune.options import FinetuneOptions
from vanillanet_det.finetune.prepare import prepare

pytestmark = pytest.mark.usefixtures("mmdet_scope")
SMALL = {
    "model.backbone.arch": dict(dims=[8, 16, 16, 16], strides=[2, 2, 2]),
    "model.neck.in_channels": [16, 16, 16],
    "model.neck.out_channels": 16,
    "model.bbox_head.in_channels": 16,
    "model.bbox_head.feat_channels": 16,
}


@pytest.fixture
def template(root):
    return Config.fromfile(root / "configs/retinanet_vanillanet5_digits.py")


@pytest.fixture
def write(tmp_path):
    """Function that writes a COCO folder of four images; returns its path."""

    def write(classes, per_image=2, **values):
        folder = tmp_path / "data"
        (folder / "images").mkdir(parents=True)
        images, annotations = [], []
        for number in range(4):
            name = f"{number}.png"
            Image.new("RGB", (160, 120), (number, 0, 0)).save(folder / "images" / name)
            images.append(dict(id=number, file_name=name, width=160, height=120))
            for i in range(per_image):
                box = [4 * (i % 30), 4 * (i // 30), 3, 3]
                row = dict(image_id=number, category_id=1 + i % 2, bbox=box, area=9, iscrowd=0)
                row.update(values if i % 2 else {}, id=len(annotations) + 1)
                annotations.append(row)
        categories = [dict(id=i, name=name) for i, name in enumerate(classes, 1)]
        content = dict(images=images, annotations=annotations, categories=categories)
        (folder / "train.json").write_text(json.dumps(content))
        return folder

    return write


@pytest.fixture
def weights(template, tmp_path):
    """Function that saves a small detector of some classes; returns its path."""

    def save(classes):
        cfg = Config(template._cfg_dict.to_dict())
        cfg.merge_from_dict({**SMALL, "model.bbox_head.num_classes": len(classes)})
        state = MODELS.build(cfg.model).state_dict()
        meta = dict(cfg=cfg.pretty_text, dataset_meta=dict(classes=classes))
        torch.save(dict(state_dict=state, meta=meta), tmp_path / "weights.pth")
        return str(tmp_path / "weights.pth")

    return save


@pytest.fixture
def run(template, tmp_path):
    """Function that prepares a run; returns its config and `weights.txt`."""

    def run(data, **options):
        folder = tmp_path / "work"
        folder.mkdir()
        cfg = prepare(data, template, FinetuneOptions(epochs=1, **options), folder)
        return cfg, (folder / "weights.txt").read_text().splitlines()

    return run


@pytest.mark.parametrize(
    ("old", "said", "status"),
    [
        (("disc", "square"), "taken by name for square, disc", "by class"),
        (("cat", "disc", "dog"), "taken by name for disc; random for square", "by class"),
        (("cat", "dog"), "random for square, disc", "re-made"),
    ],
)
def test_weights_of_other_classes(write, weights, run, old, said, status, capsys):
    _, lines = run(write(("square", "disc")), weights=weights(old))
    assert lines[0] == f"Weights of the classes: {said}"
    assert f"{status:9} bbox_head.retina_cls.weight" in lines
    assert not any(line.startswith("kept") and "retina_cls" in line for line in lines)
    assert f"Weights of the classes: {said}" in capsys.readouterr().out


def test_weights_of_the_same_classes_are_kept(write, weights, run):
    _, lines = run(write(("square", "disc")), weights=weights(("square", "disc")))
    assert "kept      bbox_head.retina_cls.weight" in lines
    assert not any("classes" in line for line in lines)


def test_crowds_are_not_counted_as_objects(write, run, capsys):
    run(write(("square", "disc"), iscrowd=1))
    output = capsys.readouterr().out
    assert "4 images with 4 objects (4 more are crowds or under a pixel, and ignored)" in output
    assert "(square 3)" in output
    assert "disc 3" not in output


def test_tiny_boxes_are_not_counted_as_objects(write):
    source = read_dataset(write(("square", "disc"), bbox=[3, 3, 0.4, 5]))
    assert "4 images with 4 objects (4 more are crowds" in source.remarks[0]


def test_crowds_only(write):
    data = write(("square", "disc"), iscrowd=1)
    content = json.loads((data / "train.json").read_text())
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    (data / "train.json").write_text(json.dumps(content))
    said = r"all 8 objects of the training images are crowds .* CVAT exports brush masks as crowds"
    with pytest.raises(UserError, match=said):
        read_dataset(data)


def test_dense_images_raise_the_limits(write, run, capsys):
    cfg, _ = run(write(("square", "disc"), per_image=180))
    assert cfg.model.test_cfg.max_per_img == cfg.tta_model.tta_cfg.max_per_img == 300
    assert "detections: up to 180 objects in an image, model.test_cfg.max_per_img 300" in (
        capsys.readouterr().out
    )
    assert cfg.finetune.detections.startswith("up to 180 objects")


def test_a_head_for_unknown_classes_is_replaced(write, run):
    cfg, _ = run(write(("square", "disc")))
    assert cfg.default_hooks.check_weights.remake_unnamed

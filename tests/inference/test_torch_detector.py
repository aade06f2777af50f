"""The detector finds the same objects as MMDetection with the same weights."""

import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import Compose
from PIL import Image
from pycocotools import mask as rle
from torch.testing import assert_close

from vanillanet_det import UserError, load_detector, switch_to_deploy
from vanillanet_det.apis import convert_checkpoint
from vanillanet_det.checkpoints import read_checkpoint
from vanillanet_det.finetune.fused import save_fused
from vanillanet_det.inference import model_config


@pytest.fixture(scope="module")
def masks_file(save_detector, tmp_path_factory):
    return save_detector(tmp_path_factory.mktemp("masks") / "epoch_3.pth", "mask_rcnn")


@pytest.fixture(scope="module")
def paths(small_digits):
    return sorted((small_digits / "val").glob("*.png"))


def by_mmdetection(file, paths, fused=True):
    """Predictions of `test_step`, in the training form or simply fused."""
    checkpoint = read_checkpoint(file)
    cfg = model_config(checkpoint)
    model = MODELS.build(cfg.model)
    model.load_state_dict(checkpoint["state_dict"])
    model = switch_to_deploy(model.eval()) if fused else model.eval()
    pipeline = Compose(cfg.test_dataloader.dataset.pipeline)
    found = []
    for path in paths:
        data = pipeline(dict(img_path=str(path), img_id=0))
        with torch.no_grad():
            found += model.test_step({key: [value] for key, value in data.items()})
    return [sample.pred_instances for sample in found]


def assert_same(found, expected):
    assert len(found) == len(expected) > 0
    order = torch.argsort(-expected.scores, stable=True)
    assert_close(torch.tensor(found.scores), expected.scores[order], rtol=0, atol=1e-4)
    assert_close(torch.tensor(found.boxes), expected.bboxes[order], rtol=0, atol=1e-2)
    assert torch.tensor(found.labels).tolist() == expected.labels[order].tolist()
    if "masks" in expected:
        different = torch.tensor(found.masks) != torch.as_tensor(expected.masks)[order]
        assert different.float().mean() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("masks", [False, True])
def test_detections_equal_mmdetection(masks, detector_file, masks_file, paths, mmdet_scope):
    file = masks_file if masks else detector_file
    detector = load_detector(file, score=0.0, device="cpu")
    for found, expected in zip(detector(list(map(str, paths))), by_mmdetection(file, paths)):
        assert_same(found, expected)
        assert found.boxes.dtype == found.scores.dtype == np.float32
        assert (found.masks is not None) == masks
    if masks:
        assert found.masks.shape == (len(found), 160, 160)
        row = found.to_coco(7)[0]
        np.testing.assert_array_equal(rle.decode(row["segmentation"]).astype(bool), found.masks[0])
        assert json.loads(json.dumps(row)) == row


def test_boxes_are_in_pixels_of_the_image_of_any_size(detector_file, paths, mmdet_scope):
    detector = load_detector(detector_file, score=0.0)
    image = cv2.resize(cv2.imread(str(paths[0])), (480, 320))
    found, unscaled = detector(image), detector(paths[0])
    assert found.size == (320, 480)
    assert found.boxes[:, 2].max() > 200 > unscaled.boxes[:, 2].max()


def test_a_path_an_array_and_a_pil_image_are_the_same(detector_file, paths):
    detector = load_detector(detector_file)
    forms = [paths[0], str(paths[0]), cv2.imread(str(paths[0])), Image.open(paths[0])]
    first, *others = detector(forms)
    assert len(first) > 0
    for other in (*others, detector(paths[0])):
        np.testing.assert_allclose(other.boxes, first.boxes, atol=1e-3)


def test_batches_have_one_shape_and_change_nothing(detector_file, paths, monkeypatch):
    detector = load_detector(detector_file, score=0.0)
    sizes = []
    test_step = detector.model.test_step

    def recorded(batch):
        sizes.append(len({image.shape for image in batch["inputs"]}))
        sizes.append(len(batch["inputs"]))
        return test_step(batch)

    monkeypatch.setattr(detector.model, "test_step", recorded)
    images = [cv2.imread(str(path)) for path in paths]
    images = [image[: 160 - 40 * (index % 2)] for index, image in enumerate(images)]
    together = detector(images, batch_size=3)
    assert sizes == [1, 3, 1, 3]
    for image, found in zip(images, together):
        alone = detector(image)
        np.testing.assert_allclose(found.boxes, alone.boxes, atol=1e-2)
        assert found.size == image.shape[:2]


def test_the_score_threshold_and_the_order(detector_file, paths):
    everything = load_detector(detector_file, score=0.0)(paths[0])
    middle = float(np.median(everything.scores))
    found = load_detector(detector_file, score=middle)(paths[0])
    assert len(found) == (everything.scores >= middle).sum() < len(everything)
    assert [item.score for item in found] == sorted(everything.scores.tolist())[::-1][: len(found)]
    item = next(iter(found))
    assert item.name == found.classes[item.label] == str(item.label)
    left, top, width, height = found.to_coco(7)[0]["bbox"]
    np.testing.assert_allclose([left, top, left + width, top + height], item.box, atol=2e-3)
    assert found.to_coco(7)[0]["category_id"] == item.label + 1
    assert found.to_coco(7)[0]["image_id"] == 7


def test_no_detections(masks_file, paths):
    found = load_detector(masks_file, score=1.0)(paths[0])
    assert len(found) == 0
    assert found.masks.shape == (0, 160, 160)
    assert list(found) == found.to_coco(1) == []
    np.testing.assert_array_equal(
        np.asarray(found.draw(paths[0])), np.asarray(Image.open(paths[0]))
    )


def test_drawing_changes_only_pixels_at_the_boxes(detector_file, masks_file, paths):
    before = np.asarray(Image.open(paths[0]).convert("RGB")).astype(int)
    for file in (detector_file, masks_file):
        found = load_detector(file, score=0.0)(paths[0])
        drawn = np.asarray(found.draw(paths[0])).astype(int)
        assert drawn.shape == before.shape
        changed = np.abs(drawn - before).sum(2) > 0
        assert changed.mean() > 0.01
        box = found.boxes[0].round().astype(int).clip(0, 159)
        assert changed[box[1] : box[3], box[0]].mean() > 0.9
        if found.masks is None:
            inside = changed[box[1] + 14 : box[3] - 2, box[0] + 2 : box[2] - 2]
            assert inside.size == 0 or inside.mean() < 1


@pytest.fixture
def lone_checkpoint(tmp_path, monkeypatch, detector_file):
    """A checkpoint without its configs, initial weights and data."""
    monkeypatch.chdir(tmp_path)
    return shutil.copy(detector_file, tmp_path / "a.pth")


def changed(file, target, **meta):
    checkpoint = read_checkpoint(file)
    checkpoint["meta"].update(meta)
    checkpoint["meta"] = {k: v for k, v in checkpoint["meta"].items() if v is not None}
    torch.save(checkpoint, target)
    return target


def test_initial_weights_are_not_loaded(lone_checkpoint, paths, tmp_path):
    text = read_checkpoint(lone_checkpoint)["meta"]["cfg"]
    text += "model['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint='http://no/a')\n"
    text += "model['pretrained'] = 'nothing.pth'\n"
    file = changed(lone_checkpoint, tmp_path / "b.pth", cfg=text)
    assert len(load_detector(file, score=0.0)(paths[0])) > 0


def test_the_config_is_a_file_an_object_or_in_the_checkpoint(
    detector_file, small_config, tmp_path, paths
):
    bare = changed(detector_file, tmp_path / "bare.pth", cfg=None)
    with pytest.raises(UserError, match=r"bare\.pth: contains no config; pass its config file"):
        load_detector(bare)
    expected = load_detector(detector_file, score=0.0)(paths[0])
    for config in (small_config, str(small_config), Config.fromfile(small_config)):
        found = load_detector(bare, config, score=0.0)(paths[0])
        np.testing.assert_allclose(found.scores[:10], expected.scores[:10], atol=1e-4)


@pytest.mark.parametrize("form", ["deploy", "merge"])
def test_other_forms_with_the_config_of_the_training_form(
    form, detector_file, small_config, tmp_path, paths
):
    target = tmp_path / "other.pth"
    convert_checkpoint(str(detector_file), str(target), **{form: True})
    expected = load_detector(detector_file, score=0.3)(paths[0])
    for config in (small_config, None):
        found = load_detector(target, config, score=0.3)
        assert found.model.backbone.deploy
        np.testing.assert_allclose(found(paths[0]).boxes, expected.boxes, atol=1e-2)


@pytest.mark.parametrize("masks", [False, True])
def test_mmdetection_also_runs_a_fused_file(
    masks, detector_file, masks_file, paths, tmp_path, monkeypatch
):
    file = masks_file if masks else detector_file
    target = tmp_path / "new" / "fused.pth"
    target.parent.mkdir()
    report = save_fused(model_config(read_checkpoint(file)), file, target)
    assert "deployed form" in report
    save_fused(model_config(read_checkpoint(file)), file, target)  # replaces it
    monkeypatch.chdir(target.parent)
    expected = load_detector(file, score=0.0)(paths[0])
    found = load_detector(target, score=0.0)(paths[0])
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-2)
    checkpoint = read_checkpoint(target)
    assert checkpoint["meta"]["dataset_meta"]["classes"] == tuple("0123456789")
    assert "epoch" not in checkpoint["meta"]

    inferencer = DetInferencer(weights=str(target), device="cpu", show_progress=False)
    assert inferencer.model.backbone.deploy
    (theirs,) = inferencer(str(paths[0]))["predictions"]
    np.testing.assert_allclose(theirs["scores"], found.scores, atol=1e-4)
    np.testing.assert_allclose(theirs["bboxes"], found.boxes, atol=1e-2)
    assert theirs["labels"] == found.labels.tolist()
    assert inferencer.model.dataset_meta["classes"] == tuple("0123456789")
    assert [path.name for path in target.parent.iterdir()] == ["fused.pth"]


def lambda_below_1(checkpoint):
    checkpoint["state_dict"]["backbone.act_lambda"].fill_(0.5)
    checkpoint["meta"]["lambda_outlook"] = "will be 1 after epoch 8"


def lacking_a_tensor(checkpoint):
    del checkpoint["state_dict"]["bbox_head.retina_cls.weight"]


def a_tensor_too_many(checkpoint):
    checkpoint["state_dict"]["mask_head.weight"] = torch.ones(1)


def another_number_of_classes(checkpoint):
    checkpoint["meta"]["dataset_meta"] = dict(classes=("even", "odd"))


def code_in_the_config(checkpoint):
    checkpoint["meta"]["cfg"] += "\nimport os\n"


def an_unknown_type(checkpoint):
    checkpoint["meta"]["cfg"] += "\nmodel['neck']['type'] = 'os.system'\n"


def another_arch(checkpoint):
    checkpoint["meta"]["cfg"] += "\nmodel['backbone']['arch']['dims'] = [8, 16, 32, 16]\n"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda_below_1, r"lambda is 0\.5, and will be 1 after epoch 8"),
        (lacking_a_tensor, r"1 missing \(bbox_head\.retina_cls\.weight\).*every tensor"),
        (a_tensor_too_many, r"1 left over \(mask_head\.weight\)"),
        (another_number_of_classes, r"has 10 classes, but .* lists 2: even, odd"),
        (code_in_the_config, r"import os, is not a plain value"),
        (an_unknown_type, r"type 'os\.system' is neither MMDetection's"),
        (another_arch, r"arch with dims"),
    ],
)
def test_mismatches_are_refused(spoil, message, detector_file, tmp_path):
    checkpoint = read_checkpoint(detector_file)
    spoil(checkpoint)
    torch.save(checkpoint, tmp_path / "spoiled.pth")
    with pytest.raises(UserError, match=rf"spoiled\.pth: .*{message}"):
        load_detector(tmp_path / "spoiled.pth")


def test_wrong_arguments(detector_file, paths):
    with pytest.raises(UserError, match=r"score 3 *: expected a number from 0 to 1"):
        load_detector(detector_file, score=3)
    with pytest.raises(UserError, match=r"device nothing: can't be used"):
        load_detector(detector_file, device="nothing")
    with pytest.raises(UserError, match=r"batch size 0"):
        load_detector(detector_file)(paths, batch_size=0)
    with pytest.raises(UserError, match=r"config nothing\.py: there is no such file"):
        load_detector(detector_file, "nothing.py")


@pytest.mark.parametrize(
    "options",
    [dict(channels_last=True), dict(precision="bf16"), dict(precision="bf16", channels_last=True)],
)
def test_precisions_and_layouts(detector_file, paths, options):
    usual = load_detector(detector_file, score=0.0)
    other = load_detector(detector_file, score=0.0, **options)
    kernel = other.model.backbone.stages[0].conv.weight
    is_narrow = "precision" in options
    assert kernel.dtype == (torch.bfloat16 if is_narrow else torch.float32)
    assert kernel.is_contiguous(memory_format=torch.channels_last) or not options.get(
        "channels_last"
    )
    tolerance = 0.02 if is_narrow else 1e-5
    for path in paths:
        found, expected = other(path), usual(path)
        assert len(expected) > 0
        assert_close(
            torch.tensor(sorted(found.scores)[-10:]),
            torch.tensor(sorted(expected.scores)[-10:]),
            atol=tolerance,
            rtol=0,
        )


def test_another_precision(detector_file):
    with pytest.raises(UserError, match="precision int8: expected fp32, bf16, fp16"):
        load_detector(detector_file, precision="int8")

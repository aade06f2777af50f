"""The report of a run, also of one that an earlier version has begun."""

import json
import re

import pytest
from mmengine.config import Config

from vanillanet_det.finetune.report import write_finetune_report

COMMON = {
    "classes": "a, b",
    "anchors": "unchanged",
    "epochs": 2,
    "batch size": 8,
    "weights": "random",
}
RECORD = {**COMMON, "format": "YOLO", "input size": "64 x 48 pixels", "learning rate": 0.1}
# Written before "form" was called "format", and "pictures" "input size".
EARLIER = {**COMMON, "form": "YOLO", "pictures": "64 x 48 pixels", "learning rate": 0.1}


@pytest.mark.parametrize("record", [RECORD, EARLIER], ids=["today", "earlier"])
def test_facts_are_those_of_the_config_in_order(tmp_path, record):
    truth = dict(images=[], annotations=[], categories=[dict(id=1, name="a")])
    (tmp_path / "val.json").write_text(json.dumps(truth))
    config = tmp_path / "finetune.py"
    cfg = Config(
        dict(
            model=dict(type="RetinaNet"),
            val_dataloader=dict(dataset=dict(data_prefix=dict(img=str(tmp_path)))),
            val_evaluator=dict(ann_file=str(tmp_path / "val.json")),
            finetune=dict(record, data="/data/my digits"),
        )
    )
    cfg.dump(config)
    path, _ = write_finetune_report(Config.fromfile(config), "a/best.pth", [], tmp_path)
    text = path.read_text()
    assert "<title>Fine-tuning on my digits</title>" in text
    header = text.partition('<table class="facts">')[2].partition("</table>")[0]
    assert re.findall(r"<th scope=\"row\">(.*?)</th><td>(.*?)</td>", header) == [
        ("Data", "my digits"),
        ("Format", "YOLO"),
        ("Classes", "a, b"),
        ("Model", "RetinaNet"),
        ("Weights", "random"),
        ("Input size", "64 x 48 pixels"),
        ("Anchors", "unchanged"),
        ("Epochs", "2"),
        ("Batch size", "8"),
        ("Learning rate", "0.1"),
        ("Best checkpoint", "best.pth"),
    ]


@pytest.mark.parametrize(
    ("hooks", "options"),
    [
        ({}, "--resume --epochs 24"),
        (dict(time_limit=dict(type="TimeLimitHook", seconds=570.0)), "--resume --minutes 10"),
    ],
)
def test_the_advice_continues_this_run(tmp_path, hooks, options):
    truth = dict(
        images=[dict(id=1, file_name="gone.png", width=64, height=48)],
        annotations=[dict(id=1, image_id=1, category_id=1, bbox=[1, 1, 9, 9], area=81, iscrowd=0)],
        categories=[dict(id=1, name="a")],
    )
    (tmp_path / "val.json").write_text(json.dumps(truth))
    cfg = Config(
        dict(
            model=dict(type="RetinaNet"),
            val_dataloader=dict(dataset=dict(data_prefix=dict(img=str(tmp_path)))),
            val_evaluator=dict(ann_file=str(tmp_path / "val.json")),
            train_cfg=dict(max_epochs=12),
            default_hooks=hooks,
            finetune=dict(RECORD, data="/data/my digits"),
        )
    )
    path, summary = write_finetune_report(cfg, "a/best.pth", [], tmp_path)
    advice = summary.advice
    assert advice == [f"Almost nothing is detected yet. Train longer: {options}"]
    assert advice[0] in path.read_text()

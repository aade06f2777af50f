"""Detections in uncut images have the ids of their classes in the annotations."""

import json

from mmengine.config import ConfigDict

from vanillanet_det.checkpoints import Checkpoint
from vanillanet_det.finetune.uncut import detect_uncut
from vanillanet_det.inference.building import find_config


def test_ids_of_classes_are_those_of_the_annotations(detector_file, small_digits, tmp_path):
    names = sorted(path.name for path in (small_digits / "val").glob("*.png"))[:3]
    images = [dict(id=7 + i, file_name=name, width=160, height=160) for i, name in enumerate(names)]
    ids = [90, 4, 31, 8, 55, 2, 61, 77, 12, 40]
    categories = [dict(id=id, name=str(index)) for index, id in enumerate(ids)]
    path = tmp_path / "val_uncut.json"
    path.write_text(json.dumps(dict(images=images, annotations=[], categories=categories)))
    cfg = find_config(Checkpoint.read(detector_file), None)
    uncut = dict(annotations=str(path), root=str(small_digits / "val"))
    cfg.finetune = ConfigDict(uncut=uncut)
    rows = detect_uncut(cfg, str(detector_file))
    assert {row["image_id"] for row in rows} == {7, 8, 9}
    assert {row["category_id"] for row in rows} <= set(ids)
    assert len({row["category_id"] for row in rows}) > 1

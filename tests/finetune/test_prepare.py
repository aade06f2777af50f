"""Data of any names become a config and its annotations."""

import os

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image
from pycocotools.coco import COCO

from vanillanet_det.engine.messages import print_message
from vanillanet_det.finetune.options import FinetuneOptions
from vanillanet_det.finetune.prepare import prepare

LATIN = os.fsdecode(b"gr\xf6\xdfe")  # of an old archive


@pytest.fixture
def data(tmp_path):
    """A YOLO folder whose name, and that of an image, are not UTF-8; classes are not ASCII."""
    folder = tmp_path / LATIN
    for split in ("train", "val"):
        for part in ("images", "labels"):
            (folder / part / split).mkdir(parents=True)
        for name in (LATIN, "x" * 251):
            Image.new("RGB", (64, 48)).save(folder / f"images/{split}/{name}.png")
            (folder / f"labels/{split}/{name}.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    text = "train: images/train\nval: images/val\nnames: [Größe]\n"
    (folder / "data.yaml").write_text(text, encoding="utf-8")
    return folder


def test_names_of_any_bytes(data, root, tmp_path):
    work_dir = tmp_path / "work"
    work_dir.mkdir()
    template = Config.fromfile(root / "configs/retinanet_vanillanet5_digits.py")
    with DefaultScope.overwrite_default_scope("mmdet"):
        cfg = prepare(data, template, FinetuneOptions(epochs=1), work_dir)
    assert cfg.finetune.data == str(data)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        path = loader.dataset.ann_file
        with open(path, encoding="ascii") as file:  # pycocotools reads it in any encoding
            file.read()
        coco = COCO(path)
        files = [f"{loader.dataset.data_prefix.img}/{i['file_name']}" for i in coco.imgs.values()]
        assert len(files) == 2
        assert all(map(os.path.isfile, files))
        assert coco.cats[1]["name"] == "Größe"


def test_messages_with_such_names_can_be_printed(capsys):
    print_message(LATIN)
    assert capsys.readouterr().out == "gr\\udcf6\\udcdfe\n"

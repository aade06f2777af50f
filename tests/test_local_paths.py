"""Files that are handed on don't tell where on this machine they were made."""

import json

import pytest
import torch
from mmengine.config import Config

from vanillanet_det.apis.convert_checkpoint import convert_checkpoint
from vanillanet_det.apis.export import export
from vanillanet_det.checkpoints.reading import read_checkpoint
from vanillanet_det.fileio import without_folders
from vanillanet_det.finetune.fused import save_fused
from vanillanet_det.finetune.report import write_finetune_report
from vanillanet_det.inference.model_config import model_config

FACTS = {"classes": "a", "epochs": 2, "batch size": 8, "anchors": "unchanged"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/home/me/data/", "data"),
        (r"C:\Users\me\best.pth", "best.pth"),
        ("~/best.pth", "best.pth"),
        ("data/train.json", "data/train.json"),
        ("https://example.org/a.pth", "https://example.org/a.pth"),
        (dict(a=[("/x/y", 3), None]), dict(a=[("y", 3), None])),
        ("/", "/"),
        (dict(CLASSES=("/m/01",), cfg="/a/b"), dict(CLASSES=("/m/01",), cfg="b")),
        (dict(metainfo=dict(classes=("/m/01g317",))), dict(metainfo=dict(classes=("/m/01g317",)))),
    ],
)
def test_only_names_of_absolute_paths_are_kept(value, expected):
    assert without_folders(value) == expected


@pytest.fixture
def local_config(detector_file, tmp_path):
    """A detector's config with this machine's folders in it, as fine-tuning writes them."""
    cfg = model_config(read_checkpoint(detector_file))
    cfg.load_from = f"{tmp_path}/start.pth"
    cfg.work_dir = str(tmp_path)
    cfg.finetune = dict(FACTS, data=f"{tmp_path}/images", weights=f"{tmp_path}/start.pth")
    path = tmp_path / "local.py"
    cfg.dump(path)
    return path


def local_paths(folder, written):
    """Names of files that contain a path of the folder."""
    return [file.name for file in written if str(folder).encode() in file.read_bytes()]


@pytest.mark.slow
def test_checkpoints_and_exported_files(detector_file, local_config, tmp_path):
    written = [tmp_path / name for name in ("deployed.pth", "a.onnx", "a.xml", "a.bin")]
    save_fused(local_config, detector_file, written[0])
    for file, name in ((written[1], "onnx"), (written[2], "openvino")):
        export(
            str(local_config),
            str(written[0]),
            str(file),
            name,
            input_size="160",
            batch_size=1,
            cfg_options=["model.test_cfg.score_thr=0.05"],
        )
    assert local_paths(tmp_path, [*written, local_config]) == ["local.py"]
    cfg = model_config(read_checkpoint(written[0]))
    assert cfg.load_from == "start.pth"
    assert cfg.finetune.data == "images"


def test_converted_checkpoints(detector_file, tmp_path):
    folder = model_config(read_checkpoint(detector_file)).data_root
    target = tmp_path / "fused.pth"
    convert_checkpoint(str(detector_file), str(target), deploy=True)
    assert local_paths(folder, [detector_file, target]) == [detector_file.name]


@pytest.mark.parametrize("line", ["a = '{{ b }}'\n", "import os\n"])
def test_a_config_that_can_not_be_changed_is_kept(detector_file, tmp_path, line, log):
    checkpoint = read_checkpoint(detector_file)
    checkpoint["meta"]["cfg"] = line + checkpoint["meta"]["cfg"]
    torch.save(checkpoint, tmp_path / "source.pth")
    convert_checkpoint(str(tmp_path / "source.pth"), str(tmp_path / "fused.pth"), deploy=True)
    assert line in read_checkpoint(tmp_path / "fused.pth")["meta"]["cfg"]
    assert "The config in the file is kept as it is, with any folders in it" in log.text


def test_reports(local_config, tmp_path):
    truth = dict(
        images=[dict(id=1, file_name=f"{tmp_path}/gone.png", width=9, height=9)],
        annotations=[dict(id=1, image_id=1, category_id=1, bbox=[1, 1, 5, 5], area=25, iscrowd=0)],
        categories=[dict(id=1, name="a")],
    )
    (tmp_path / "val.json").write_text(json.dumps(truth))
    cfg = Config.fromfile(local_config)
    cfg.val_evaluator = dict(ann_file=f"{tmp_path}/val.json")
    cfg.val_dataloader = dict(dataset=dict(data_prefix=dict(img=f"{tmp_path}/images")))
    for name in ("one/run", "two/run"):
        (tmp_path / name).mkdir(parents=True)
    run, other = tmp_path / "one" / "run", tmp_path / "two" / "run"
    report, _ = write_finetune_report(cfg, f"{tmp_path}/best.pth", [], run, [str(other)])
    assert local_paths(tmp_path, [report]) == []
    text = report.read_text()
    assert "gone.png" in text
    assert "start.pth" in text

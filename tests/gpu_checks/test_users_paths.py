"""What users do on a GPU: training, fine-tuning, detection, measuring, in both frameworks."""

import csv
import importlib.util

import pytest
import torch

from vanillanet_det import apis
from vanillanet_det.engine.options import use_device

pytestmark = [pytest.mark.gpu, pytest.mark.slow]
DEVICE = "cuda"
FEW = ["train_cfg.max_epochs=1", "train_dataloader.dataset.indices=8"]


def test_training_and_evaluation(small_config, tmp_path, capsys):
    apis.train(str(small_config), str(tmp_path), cfg_options=FEW)
    apis.test(str(small_config), str(tmp_path / "epoch_1.pth"), work_dir=str(tmp_path / "test"))
    assert "coco/bbox_mAP" in capsys.readouterr().out


def test_fine_tuning(small_digits, tmp_path):
    where = tmp_path / "work"
    apis.finetune(
        str(small_digits), "nano", input_size="64", device=DEVICE, work_dir=str(where), epochs=2
    )
    assert (where / "report.html").is_file()
    assert (where / "deployed.pth").is_file()


@pytest.mark.skipif(not importlib.util.find_spec("ultralytics"), reason="needs ultralytics")
def test_fine_tuning_by_ultralytics(small_digits, tmp_path):
    where = tmp_path / "work"
    options = dict(input_size="64", device=DEVICE, work_dir=str(where), epochs=2, batch_size=8)
    apis.finetune(str(small_digits), "yolo11", **options)
    assert (where / "report.html").is_file()


def test_pretraining(digit_images, tmp_path):
    options = dict(model="small", work_dir=str(tmp_path), device=DEVICE, epochs=2)
    apis.pretrain(str(digit_images), **options)
    assert list(tmp_path.glob("*.pth"))


def test_detection(detector_file, small_digits, tmp_path):
    images = small_digits / "val"
    for name, device in (("gpu", DEVICE), ("cpu", "cpu")):
        apis.infer(str(detector_file), str(images), out=str(tmp_path / name), device=device)
    found, expected = (
        list(csv.reader((tmp_path / name / "results.csv").open())) for name in ("gpu", "cpu")
    )
    assert len(found) == len(expected) > 1


def test_embeddings(detector_file, small_digits, tmp_path):
    out = tmp_path / "embeddings.parquet"
    apis.embed(str(small_digits / "val"), [str(detector_file)], out=str(out), device=DEVICE)
    assert out.is_file()


def test_cost_of_training():
    text = apis.training_cost("vanillanet5", 1, "64", 1, DEVICE)
    assert torch.cuda.get_device_name(DEVICE) in text


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_benchmark(small_config, precision):
    options = dict(input_size=["64x96"], rounds=2, precision=[precision])
    text = apis.benchmark([str(small_config)], device=DEVICE, cuda_graph=True, **options)
    assert "CUDA graph" in text


def test_the_chosen_gpu_is_used():
    last = torch.cuda.device_count() - 1
    use_device(f"cuda:{last}")
    assert torch.cuda.current_device() == last
    use_device("cuda:0")

"""Runs of several real processes, which meet over gloo."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def environment():
    """Of the processes: the hooks can be imported, and no GPU is seen."""
    return {
        **os.environ,
        "PYTHONPATH": str(HERE),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }


@pytest.fixture(scope="session")
def torchrun(command, environment):
    """Run a tool in two processes, or as torchrun's arguments say."""

    def run(name, *args, by=("--standalone", "--nproc_per_node=2"), **kwargs):
        process = start(name, *args, by=by, **kwargs)
        out, error = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, out, error)

    def start(name, *args, by, cwd=None):
        python, *tool = command(name, *args, "--launcher", "pytorch")
        return subprocess.Popen(
            [python, "-m", "torch.distributed.run", *by, *tool],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=cwd,
        )

    run.start = start
    return run


@pytest.fixture(scope="session")
def pairs(small_digits, tmp_path_factory):
    """Data set of ten scenes and, after each, the same one with inverted pixels.

    Two ranks that take turns have different pixels and equally many boxes.
    """
    folder = tmp_path_factory.mktemp("pairs") / "digits"
    shutil.copytree(small_digits, folder)
    ann_file = folder / "annotations" / "instances_train.json"
    content = json.loads(ann_file.read_text())
    images, annotations = [], []
    for image in content["images"][:10]:
        pixels = np.asarray(Image.open(folder / "train" / image["file_name"]))
        for name, array in ((image["file_name"], pixels), (f"i{image['file_name']}", 255 - pixels)):
            Image.fromarray(array).save(folder / "train" / name)
            images.append({**image, "id": len(images) + 1, "file_name": name})
            annotations += [
                {**annotation, "image_id": len(images), "id": 1000 * len(images) + index}
                for index, annotation in enumerate(content["annotations"])
                if annotation["image_id"] == image["id"]
            ]
    ann_file.write_text(json.dumps({**content, "images": images, "annotations": annotations}))
    # An odd number: one rank gets an image twice, to be counted once.
    ann_file = folder / "annotations" / "instances_val.json"
    content = json.loads(ann_file.read_text())
    content["images"] = content["images"][:5]
    ann_file.write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="session")
def make_config(small_config, pairs, tmp_path_factory):
    """Write a config on `pairs`: SyncBN, 2 epochs of 5 batches of 4, losses recorded."""

    def make(changes=""):
        path = tmp_path_factory.mktemp("configs") / "distributed.py"
        path.write_text(CONFIG.format(base=small_config, data_root=f"{pairs}/") + changes)
        return path

    return make


CONFIG = """
_base_ = ["{base}"]
custom_imports = dict(imports=["vanillanet_det", "recording_hooks"])
custom_hooks = [dict(type="RecordLosses")]
data_root = "{data_root}"
dataset = dict(data_root=data_root)
train_dataloader = dict(batch_size=4, sampler=dict(shuffle=False), dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
val_evaluator = dict(
    ann_file=data_root + "annotations/instances_val.json", metric=["bbox", "proposal"]
)
test_evaluator = val_evaluator
model = dict(backbone=dict(norm_cfg=dict(type="SyncBN")))
# AdamW would make steps of the rounding of gradients that are almost zero.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="SGD", lr=0.02, momentum=0.9, weight_decay=0.0001)
)
train_cfg = dict(max_epochs=2)
"""


@pytest.fixture(scope="session")
def config(make_config):
    return make_config()


@pytest.fixture(scope="session")
def undisturbed(torchrun, config, half, tmp_path_factory):
    """Work dir of a run of two ranks over both epochs."""
    work_dir = tmp_path_factory.mktemp("undisturbed")
    result = torchrun("train", config, "--work-dir", work_dir, *half)
    assert result.returncode == 0, result.stderr
    return work_dir


@pytest.fixture(scope="session")
def half():
    """Arguments that give each of two ranks half of the config's batch."""
    return ("--cfg-options", "train_dataloader.batch_size=2")


@pytest.fixture(scope="session")
def losses():
    """Read the losses of a rank by iteration; of one that ran twice, the later."""

    def read(work_dir, rank=0):
        lines = (work_dir / f"losses_{rank}.jsonl").read_text().splitlines()
        return {record["iter"]: record["loss"] for record in map(json.loads, lines)}

    return read

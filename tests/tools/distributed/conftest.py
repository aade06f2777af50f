"""Runs of several real processes, which meet over gloo."""

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def environment():
    """Of the processes: hooks can be imported, no GPU is seen, and a crash says where it was."""
    return {
        **os.environ,
        "PYTHONPATH": str(HERE),
        "OMP_NUM_THREADS": "1",
        "PYTHONFAULTHANDLER": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }


@pytest.fixture(scope="session")
def torchrun(command, environment):
    """Run a tool in two processes, or as torchrun's arguments specify."""

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
    """Dataset of ten scenes and, after each, the same one with inverted pixels.

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
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in kept]
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
    assert result.returncode == 0, result.stdout + result.stderr
    return work_dir


@pytest.fixture(scope="session")
def free_port():
    with socket.socket() as a_socket:
        a_socket.bind(("127.0.0.1", 0))
        return a_socket.getsockname()[1]


# SyncBN would hand the NaN on to all ranks.
POISON = """
custom_hooks = [dict(type="RecordLosses"), dict(type="PoisonImage", rank=1, iteration=7)]
model["backbone"] = dict(norm_cfg=dict(type="BN"))
"""


@pytest.fixture(scope="session")
def poisoned(make_config, command, environment, half, free_port, tmp_path_factory):
    """Work dir, exit statuses and errors of two ranks without SyncBN, as Slurm starts them.

    The second rank has NaN in an image of the second epoch.
    """
    folder = tmp_path_factory.mktemp("poisoned")
    # Slurm's own programs are not here: its variables, and a scontrol that knows the nodes.
    scontrol = folder / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(
        '#!/bin/sh\n[ "$*" = "show hostnames n[1-2]" ] && echo 127.0.0.1 && echo n2'
    )
    scontrol.chmod(0o755)
    args = ("--work-dir", folder / "w", "--launcher", "slurm", *half)
    ranks = [
        subprocess.Popen(
            command("train", make_config(POISON), *args),
            env={
                **environment,
                "PATH": f"{scontrol.parent}:{environment['PATH']}",
                "SLURM_PROCID": str(rank),
                "SLURM_LOCALID": str(rank),
                "SLURM_STEP_NUM_TASKS": "2",
                "SLURM_STEP_NODELIST": "n[1-2]",
                "MASTER_PORT": str(free_port),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    errors = [process.communicate(timeout=300)[1] for process in ranks]
    return folder / "w", [process.returncode for process in ranks], errors


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

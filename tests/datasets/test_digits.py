"""The embedded dataset: reproducible, complete or absent, and readable as COCO."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from vanillanet_det import UserError
from vanillanet_det.datasets import DigitsDataset, ensure_digits
from vanillanet_det.datasets import digits as module

SCENES = {"train": 24, "val": 6}  # of small_digits


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def own(small_digits, tmp_path):
    """A copy of the dataset to do harm to."""
    return shutil.copytree(small_digits, tmp_path / "digits")


@pytest.fixture(params=SCENES)
def coco(request, small_digits, capsys):
    split = COCO(str(small_digits / "annotations" / f"instances_{request.param}.json"))
    split.folder = small_digits / request.param
    return split


@contextmanager
def generating(folder, scenes):
    """Another process that generates, from when it has drawn its first image."""
    code = f"from vanillanet_det.datasets import *; ensure_digits({str(folder)!r}, 0, {scenes})"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=os.getcwd())
    try:
        end = time.monotonic() + 60
        while not list(folder.parent.glob(f".{folder.name}.*/train/*.png")):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.002)
        yield process
    finally:
        process.kill()
        process.wait()


def test_same_seed_same_bytes(small_digits, tmp_path):
    again = ensure_digits(tmp_path / "again", num_scenes=SCENES)
    assert len(contents(again)) == 32
    assert contents(again) == contents(small_digits)


def test_other_seed_other_images(small_digits, tmp_path):
    other = contents(ensure_digits(tmp_path / "other", seed=1, num_scenes=SCENES))
    same = {key for key, value in contents(small_digits).items() if other[key] == value}
    assert not same


def test_training_and_validation_have_no_image_in_common(small_digits):
    train, val = ({*contents(small_digits / split).values()} for split in ("train", "val"))
    assert not train & val


def test_every_image_is_readable_and_has_digits(coco):
    assert len(coco.imgs) == SCENES[coco.folder.name]
    for image_id, image in coco.imgs.items():
        pixels = np.asarray(Image.open(coco.folder / image["file_name"]))
        assert pixels.shape == (image["height"], image["width"], 3) == (160, 160, 3)
        assert coco.imgToAnns[image_id]


def test_areas_and_boxes_are_those_of_the_rasterised_masks(coco):
    for annotation in coco.anns.values():
        mask = coco.annToMask(annotation)
        ys, xs = mask.nonzero()
        assert annotation["area"] == mask.sum() > 0
        assert annotation["bbox"] == [
            xs.min(),
            ys.min(),
            xs.max() + 1 - xs.min(),
            ys.max() + 1 - ys.min(),
        ]


def test_mmdet_reads_ten_classes_and_every_image(small_digits, coco, mmdet_scope, monkeypatch):
    monkeypatch.setattr(module, "NUM_SCENES", SCENES)
    dataset = DigitsDataset(
        data_root=str(small_digits),
        ann_file=f"annotations/instances_{coco.folder.name}.json",
        data_prefix=dict(img=f"{coco.folder.name}/"),
        pipeline=[dict(type="LoadReadableImage"), dict(type="LoadAnnotations", with_bbox=True)],
    )
    assert dataset.metainfo["classes"] == tuple("0123456789")
    assert len(dataset) == len(coco.imgs)
    for item in dataset:
        annotations = coco.imgToAnns[item["img_id"]]
        assert item["gt_bboxes_labels"].tolist() == [a["category_id"] - 1 for a in annotations]


def test_a_whole_folder_is_left_alone(own):
    before = {path: path.stat().st_mtime_ns for path in own.rglob("*")}
    assert ensure_digits(own, num_scenes=SCENES) == own
    assert {path: path.stat().st_mtime_ns for path in own.rglob("*")} == before


def test_an_empty_folder_and_a_link_to_one_are_filled(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    ensure_digits(tmp_path / "link", num_scenes={"train": 1})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "train" / "000001.png").is_file()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda root: (root / "train" / "000003.png").unlink(), "1 of 24 images in train/.*000003"),
        (lambda root: shutil.rmtree(root / "val"), "6 of 6 images in val/"),
        (lambda root: (root / "annotations/instances_val.json").unlink(), "instances_val.json"),
        (lambda root: os.truncate(root / "annotations/instances_val.json", 99), "instances_val"),
        (lambda root: shutil.rmtree(root / "annotations"), "isn't the embedded dataset"),
    ],
)
def test_a_folder_that_lacks_something_is_refused_by_name(own, harm, said):
    harm(own)
    with pytest.raises(UserError, match=rf"(?s){own}.*{said}.*remove the folder"):
        ensure_digits(own, num_scenes=SCENES)


@pytest.mark.parametrize("other", [dict(seed=1), dict(side=128), dict(num_scenes={"train": 24})])
def test_a_folder_made_with_other_arguments_is_refused(own, other):
    with pytest.raises(UserError, match=rf"{own}: was created with .*; remove the folder"):
        ensure_digits(own, **{"num_scenes": SCENES, **other})


@pytest.mark.parametrize("content", ["holiday.jpg", "annotations/instances_train.json"])
def test_something_else_is_refused_and_left_alone(tmp_path, content):
    file = tmp_path / "mine" / content
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps([1]))
    with pytest.raises(UserError, match=f"{tmp_path / 'mine'}: isn't the embedded dataset"):
        ensure_digits(tmp_path / "mine")
    assert file.read_text() == "[1]"


@pytest.mark.slow
def test_killed_it_leaves_no_folder_of_the_name_and_the_next_call_works(small_digits, tmp_path):
    root = tmp_path / "digits"
    with generating(root, {"train": 2000}) as process:
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert [path.name[:8] for path in tmp_path.iterdir()] == [".digits."]
    assert contents(ensure_digits(root, num_scenes=SCENES)) == contents(small_digits)


@pytest.mark.slow
def test_of_two_processes_at_once_one_makes_the_data_set_and_the_other_waits(tmp_path, monkeypatch):
    root, scenes = tmp_path / "digits", {"train": 40, "val": 4}
    with generating(root, scenes) as process:
        monkeypatch.setattr(module, "_write", lambda *_: pytest.fail("made a second time"))
        ensure_digits(root, num_scenes=scenes)
        assert process.wait(60) == 0
    assert list(tmp_path.iterdir()) == [root]


def test_of_two_nodes_without_a_common_lock_the_first_wins(small_digits, tmp_path, monkeypatch):
    def write_late(temporary, made_with):
        (temporary / "late").touch()
        shutil.copytree(small_digits, tmp_path / "digits")

    monkeypatch.setattr(module, "_write", write_late)
    ensure_digits(tmp_path / "digits", num_scenes=SCENES)
    assert contents(tmp_path / "digits") == contents(small_digits)
    assert list(tmp_path.iterdir()) == [tmp_path / "digits"]


def test_on_a_full_disk_it_says_so_and_keeps_nothing(small_disk):
    root = small_disk / "sub" / "digits"
    with pytest.raises(UserError, match=rf"{root}: .*No space left on device.*data_root=FOLDER"):
        ensure_digits(root, num_scenes=SCENES)
    assert list(root.parent.iterdir()) == []


def test_at_a_limit_of_file_sizes_it_says_so_and_keeps_nothing(tmp_path, file_size_limit):
    root = tmp_path / "digits"
    with file_size_limit(5000), pytest.raises(UserError, match=rf"{root}: .*File too large"):
        ensure_digits(root, num_scenes=SCENES)
    assert list(tmp_path.iterdir()) == []


def test_a_parent_that_is_a_file_or_read_only_is_named(tmp_path):
    (tmp_path / "file").touch()
    for root in (tmp_path / "file" / "digits", "/sys/kernel/digits"):
        with pytest.raises(
            UserError, match=rf"dataset {root}: can't be written .*no files were kept"
        ):
            ensure_digits(root)


@pytest.fixture
def unprivileged(tmp_path_factory):
    """Folder of an ordinary user, who the process is meanwhile; root may enter anything."""
    folder = tmp_path_factory.mktemp("user")
    if os.geteuid() != 0:
        yield folder
        return
    temporary = Path(tempfile.gettempdir())
    for path in (folder, *folder.parents):
        if path in (temporary, *temporary.parents):
            break
        path.chmod(0o755)
    os.chown(folder, 65534, 65534)
    os.seteuid(65534)
    yield folder
    os.seteuid(0)


def test_a_parent_that_may_not_be_entered_is_named(unprivileged):
    root = unprivileged / "closed" / "digits"
    root.parent.mkdir(mode=0)
    with pytest.raises(UserError, match=rf"{root}: can't be written \(Permission denied\)"):
        ensure_digits(root)

"""Numbers in a config that would fail in the middle of a run."""

import copy

import pytest
from mmdet.datasets.transforms import Resize
from mmengine.config import Config

from vanillanet_det.checks.settings import check_settings

pytestmark = pytest.mark.usefixtures("mmdet_scope")
LOADERS = ("train_dataloader", "val_dataloader")
RESIZE = dict(type="Resize", scale=(160, 160))


def config(*steps, **loader):
    dataset = dict(type="CocoDataset", pipeline=[dict(type="LoadImageFromFile"), *steps])
    wrapped = dict(type="RepeatDataset", times=2, dataset=dataset)
    return Config(dict(train_dataloader=dict(dict(batch_size=2, dataset=wrapped), **loader)))


def messages(cfg, dataloaders=LOADERS):
    before = copy.deepcopy(cfg._cfg_dict.to_dict())
    findings = check_settings(cfg, dataloaders)
    assert cfg._cfg_dict.to_dict() == before
    assert {finding.level for finding in findings} <= {"error"}
    return [finding.message for finding in findings]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("batch_size", 0, "a positive integer"),
        ("batch_size", "8", "a positive integer"),
        ("batch_size", 8.0, "a positive integer"),
        ("batch_size", None, "a positive integer"),
        ("num_workers", -1, "0 or a positive integer"),
        ("num_workers", "two", "0 or a positive integer"),
    ],
)
def test_of_a_dataloader(key, value, expected):
    cfg = config(**{key: value})
    assert messages(cfg) == [f"train_dataloader.{key} is {value!r}, expected {expected}"]
    assert messages(cfg, LOADERS[1:]) == []  # not used


def test_a_batch_sampler_has_sizes_of_its_own():
    assert messages(config(batch_size=[1, 2], batch_sampler=dict(type="Mine"))) == []
    assert messages(config(num_workers=0, prefetch_factor=None)) == []


@pytest.mark.parametrize("indices", [0, []])
def test_no_image_is_left(indices):
    cfg = config()
    cfg.train_dataloader.dataset.dataset.update(ann_file="a.json", indices=indices)
    (message,) = messages(cfg)
    assert message.startswith(f"train_dataloader: the dataset has indices={indices!r}, which")
    cfg.train_dataloader.dataset.dataset.indices = [0]
    assert messages(cfg) == []


@pytest.mark.parametrize(
    ("key", "value"), [("max_epochs", 0), ("max_iters", 1.5), ("val_interval", "2")]
)
def test_of_the_loop(key, value):
    cfg = config()
    cfg.train_cfg = {key: value}
    assert messages(cfg) == [f"train_cfg.{key} is {value!r}, expected a positive integer"]
    cfg.train_cfg = {key: 12.0}  # MMEngine takes it
    assert messages(cfg) == []


@pytest.mark.parametrize("divisor", [0, "32", 1.5])
def test_of_the_preprocessor(divisor):
    cfg = config()
    cfg.model = dict(data_preprocessor=dict(type="Mine", pad_size_divisor=divisor))
    (message,) = messages(cfg)
    assert message.startswith(f"model.data_preprocessor.pad_size_divisor is {divisor!r}, ")


@pytest.mark.parametrize("size", [0, (160,), (1, 2, 3), (0, 160), ("a", "b"), "big", [(1, 2), 0]])
@pytest.mark.parametrize("kind", ["Resize", "mmdet.Resize", "RandomResize"])
def test_of_a_resized_image(kind, size):
    (message, *_) = messages(config(dict(type=kind, scale=size)))
    assert message.startswith(f"train_dataloader: {kind}.scale is {size!r}, expected the two sides")


def test_of_what_is_inside_another_transform():
    inner = [[dict(RESIZE, scale=(0, 1))], [dict(type="RandomFlip", prob=0.5)]]
    (message,) = messages(config(dict(type="TestTimeAug", transforms=inner)))
    assert "Resize.scale is (0, 1)" in message


@pytest.mark.parametrize(
    "step",
    [
        RESIZE,
        dict(type="Resize", scale=640, keep_ratio=True),
        dict(type="Resize", scale_factor=0.5),
        dict(type="RandomResize", scale=[(1333, 480), (1333, 960)]),
        dict(type="RandomResize", scale=((1333, 480), (1333, 960))),
        dict(type="RandomChoiceResize", scales=[480, 512]),
        dict(type="RandomCrop", crop_size=(0.5, 0.5), crop_type="relative_range"),
        dict(type="Pad", size_divisor=32),
        dict(type="NoSuchTransform", scale=0),  # the run names the config
        dict(type="Albu", transforms=[dict(type="Resize", scale=0)]),
    ],
)
def test_of_what_works(step):
    assert messages(config(step)) == []


def test_a_transform_that_can_not_be_built():
    assert messages(config(dict(type="Resize"))) == [
        "train_dataloader: Resize can't be built (AssertionError: `scale` and`scale_factor` can "
        "not both be `None`)"
    ]


def test_types_that_are_classes():
    (message,) = messages(config(dict(type=Resize, scale=(0, 160))))
    assert "train_dataloader: Resize.scale is (0, 160), expected the two sides" in message


def test_an_error_without_words_shows_the_arguments():
    found = messages(config(dict(type="Mosaic", img_scale=[64, 64])))
    assert any("its arguments are {" in each for each in found), found

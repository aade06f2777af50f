"""Configs are read for a run, or refused in one sentence."""

import sys

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config

from vanillanet_det import UserError
from vanillanet_det.checks import leaf_datasets
from vanillanet_det.engine.config import check_tensorboard, config_errors, load_config

CONFIG = """
data_root = "data/coco"
loader = dict(batch_size=2, dataset=dict(
    data_root=data_root, ann_file="annotations/a.json", data_prefix=dict(img="images/")))
train_dataloader = dict(dataset=dict(type="RepeatDataset", times=2, dataset=dict(
    type="ConcatDataset", datasets=[
        dict(data_root=data_root + "/", ann_file="a.json"),
        dict(data_root="data/coco_more", ann_file="b.json"),
        dict(ann_file=data_root + "/c.json", data_prefix=dict(img=data_root + "/c/")),
    ])))
val_dataloader = loader
test_dataloader = loader
val_evaluator = dict(ann_file=data_root + "/annotations/a.json", metric="bbox")
test_evaluator = [val_evaluator, dict(ann_file="data/coco_more/a.json"), dict(ann_file=None)]
schedulers = [dict(begin=0)]
"""


@pytest.fixture(autouse=True)
def config(tmp_path, monkeypatch):
    """A config in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(CONFIG)


def load(*options, **kwargs):
    return load_config("mine.py", cfg_options=options, **kwargs)


def test_the_work_dir_is_named_after_the_config_and_made(tmp_path):
    cfg = load()
    assert cfg.work_dir == "work_dirs/mine"
    assert list((tmp_path / "work_dirs" / "mine").iterdir()) == []
    assert cfg.launcher == "none"


def test_a_work_dir_is_taken_from_the_argument_or_else_the_config():
    assert load("work_dir=own").work_dir == "own"
    assert load("work_dir=own", work_dir="given").work_dir == "given"


@pytest.mark.parametrize("folder", ["mine.py/x", "/sys/kernel/x"])
def test_a_work_dir_that_can_not_be_written_is_named(folder):
    with pytest.raises(UserError, match=rf"work_dir {folder}: can't be written \(.+--work-dir"):
        load(work_dir=folder)


@pytest.mark.parametrize(
    ("loop", "expected"),
    [
        (dict(type="EpochBasedTrainLoop"), "ResumableEpochBasedTrainLoop"),
        (dict(type="mmengine.IterBasedTrainLoop"), "ResumableIterBasedTrainLoop"),
        (dict(by_epoch=True), "ResumableEpochBasedTrainLoop"),
        (dict(by_epoch=False), "ResumableIterBasedTrainLoop"),
        (dict(type="OwnLoop"), "OwnLoop"),
    ],
)
def test_the_loops_of_mmengine_are_replaced(tmp_path, loop, expected):
    (tmp_path / "mine.py").write_text(f"{CONFIG}\ntrain_cfg = {loop}\nval_cfg = {{}}\n")
    cfg = load("train_cfg.val_interval=2")
    assert cfg.train_cfg == dict(type=expected, val_interval=2)
    assert cfg.val_cfg == dict(type="GuardedValLoop")
    # Loops of this project shield the workers of their dataloaders, and others can't.
    shielded = "worker_init_fn" in cfg.train_dataloader
    assert shielded == (expected == "OwnLoop")
    assert "worker_init_fn" not in cfg.val_dataloader


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        ("a = (", "SyntaxError"),
        ("_base_ = 'nowhere.py'", "nowhere.py"),
        ("a = 1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_file_that_is_not_a_config_is_named(tmp_path, content, message):
    if content is not None:
        (tmp_path / "bad.py").write_text(content)
    with pytest.raises(UserError, match=rf"^config bad\.py: .*{message}"):
        load_config("bad.py")


def test_options_are_parsed_and_merged():
    cfg = load("loader.batch_size=3", "a.b=[1,x]", "c=None", "d=k=v", "schedulers.0.begin=5")
    assert cfg.loader.batch_size == 3
    assert cfg.loader.dataset.data_root == "data/coco"
    assert (cfg.a.b, cfg.c, cfg.d, cfg.schedulers[0].begin) == ([1, "x"], None, "k=v", 5)


@pytest.mark.parametrize("option", ["loader", "=3", "--a", "a=[1,(2]"])
def test_a_malformed_option_is_named(option):
    with pytest.raises(UserError) as caught:
        load("loader.batch_size=1", option)
    assert str(caught.value).startswith(f"--cfg-options {option}: ")


@pytest.mark.parametrize("option", ["loader.batch_size.x=1", "schedulers.7.begin=1"])
def test_an_option_that_does_not_fit_is_named(option):
    with pytest.raises(UserError, match=f"--cfg-options {option}: "):
        load(option)


@pytest.mark.parametrize("folder", ["/my data", "0070", "a,b", "x/"])
def test_data_root_moves_datasets_and_evaluators(folder):
    cfg = load(f"data_root={folder}", "loader.batch_size=3")
    below = folder.rstrip("/")
    train = list(leaf_datasets(cfg.train_dataloader))
    assert cfg.data_root == train[0].data_root == folder
    assert train[0].ann_file == "a.json"
    assert train[1] == dict(data_root="data/coco_more", ann_file="b.json")
    assert train[2].ann_file == f"{below}/c.json"
    assert train[2].data_prefix.img == f"{below}/c/"
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == folder
        assert loader.dataset.ann_file == "annotations/a.json"
        assert loader.dataset.data_prefix.img == "images/"
    assert cfg.val_evaluator.ann_file == f"{below}/annotations/a.json"
    assert [evaluator.ann_file for evaluator in cfg.test_evaluator] == [
        f"{below}/annotations/a.json",
        "data/coco_more/a.json",
        None,
    ]


def test_data_root_needs_a_config_that_has_one_and_a_folder():
    with pytest.raises(UserError, match="data_root=: expected a folder"):
        load("data_root=")
    with open("none.py", "w") as file:
        file.write("a = 1")
    with pytest.raises(UserError, match=r"data_root=x: .*none\.py has no data_root"):
        load_config("none.py", cfg_options=["data_root=x"])


def test_datasets_are_found_below_wrappers():
    cfg = load()
    assert [d.ann_file for d in leaf_datasets(cfg.train_dataloader)] == [
        "a.json",
        "b.json",
        "data/coco/c.json",
    ]
    assert list(leaf_datasets(None)) == []


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (dict(type="VanilaNet"), "VanilaNet is not in the mmdet::model registry"),
        (dict(type="VanillaNet", frozen=1), "unexpected keyword argument 'frozen'"),
        (dict(arch="5"), "must contain the key \"type\", but got {'arch': '5'}"),
    ],
)
def test_a_misspelt_config_becomes_one_sentence(model, message):
    cfg = load()
    with (
        pytest.raises(UserError, match=rf"^config .*mine\.py: .*{message}") as caught,
        config_errors(cfg),
    ):
        MODELS.build(model)
    assert "More details" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [KeyError("a"), TypeError("f() got an unexpected keyword argument"), KeyError(), ValueError()],
)
def test_other_errors_pass_through(error):
    with pytest.raises(type(error)) as caught, config_errors(Config()):
        raise error
    assert caught.value is error


def drawing(backends):
    visualizer = dict(vis_backends=backends)
    return Config(dict(visualizer=visualizer), cfg_text="# mine", filename="mine.py")


@pytest.mark.parametrize(
    "backend",
    ["TensorboardVisBackend", "mmengine.TensorboardVisBackend", "LocalVisBackend", None],
)
def test_tensorboard_is_required_where_it_is_logged_to(backend, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    backends = [dict(type=backend)] if backend else None
    cfg = drawing(backends)
    if backend in ("LocalVisBackend", None):
        check_tensorboard(cfg)
        return
    with pytest.raises(UserError, match=r"^mine\.py: .* needs TensorBoard .*pip install tensorbo"):
        check_tensorboard(cfg)


def test_an_installed_tensorboard_is_accepted():
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    check_tensorboard(drawing([dict(type="TensorboardVisBackend")]))

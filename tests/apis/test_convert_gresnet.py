"""GResNet's checkpoints are converted by the same code as VanillaNet's."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch.testing import assert_close

from vanillanet_det import GResNet, UserError, load_detector
from vanillanet_det.apis import convert_checkpoint
from vanillanet_det.checkpoints import read_checkpoint
from vanillanet_det.inference.model_config import config_text
from vanillanet_det.models.backbones.gresnet_classifier import GResNetClassifierNetwork
from vanillanet_det.models.backbones.recognition import build_network, recognise

IMAGE = torch.randn(1, 3, 61, 67, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def files(tmp_path):
    return str(tmp_path / "source.pth"), str(tmp_path / "target.pth")


@pytest.mark.parametrize("depth", [50, 101])
def test_a_classifier(files, randomize_norms, depth):
    network = GResNetClassifierNetwork(depth, 7, width=8)
    randomize_norms(network, IMAGE.repeat(2, 1, 1, 1)).eval()
    torch.save(dict(model=network.state_dict()), files[0])
    report = convert_checkpoint(*files, deploy=True, verbose=True)
    assert f"classifier, training form of GResNet-{depth}, width 8; " in report
    assert "classifier, deployed form" in report
    for name in ("stem.2", "stages.0.0", "stages.3.2", "logits"):
        assert f"\n{name} " in report
    state = read_checkpoint(files[1])["state_dict"]
    deployed = build_network(recognise(state))
    deployed.load_state_dict(state)
    assert deployed.eval().form == "deployed"
    with torch.no_grad():
        assert_close(deployed(IMAGE), network(IMAGE), rtol=1e-3, atol=1e-4)


def test_a_detector_is_loaded_from_its_converted_file(files, small_config, randomize_norms):
    cfg = Config.fromfile(small_config)
    cfg.model.backbone = dict(type="GResNet", width=8, out_indices=(1, 2, 3))
    cfg.model.neck.in_channels = [64, 128, 256]
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(cfg.model)
    randomize_norms(model.backbone, IMAGE.repeat(2, 1, 1, 1))
    meta = dict(cfg=config_text(cfg), dataset_meta=dict(classes=tuple("0123456789")))
    torch.save(dict(meta=meta, state_dict=model.state_dict()), files[0])
    convert_checkpoint(*files, deploy=True)
    before, after = (load_detector(file).model for file in files)
    assert before.backbone.deploy
    assert after.backbone.deploy
    for ours, theirs in zip(after.backbone.eval()(IMAGE), before.backbone.eval()(IMAGE)):
        assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_a_part_of_the_stages_is_enough(files):
    network = GResNet(width=8, out_indices=(0, 1))
    torch.save(network.state_dict(), files[0])
    report = convert_checkpoint(*files, deploy=True)
    assert "backbone, training form of GResNet, width 8; " in report


@pytest.mark.parametrize(
    ("options", "said"),
    [(dict(merge=True), "--merge: GResNet has"), (dict(layout="published"), "published: GResNet")],
)
def test_forms_that_only_vanillanet_has(files, options, said):
    torch.save(GResNet(width=8).state_dict(), files[0])
    with pytest.raises(UserError, match=said):
        convert_checkpoint(*files, **options)


def test_incomplete_files_are_refused(files):
    state = GResNet(width=8).state_dict()
    del state["stem.0.scale"]
    torch.save(state, files[0])
    with pytest.raises(UserError, match=r"1 missing \(stem\.0\.scale\)"):
        convert_checkpoint(*files)
    torch.save({name: state[name] for name in state if name.startswith("stem.")}, files[0])
    with pytest.raises(UserError, match=r"source\.pth: GResNet: out_indices"):
        convert_checkpoint(*files)

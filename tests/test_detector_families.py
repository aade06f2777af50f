"""MMDetection's detectors with a VanillaNet train, and are evaluated and loaded fused.

With ALL_DETECTORS=1 in the environment, these are all families of detectors.
"""

import copy
import os

import cv2
import pytest
import torch
from detector_families import FAMILIES, FEW, family_config, write_coco
from mmdet.models import SSDHead
from mmdet.registry import MODELS

from vanillanet_det import UserError, load_detector
from vanillanet_det.analysis.forms import count_forms
from vanillanet_det.apis import train
from vanillanet_det.checkpoints import read_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco")
    write_coco(folder)
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("mmdet_scope")
@pytest.mark.parametrize("name", FAMILIES if os.environ.get("ALL_DETECTORS") else FEW)
def test_it_trains_and_is_evaluated_and_loaded_fused(name, folder, tmp_path, log, monkeypatch):
    if name == "SSD":  # without it, MMDetection 3.3's SSDHead raises an AttributeError
        assert not hasattr(SSDHead, "loss_cls")
        monkeypatch.setattr(SSDHead, "loss_cls", None, raising=False)
    cfg = family_config(name, folder)
    cfg.dump(tmp_path / "config.py")
    train(str(tmp_path / "config.py"), str(tmp_path))
    text = "".join(path.read_text() for path in tmp_path.rglob("*.log"))
    assert "Evaluating the fused model" in text
    assert "parameters, features equal to" in text
    assert "couldn't be compared" not in text
    if name in FEW:
        assert len(count_forms(copy.deepcopy(cfg.model), (160, 192)).forms) == 2

    (path,) = tmp_path.glob("epoch_1.pth")
    if name == "RPN":  # finds proposals, which have no class
        with pytest.raises(UserError, match=r"the detector has 1 class, but .* lists 80"):
            load_detector(path, tmp_path / "config.py", "cpu")
        return
    detector = load_detector(path, tmp_path / "config.py", "cpu", score=0.0)
    assert "couldn't be compared" not in log.text
    model = MODELS.build(cfg.model).eval()
    # DDQ saves some tensors twice; load_detector allows no others that the model lacks.
    missing = model.load_state_dict(read_checkpoint(path)["state_dict"], strict=False).missing_keys
    assert not missing
    assert sum(map(torch.numel, detector.model.parameters())) < sum(
        map(torch.numel, model.parameters())
    )
    image = cv2.imread(str(folder / "1.png"))
    data = detector.prepare(image).data
    batch = {key: [data[key]] for key in ("inputs", "data_samples")}
    with torch.no_grad():
        found, expected = (
            each.test_step(copy.deepcopy(batch))[0].pred_instances.scores.sort(descending=True)[0]
            for each in (detector.model, model)
        )
    torch.testing.assert_close(found[:10], expected[:10], rtol=1e-3, atol=1e-4)

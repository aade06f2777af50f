"""A network that this package knows nothing of: `switch_to_deploy` is all that it offers.

GResNet is treated alike.
"""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from vanillanet_det import apis, load_detector
from vanillanet_det.benchmark.random_weights import prepare_random_weights
from vanillanet_det.models.layers.fusion import fuse_conv_bn, fused_conv
from vanillanet_det.models.protocols import Deployable

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("third_network")]


@MODELS.register_module()
class TinyNet(nn.Module):
    def __init__(self, deploy=False):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(c, 16, 3, 4 // n, 1) for c, n in self.layers)
        self.norms = nn.ModuleList() if deploy else nn.ModuleList(map(nn.BatchNorm2d, [16] * 4))

    layers = ((3, 1), (16, 2), (16, 2), (16, 2))

    def forward(self, x):
        features = []
        for i, conv in enumerate(self.convs):
            x = conv(x)
            x = (self.norms[i](x) if self.norms else x).relu()
            features.append(x)
        return tuple(features[1:])

    def switch_to_deploy(self):
        for i, norm in enumerate(self.norms):
            conv = self.convs[i]
            self.convs[i] = fused_conv(conv, *fuse_conv_bn(conv.weight, conv.bias, norm))
        self.norms = nn.ModuleList()


NETWORKS = {
    "TinyNet": "type='TinyNet'), neck=dict(in_channels=[16, 16, 16]",
    "GResNet": "type='GResNet', width=8, out_indices=(1, 2, 3)), "
    "neck=dict(in_channels=[64, 128, 256]",
}


@pytest.fixture(scope="module", params=NETWORKS)
def third(request, small_config, small_digits, tmp_path_factory, randomize_norms):
    """Config and checkpoint of a RetinaNet on the network."""
    folder = tmp_path_factory.mktemp("third")
    config = folder / "third.py"
    config.write_text(
        f'_base_ = ["{small_config}"]\n'
        f"model = dict(backbone=dict(_delete_=True, {NETWORKS[request.param]}))\n"
    )
    cfg = Config.fromfile(config)
    torch.manual_seed(1)
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(cfg.model)
        pipeline = Compose(cfg.test_dataloader.dataset.pipeline)
        data = [pipeline(dict(img_path=str(p))) for p in (small_digits / "val").glob("*.png")]
    randomize_norms(model.backbone, torch.randn(2, 3, 160, 160))
    prepare_random_weights(model, {key: [d[key] for d in data] for key in data[0]})
    checkpoint = folder / "third.pth"
    meta = dict(dataset_meta=dict(classes=tuple("0123456789")))
    torch.save(dict(meta=meta, state_dict=model.state_dict()), checkpoint)
    return str(config), str(checkpoint)


def test_it_is_asked_by_its_methods():
    assert isinstance(TinyNet(), Deployable)
    assert not isinstance(nn.Conv2d(1, 1, 1), Deployable)


def test_it_is_evaluated_fused(third, tmp_path, capsys):
    apis.test(*third, work_dir=str(tmp_path))
    output = capsys.readouterr()
    assert "Evaluating the fused model" in output.out + output.err


def test_it_is_loaded_fused(third):
    backbone = load_detector(third[1], third[0]).model.backbone
    assert not any(isinstance(module, _BatchNorm) for module in backbone.modules())


@pytest.mark.parametrize("ending", [".onnx", ".xml"])
def test_it_is_exported(third, tmp_path, ending):
    pytest.importorskip("openvino" if ending == ".xml" else "onnxruntime")
    out = str(tmp_path / f"third{ending}")
    export_format = "openvino" if ending == ".xml" else "onnx"
    report = apis.export(*third, out, format=export_format, input_size="160", batch_size=1)
    assert "compared with PyTorch" in report


def test_it_is_measured_fused(third):
    text = apis.benchmark([third[0]], weights=[third[1]], input_size=["96"], rounds=5)
    assert "fused" in text


def test_its_flops_are_counted_in_both_forms(third):
    text = apis.get_flops(third[0], input_size="96")
    assert "training form" in text
    assert "deployed form" in text or "fused form" in text

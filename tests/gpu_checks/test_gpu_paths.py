"""The README lists all code that computes on a GPU, each with a test, and has the right counts."""

import ast
import re
from pathlib import Path

import pytest
from mmengine.config import Config

from vanillanet_det.analysis.forms import count_forms

ROOT = Path(__file__).parents[2]
README = (ROOT / "vanillanet_det/gpu_checks/README.md").read_text()
LISTED = dict(re.findall(r"^\| (`.+`) \| (`.+?`.*) \|$", README, re.MULTILINE))
ATTRIBUTES = {"cuda", "is_cuda", "cudnn", "nccl"}


def uses_a_gpu(path):
    """Return whether code of a file, and not a text in it, speaks of CUDA."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr in ATTRIBUTES:
            return True
        if isinstance(node, ast.Constant) and node.value in ("cuda", "CUDAExecutionProvider"):
            return True
    return False


def test_all_code_is_listed_and_nothing_else():
    package = ROOT / "vanillanet_det"
    found = {str(p.relative_to(package)) for p in package.rglob("*.py") if uses_a_gpu(p)}
    listed = [name for names in LISTED for name in re.findall(r"`(.+?)`", names)]
    unlisted = {name for name in found if not name.startswith(tuple(listed))}
    assert unlisted == set()
    assert [name for name in listed if not any(f.startswith(name) for f in found)] == []


@pytest.mark.parametrize(
    "name", [n for names in LISTED.values() for n in re.findall(r"`(.+?)`", names)]
)
def test_the_tests_exist(name):
    if name == "device":
        return
    file, _, function = name.partition("::")
    (first, *_) = sorted((ROOT / "tests").glob(file))
    text = first.read_text()
    assert f"def {function or 'test_'}" in text
    if "gpu" in file or "gpu" in function:
        assert "mark.gpu" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "config", "form"),
    [
        ("VanillaNet-11, fused", "vanillanet11", "fused"),
        ("VanillaNet-11, training form", "vanillanet11", "training"),
        ("ResNet-50", "resnet50", "model"),
        ("GResNet-50, fused", "gresnet50", "fused"),
        ("ConvNeXtV2-N", "convnextv2_nano", "model"),
        ("Swin-T", "swin_tiny", "model"),
    ],
)
def test_kernels_and_flops(row, config, form, mmdet_scope):
    cfg = Config.fromfile(ROOT / f"configs/retinanet_{config}_coco.py")
    counted = count_forms(cfg.model, (800, 1280)).forms[form]
    costs = [counted.parts["backbone"], counted.total]
    expected = [text for cost in costs for text in (str(cost.kernels), f"{cost.flops / 1e9:.1f}")]
    expected.append(f"{costs[0].kernels * 5e-3:.1f} ms")
    assert f"| {row} | {' | '.join(expected)} |" in README

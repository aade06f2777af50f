import importlib.util
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import mmcv
import mmcv.ops
import pytest
import torch
import torchvision

from vanillanet_det import ops
from vanillanet_det.ops.ext import SuppliedExt

ROOT = Path(ops.__file__).parents[2]
SUPPLIED = {
    "carafe_backward",
    "carafe_forward",
    "carafe_naive_backward",
    "carafe_naive_forward",
    "deform_conv_backward_input",
    "deform_conv_backward_parameters",
    "deform_conv_forward",
    "deform_roi_pool_backward",
    "deform_roi_pool_forward",
    "masked_col2im_forward",
    "masked_im2col_forward",
    "modulated_deform_conv_backward",
    "modulated_deform_conv_forward",
    "ms_deform_attn_backward",
    "ms_deform_attn_forward",
    "nms",
    "nms_match",
    "roi_align_backward",
    "roi_align_forward",
    "roi_pool_backward",
    "roi_pool_forward",
    "sigmoid_focal_loss_backward",
    "sigmoid_focal_loss_forward",
    "softmax_focal_loss_backward",
    "softmax_focal_loss_forward",
    "softnms",
    "sync_bn_backward_data",
    "sync_bn_backward_param",
    "sync_bn_forward_mean",
    "sync_bn_forward_output",
    "sync_bn_forward_var",
}

# `vanillanet_det.ops` on its own, without what importing the whole package brings.
ALONE = """
import sys, types
package = types.ModuleType("vanillanet_det")
package.__path__ = [sys.argv[1]]
sys.modules["vanillanet_det"] = package
from vanillanet_det import ops
"""


def run(code, *arguments, path=()):
    command = [sys.executable, "-c", ALONE + code, str(ROOT / "vanillanet_det"), *arguments]
    environment = {"PYTHONPATH": ":".join(map(str, path)), "PATH": "", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr


@pytest.fixture
def lite():
    if not isinstance(sys.modules["mmcv._ext"], SuppliedExt):
        pytest.skip("a compiled mmcv is installed")


@pytest.mark.usefixtures("lite")
class TestModule:
    def test_supplying_twice_changes_nothing(self):
        module = sys.modules["mmcv._ext"]
        assert ops.supply_ext() is True
        assert sys.modules["mmcv._ext"] is mmcv._ext is module

    def test_it_can_be_found(self):
        spec = importlib.util.find_spec("mmcv._ext")
        assert spec.name == "mmcv._ext"
        assert spec.loader is not None
        if sys.version_info < (3, 14):
            assert pkgutil.find_loader("mmcv._ext") is spec.loader
        assert importlib.import_module("mmcv._ext") is mmcv._ext
        assert mmcv._ext.__package__ == "mmcv"

    def test_supplied_ops(self):
        assert set(ops.OPS) == SUPPLIED
        for name, function in ops.OPS.items():
            assert getattr(mmcv._ext, name) is function
            assert function.__name__ == name
            assert function.__doc__

    def test_it_refuses_other_ops_when_they_are_called(self):
        boxes = torch.rand(2, 4)
        with pytest.raises(NotImplementedError, match=r"'bbox_overlaps'.*compiled mmcv 2\.x"):
            mmcv.ops.bbox_overlaps(boxes, boxes)
        assert mmcv._ext.knn_forward.__name__ == "knn_forward"

    def test_it_has_no_underscored_names(self):
        for name in ("__wrapped__", "__path__", "_private"):
            with pytest.raises(AttributeError, match=name):
                getattr(mmcv._ext, name)
        assert inspect.unwrap(mmcv._ext) is mmcv._ext

    def test_versions_name_torchvision(self):
        for text in (mmcv.ops.get_compiler_version(), mmcv.ops.get_compiling_cuda_version()):
            assert f"torchvision {torchvision.__version__}" in text

    def test_argument_names_are_those_of_mmcv(self):
        source = Path(mmcv.ops.__file__).parent / "csrc" / "pytorch" / "pybind.cpp"
        if not source.exists():
            pytest.skip("this mmcv comes without its C++ sources")
        for name, arguments in re.findall(r'm\.def\("(\w+)"(.*?)\);', source.read_text(), re.S):
            # The geometry of deformable convolutions is taken as keywords.
            if name in SUPPLIED and "deform_conv" not in name:
                wanted = re.findall(r'py::arg\("(\w+)"\)', arguments)
                assert list(inspect.signature(ops.OPS[name]).parameters) == wanted, name


COMPILED = """
assert ops.supply_ext() is False
assert "mmcv" not in sys.modules
import mmcv._ext
assert mmcv._ext.nms() == "compiled"
assert ops.supply_ext() is False
assert mmcv._ext.nms() == "compiled"
"""


@pytest.mark.slow
def test_a_compiled_ext_is_left_alone(tmp_path):
    (tmp_path / "mmcv").mkdir()
    (tmp_path / "mmcv" / "__init__.py").touch()
    (tmp_path / "mmcv" / "_ext.py").write_text("def nms():\n    return 'compiled'\n")
    run(COMPILED, path=[tmp_path])


MISSING = """
heavy = {"mmcv", "mmdet", "mmengine"} & set(sys.modules)
assert not heavy, heavy
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "mmcv":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hide())
try:
    ops.supply_ext()
except ModuleNotFoundError as error:
    assert error.name == "mmcv"
else:
    raise AssertionError("supplied without mmcv")
assert "mmcv._ext" not in sys.modules
"""


@pytest.mark.slow
def test_imports_without_mmcv_and_supplying_says_so():
    run(MISSING)


def test_ops_are_opaque_to_autograd():
    boxes = torch.rand(3, 4, requires_grad=True)
    features = torch.randn(1, 1, 4, 4, requires_grad=True)
    output, argmax = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.int)
    ops.OPS["roi_pool_forward"](
        features, torch.tensor([[0.0, 0, 0, 3, 3]]), output, argmax, 2, 2, 1.0
    )
    assert not output.requires_grad
    assert ops.OPS["nms"](boxes=boxes, scores=torch.rand(3), iou_threshold=0.5, offset=0).numel()

"""Importing the package checks its requirements and registers its modules."""

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest
from mmdet import registry
from two_ranks import run_in_two_ranks

import vanillanet_det
from vanillanet_det import requirements
from vanillanet_det.requirements import check_requirements

NEEDED = ("mmdet", "mmengine", "mmcv")


@pytest.fixture
def without(monkeypatch):
    """Function that makes packages impossible to import."""

    def hide(*names):
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)

    return hide


def test_complete_requirements_pass():
    check_requirements()


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (("mmcv",), r"needs mmcv: pip install 'mmcv-lite>=2\.1,<2\.2'.*or install a compiled"),
        (("mmdet",), r"needs mmdet: pip install -e '\.\[lite\]'"),
        (("mmengine", "mmcv"), r"needs mmengine, mmcv: pip install -e '\.\[lite\]'"),
        (NEEDED, r"needs mmdet, mmengine, mmcv: pip install -e '\.\[lite\]'"),
        (("timm",), r"needs timm: pip install -e '\.\[torch\]'"),
        (("torch", *NEEDED), r"needs torch, mmdet, mmengine, mmcv: pip install -e '\.\[lite\]'"),
    ],
)
def test_the_message_names_what_is_missing_and_how_to_install_it(without, missing, message):
    without(*missing)
    with pytest.raises(ImportError, match=message):
        check_requirements()


@pytest.mark.parametrize(
    ("versions", "remedy"),
    [
        (dict(torch="2.1.2+cu121", numpy="2.4.1"), "pip install 'numpy<2'"),
        (
            {"torch": "2.2.0", "numpy": "2.0.0", "opencv-python": "4.12.0.88"},
            "pip install 'numpy<2' 'opencv-python<4.12'",
        ),
        (
            {"torch": "2.1.0", "numpy": "2.0.0rc1", "opencv-python-headless": "5.0.0"},
            "pip install 'numpy<2' 'opencv-python-headless<4.12'",
        ),
        (dict(torch="2.1.2", numpy="1.26.4"), None),
        (dict(torch="2.3.0", numpy="2.0.0"), None),
        (dict(numpy="2.0.0"), None),
    ],
)
def test_a_numpy_that_pytorch_cannot_use_is_one_sentence(monkeypatch, versions, remedy):
    def version(name):
        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(requirements, "version", version)
    if remedy is None:
        return check_requirements()
    message = f"PyTorch {versions['torch']} can't use NumPy {versions['numpy']}, only NumPy 1: "
    with pytest.raises(ImportError, match=f"{re.escape(message + remedy)}$"):
        check_requirements()


@pytest.mark.parametrize("missing", [("mmcv",), ("torch",), ("timm",)])
def test_the_import_fails_with_that_message_first(missing, root):
    hide = "".join(f"sys.modules[{name!r}] = None; " for name in missing)
    code = f"import sys; {hide}import vanillanet_det"
    process = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert process.returncode == 1
    assert f"ImportError: vanillanet_det needs {', '.join(missing)}: pip install" in process.stderr


def test_without_mmdetection_the_package_imports_and_its_names_raise(root):
    code = (
        "import sys; sys.modules.update(mmdet=None, mmcv=None)\n"
        "import vanillanet_det.runtime\n"
        "print('imported', flush=True)\n"
        "vanillanet_det.VanillaNet\n"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert (process.returncode, process.stdout) == (1, "imported\n")
    assert "ImportError: vanillanet_det needs mmdet, mmcv: pip install" in process.stderr


# The package alone: without MMDetection, importing it imports nothing else.
CUT_CACHE = """
import sys
import time
from pathlib import Path
sys.modules.update(mmdet=None)
from vanillanet_det.requirements import import_yapf

caches = [(path, path.read_bytes()) for path in Path(sys.argv[1]).rglob("*.pickle")]
assert len(caches) == 2
for path, content in caches:
    path.write_bytes(content[:int(sys.argv[2])])

def sleep(seconds):
    if "mended" in sys.argv:
        [path.write_bytes(content) for path, content in caches]

time.sleep = sleep
import_yapf()
import yapf
print(yapf.yapf_api.FormatCode("a  =  1")[0])
"""


@pytest.mark.parametrize("size", ["0", "100"])
def test_yapf_is_imported_once_its_cache_is_complete(tmp_path, monkeypatch, root, size):
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    subprocess.run([sys.executable, "-c", "import yapf"], check=True)
    command = [sys.executable, "-c", CUT_CACHE, str(tmp_path), size]
    process = subprocess.run([*command, "mended"], cwd=root, capture_output=True, text=True)
    assert (process.returncode, process.stdout) == (0, "a = 1\n\n"), process.stderr
    process = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert process.returncode == 1
    error = process.stderr.splitlines()[-1]
    assert error.startswith("ImportError: yapf, which MMEngine needs, can't read its cache (")


# With fresh statistics a BatchNorm is the identity, and any fused network equal to its original.
NETWORK = """
import sys
sys.modules.update(mmdet=None, mmengine=None, mmcv=None)
import torch
from vanillanet_det.models.backbones import VanillaNetwork
from vanillanet_det.models.deploy import switch_to_deploy

network = VanillaNetwork(dict(dims=[8, 16, 16, 16], strides=[2, 2, 2]))
images = torch.rand(2, 3, 64, 64)
network.train()(images)
features, fused = network.eval()(images), switch_to_deploy(network)
assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fused.modules())
torch.testing.assert_close(fused(images), features, rtol=1e-4, atol=1e-5)
"""


OPTIONAL = ("faster_coco_eval", "nncf", "onnx", "onnxruntime", "openvino", "tensorboard", "timm")


def optional_modules(rank):
    return [name for name in OPTIONAL if name in sys.modules]


@pytest.mark.slow
@pytest.mark.xdist_group("two_ranks")
def test_importing_the_package_leaves_what_not_everyone_uses(tmp_path):
    assert run_in_two_ranks(optional_modules, tmp_path) == [[], []]


@pytest.mark.slow
def test_the_network_runs_and_fuses_with_pytorch_alone(root):
    process = subprocess.run([sys.executable, "-c", NETWORK], cwd=root, capture_output=True)
    assert process.returncode == 0, process.stderr.decode()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("MODELS", "VanillaNet"),
        ("HOOKS", "SwitchToDeployHook"),
        ("DATASETS", "DigitsDataset"),
        ("TRANSFORMS", "LoadReadableImage"),
        ("OPTIM_WRAPPERS", "Bf16OptimWrapper"),
        ("OPTIM_WRAPPER_CONSTRUCTORS", "LayerDecay"),
    ],
)
def test_mmdet_knows_the_registered_modules(kind, name):
    found = getattr(registry, kind).get(name)
    assert found.__module__.startswith("vanillanet_det.")


def test_all_public_names_exist():
    for name in vanillanet_det.__all__:
        assert hasattr(vanillanet_det, name)

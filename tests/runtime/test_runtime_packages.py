"""Optional packages are imported late and send no telemetry."""

import os
import subprocess
import sys

import pytest

from vanillanet_det.errors import UserError
from vanillanet_det.runtime.packages import load

_CODE = """
import sys, threading
sys.modules.update(mmdet=None, mmcv=None)  # the package imports faster
from vanillanet_det.runtime.packages import load
load("nncf")
load("openvino.frontend").FrontEndManager().load_by_framework("onnx")
assert threading.active_count() == 1, threading.enumerate()
"""


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r"cv2 is needed .*pip install opencv-python-headless"):
        load("cv2")


@pytest.mark.slow
def test_no_telemetry_is_sent(tmp_path):
    environment = {**os.environ, "HOME": str(tmp_path)}
    for variable in ("CI", "TF_BUILD", "JENKINS_URL"):  # in which no telemetry is sent anyway
        environment.pop(variable, None)
    subprocess.run([sys.executable, "-c", _CODE], env=environment, check=True, timeout=120)
    # Where they would keep the ID of the user.
    assert not (tmp_path / "intel").exists()

"""What everything says where Ultralytics is missing, or too old."""

import subprocess
import sys

import pytest

FIND = """
import importlib.metadata as metadata
own = metadata.version

def version(name):
    if name == "ultralytics":
        {found}
    return own(name)

metadata.version = version
"""
NOTHING = FIND.format(found="raise metadata.PackageNotFoundError(name)")
OLD = FIND.format(found="return '8.2.0'")
KINDS = [(NOTHING, "no Ultralytics"), (OLD, "Ultralytics 8.2.0")]


def run(code):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(("find", "what"), KINDS)
def test_the_command(find, what):
    result = run(f"{find}\nfrom vanillanet_det_tools.yolo import main\nmain()")
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: vanillanet_det.yolo: found {what}; expected 8.3.70")
    assert "AGPL-3.0" in line


@pytest.mark.slow
@pytest.mark.parametrize(
    "args",
    [
        ["benchmark", "yolo11n.yaml"],
        ["training-cost", "--beside", "yolo11n.yaml"],
        ["test", "CONFIG", "yolo11n.yaml"],
    ],
)
def test_the_verbs(args, tmp_path, small_config):
    if args[0] == "test":
        args = ["test", str(small_config), args[2], "--work-dir", str(tmp_path)]
    result = run(f"{NOTHING}\nfrom vanillanet_det_tools.main import main\nmain({args!r})")
    assert result.returncode == 2, result.stderr
    last = result.stderr.splitlines()[-1]
    assert "yolo11n.yaml: vanillanet_det.yolo: found no Ultralytics; expected" in last

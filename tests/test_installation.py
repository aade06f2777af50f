"""Configs are found by name, in the repository and in an installed wheel."""

import runpy
import shutil
import sys
from pathlib import Path

import pytest

from vanillanet_det import installation
from vanillanet_det.configs import read_config_file
from vanillanet_det.errors import UserError
from vanillanet_det.installation import command, locate_config

NAME = "retinanet_vanillanet11_coco"


@pytest.fixture(params=["checkout", "wheel"])
def installed(request, root, tmp_path):
    """The module as it is in the repository, and as a wheel installs it."""
    if request.param == "checkout":
        return vars(installation)
    package = tmp_path / "site-packages" / "vanillanet_det"
    shutil.copytree(root / "configs", package / ".mim" / "configs")
    shutil.copy(root / "vanillanet_det" / "installation.py", package)
    (tmp_path / "site-packages" / "configs").mkdir()  # of another package
    return runpy.run_path(str(package / "installation.py"))


@pytest.mark.parametrize("given", [NAME, f"{NAME}.py", f"configs/{NAME}.py", f"configs/{NAME}"])
def test_a_config_is_found_by_name(given, installed, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = installed["locate_config"](given)
    assert found == installed["configs_folder"]() / f"{NAME}.py"
    assert found.read_bytes() == (root / f"configs/{NAME}.py").read_bytes()
    assert NAME in installed["config_names"]()


def test_the_base_of_a_config_is_found_by_its_path(installed):
    assert installed["locate_config"]("configs/_base_/models/retinanet.py").is_file()
    assert "_base_" not in installed["config_names"]()


@pytest.mark.parametrize(
    "given", ["", ".", "configs", "nothing", f"../configs/{NAME}", f"/{NAME}", "a.json"]
)
def test_other_names_are_no_configs(given, installed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert installed["locate_config"](given) is None


@pytest.mark.parametrize("given", [NAME, f"{NAME}.py", f"configs/{NAME}.py"])
def test_a_file_that_exists_takes_precedence(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(given).parent.mkdir(exist_ok=True)
    Path(given).touch()
    assert locate_config(given) == Path(given)


def test_a_folder_of_the_same_name_does_not(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(NAME).mkdir()
    assert locate_config(NAME) == root / "configs" / f"{NAME}.py"


def test_a_remedy_installs_the_extra(installed):
    in_checkout = installed is vars(installation)
    assert installed["install_command"]("lite,export") == (
        "pip install -e '.[lite,export]' in the folder of vanillanet_det"
        if in_checkout
        else "pip install 'vanillanet_det[lite,export]'"
    )


@pytest.mark.parametrize(
    ("started", "expected"),
    [
        ("vanillanet-det", "vanillanet-det check-data"),
        ("ROOT/vanillanet_det_tools/__main__.py", "python -m vanillanet_det_tools check-data"),
        ("ROOT/tools/train.py", "python ROOT/tools/check_data.py"),
        ("tools/train.py", "vanillanet-det check-data"),  # somebody else's
        ("", "vanillanet-det check-data"),
    ],
)
def test_a_command_is_said_as_the_process_was_started(
    started, expected, root, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [started.replace("ROOT", str(root))])
    assert command("check-data") == expected.replace("ROOT", str(root))


def test_in_the_checkout_the_path_stays_short(root, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["tools/train.py"])
    assert command("check-data") == "python tools/check_data.py"


def test_an_unknown_name_gets_the_closest_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        read_config_file("mask_rcnn_vanilanet13_coco.py")
    assert str(error.value) == (
        "config mask_rcnn_vanilanet13_coco.py: there is no such file; the closest configs of "
        "vanillanet_det are mask_rcnn_vanillanet13_coco, mask_rcnn_vanillanet11_coco, "
        "mask_rcnn_vanillanet9_coco (vanillanet-det configs lists all)"
    )
    with pytest.raises(UserError, match=r"^config zzz: there is no such file \(vanillanet-det c"):
        read_config_file("zzz")


@pytest.mark.parametrize("base", [f"{NAME}.py", "_base_/models/retinanet.py"])
def test_a_package_name_in_base_gets_what_to_write_instead(base, tmp_path):
    config = tmp_path / "own.py"
    config.write_text(f'_base_ = "vanillanet_det::{base}"\n')
    with pytest.raises(UserError, match=r"write the path that vanillanet-det configs NAME prints$"):
        read_config_file(config)
    config.write_text(f'_base_ = "{locate_config(base)}"\n')
    assert read_config_file(config).model.type == "RetinaNet"

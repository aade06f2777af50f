"""The scripts of the checkout run the verbs of the command, and say their own names."""

from pathlib import Path

import pytest

from vanillanet_det_tools.main import VERBS

SCRIPTS = Path(__file__).parents[2] / "tools"


def test_every_verb_has_a_script():
    scripts = {path.stem.replace("_", "-") for path in SCRIPTS.glob("*.py")} - {"command-line"}
    assert scripts == set(VERBS)


@pytest.mark.parametrize("name", ["train", "get_flops", "test"])  # Python has a module test, too
def test_a_script_runs_its_verb_under_its_own_name(name, run_python):
    done = run_python(SCRIPTS / f"{name}.py", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: tools/{name}.py ")


def test_a_script_names_scripts(run_python, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(SCRIPTS.parent))
    done = run_python(SCRIPTS / "train.py", "no_such_config")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert f"(python {SCRIPTS}/configs.py lists all)" in line


def test_a_script_without_the_package_says_how_to_install_it(run_python, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    done = run_python("-S", SCRIPTS / "train.py", "CONFIG")  # without site-packages
    assert done.returncode == 2
    message = "error: No module named 'vanillanet_det_tools'; run pip install -e '.[lite]' in "
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1

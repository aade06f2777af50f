"""What the READMEs promise: command lines parse, snippets run, links lead somewhere."""

import argparse
import ast
import importlib.metadata
import pkgutil
import re
import runpy
import shlex
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torchvision
from mmdet.registry import HOOKS, MODELS
from mmengine.config import Config
from PIL import Image

from vanillanet_det import VanillaNet, load_detector
from vanillanet_det.installation import locate_config
from vanillanet_det.models.backbones import ARCHS
from vanillanet_det_tools.main import VERBS, run_verb

ROOT = Path(__file__).parents[1]
MAX_LINES = {
    "README.md": 130,
    "tools/README.md": 200,
    "configs/README.md": 200,
    "vanillanet_det/runtime/README.md": 100,
    "vanillanet_det/benchmark/README.md": 100,
    "vanillanet_det/export/README.md": 100,
    "vanillanet_det/ops/README.md": 30,
    "vanillanet_det/datasets/README.md": 60,
    "vanillanet_det/embeddings/README.md": 70,
    "vanillanet_det/finetune/README.md": 130,
    "vanillanet_det/pretraining/README.md": 145,
    "vanillanet_det/classifiers/README.md": 100,
    "vanillanet_det/yolo/README.md": 110,
    "vanillanet_det/gpu_checks/README.md": 100,
}
COMMAND = re.compile(
    r"(?:vanillanet-det|-m vanillanet_det_tools) +([a-z-]+) +(.+)"
    r"|tools/(\w+)\.py +(.+)"
    r"|python -m (vanillanet_det\.[\w.]+) +(.+)"
)
# Values of `--model` that are no configs, files that other commands write, and names to fill in.
PLACEHOLDERS = (
    r"[A-Z]+|nano|small|base|retinanet|(mask|faster)-rcnn|vanillanet\d+"
    r"|timm:\w+(=.+)?|yolo11[\w-]*(\.yaml)?|.+\.(onnx|xml|pth|pt)"
)
NOT_RUN = re.compile(r"<!-- not run: .+ -->")


class Block(NamedTuple):
    """A fenced block of a README."""

    language: str
    text: str
    before: str  # the line above


class Command(NamedTuple):
    """A command line that runs a verb or a module of this project."""

    program: str
    args: tuple[str, ...]


def blocks(readme):
    text = read(readme)
    found = re.finditer(r"^([^\n]*)\n```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(match[2], match[3], match[1]) for match in found]


def read(readme):
    path = ROOT / readme
    return path.read_text() if path.exists() else ""  # test_length reports a missing one


def inline_code(readme):
    prose = re.sub(r"^```.*?^```$", "", read(readme), flags=re.MULTILINE | re.DOTALL)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]


def commands(readme):
    """Find the command lines, without what launches them."""
    lines = inline_code(readme)
    for block in blocks(readme):
        if block.language in ("", "bash", "shell"):
            lines += block.text.replace("\\\n", " ").splitlines()
    found = []
    for line in lines:
        for part in re.split(r"&&|;", line):
            if match := COMMAND.search(part):
                program, args = filter(None, match.groups())
                program = program.replace("_", "-") if match[3] else program
                found.append(Command(program, tuple(shlex.split(args, comments=True))))
    return found


ALL_COMMANDS = [(readme, *command) for readme in MAX_LINES for command in commands(readme)]
ALL_SNIPPETS = [
    pytest.param(
        block.text,
        id=f"{readme}-{number}",
        marks=[pytest.mark.slow] if ".onnx" in block.text else [],  # a file is exported first
    )
    for readme in MAX_LINES
    for number, block in enumerate(blocks(readme), 1)
    if block.language == "python" and not NOT_RUN.fullmatch(block.before)
]


@pytest.mark.parametrize("readme", MAX_LINES)
def test_length(readme):
    lines = (ROOT / readme).read_text().splitlines()
    assert len(lines) <= MAX_LINES[readme]
    assert not [line for line in lines if len(line) >= 120]


def test_every_readme_is_tested():
    found = [
        *ROOT.glob("README.md"),
        *ROOT.glob("[a-z]*/README.md"),
        *ROOT.glob("[a-z]*/*/README.md"),
    ]
    assert {path.relative_to(ROOT).as_posix() for path in found} == set(MAX_LINES)


class Parsed(BaseException):  # not an Exception, which a tool might catch
    """A tool has parsed its command line."""


@pytest.fixture
def parse(monkeypatch):
    """Run a verb or a module until it has parsed its command line."""
    parse_args = argparse.ArgumentParser.parse_args

    def parse_and_stop(*args, **kwargs):
        raise Parsed(parse_args(*args, **kwargs))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    # Placeholders such as CONFIG pass.
    monkeypatch.setattr(runpy, "run_path", lambda _: dict(locate_config=Path))

    def run(program, args):
        monkeypatch.setattr("sys.argv", [program, *args])
        is_verb = program in VERBS
        with pytest.raises(Parsed) as parsed:
            run_verb(program, program, args) if is_verb else runpy.run_module(
                program, run_name="__main__"
            )
        return parsed.value.args[0]

    return run


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize(
    ("readme", "program", "args"), ALL_COMMANDS, ids=[f"{c[0]}-{c[1]}" for c in ALL_COMMANDS]
)
def test_command_lines_are_parsed(readme, program, args, parse):
    values = vars(parse(program, args))
    models = values.get("model")
    models = models if isinstance(models, list) else [models]
    configs = [values.get("config"), *models, *(values.get("configs") or [])]
    for name in [*configs, *(arg for arg in args if arg.startswith("configs/"))]:
        assert name is None or locate_config(name) or re.fullmatch(PLACEHOLDERS, name), name
    sizes = values.get("input_size") or []
    for size in [sizes] if isinstance(sizes, str) else sizes:
        assert re.fullmatch(r"\d+(x\d+)?", str(size))
    assert (values.get("backbone") or "vanillanet5").replace("vanillanet", "") in ARCHS


def test_a_flag_that_does_not_exist_is_found(parse):
    with pytest.raises(SystemExit):
        parse("train", ("CONFIG", "--no-such-flag"))


def test_the_tools_readme_shows_every_verb():
    shown = {command.program for command in commands("tools/README.md")}
    assert shown >= {*VERBS, "vanillanet_det.datasets.examples"}
    headings = re.findall(r"^## ([\w, -]+)$", read("tools/README.md"), re.MULTILINE)
    assert set(", ".join(headings).split(", ")) == {*VERBS, "examples"}


def test_extras_exist():
    declared = set(importlib.metadata.metadata("vanillanet_det").get_all("Provides-Extra"))
    for readme in MAX_LINES:
        for extras in re.findall(r"\.\[([\w,]+)\]", read(readme)):
            assert declared.issuperset(extras.split(",")), readme


@pytest.fixture(scope="session")
def exported_file(small_config, detector_file, tmp_path_factory):
    """The small detector as an ONNX file."""
    from vanillanet_det.apis import export

    path = tmp_path_factory.mktemp("exported") / "detector.onnx"
    export(str(small_config), str(detector_file), out=str(path))
    return path


@pytest.mark.parametrize("text", ALL_SNIPPETS)
def test_snippets_run(text, request, tmp_path, monkeypatch, mmdet_scope):
    monkeypatch.chdir(tmp_path)
    if all(isinstance(statement, ast.Assign) for statement in ast.parse(text).body):
        return build_config(text, tmp_path)
    for name in re.findall(r'"([\w./]+\.(?:pth|onnx|jpg|png))"', text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith((".jpg", ".png")):
            pixels = np.random.RandomState(0).randint(0, 256, (120, 160, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(name)
        else:
            source = "exported_file" if name.endswith(".onnx") else "detector_file"
            shutil.copy(request.getfixturevalue(source), name)
    if "ultralytics" in text:
        pytest.importorskip("ultralytics", reason="needs the extra yolo")
    model = VanillaNet(dict(dims=[8, 8, 8], strides=[2, 2])).eval()
    given = dict(model=model, torch=torch, torchvision=torchvision, load_detector=load_detector)
    exec(compile(text, "README", "exec"), given)  # noqa: S102


def build_config(text, folder):
    """Read a config and build what it has of a model, and this project's hooks."""
    (folder / "config.py").write_text(text)
    cfg = Config.fromfile(folder / "config.py")
    with torch.device("meta"):
        parts = cfg.get("model", {})
        for part in [parts] if "type" in parts else parts.values():
            MODELS.build(part)
    for hook in cfg.default_hooks.values():
        if HOOKS.get(hook.type).__module__.startswith("vanillanet_det"):
            HOOKS.build(hook)


@pytest.mark.parametrize("readme", MAX_LINES)
def test_links_lead_somewhere(readme):
    text = read(readme)
    for link in re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'src="([^"]+)"', text):
        if link.startswith("http"):
            continue
        name, _, heading = link.partition("#")
        target = (ROOT / readme).parent / name if name else ROOT / readme
        assert target.exists(), link
        if heading:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", line).lower().replace(" ", "-") for line in headings]
            assert heading in slugs, link


@pytest.mark.parametrize("readme", MAX_LINES)
def test_python_names_exist(readme):
    for code in inline_code(readme):
        for name in re.findall(r"(?<![\w./-])vanillanet_det(?:\.\w+)+", code):
            pkgutil.resolve_name(name)


def test_the_front_page_maps_the_package():
    package = ROOT / "vanillanet_det"
    code = inline_code("README.md")
    folders = {path.parent.name for path in package.glob("*/*.py")}
    beside = {"tools", "vanillanet_det_tools"}
    assert {name.rstrip("/") for name in code if name.endswith("/")} == folders | beside
    for name in code:
        if name.endswith(".py") and " " not in name:
            places = (ROOT, package, package / "models")
            assert any((place / name).is_file() for place in places), name

"""Speed measurement of detectors, used by `vanillanet-det benchmark`."""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Optional

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from ..analysis.published import CLASSIFIER_TABLE, COCO_TABLE, DETECTOR_SIZE, GRESNET_PEERS
from ..benchmark.classifier_report import classifier_report
from ..benchmark.classifiers import classifier_candidates
from ..benchmark.report import (
    csv_text,
    json_text,
    markdown_report,
    published_report,
    text_report,
)
from ..benchmark.results import COMPILED, EAGER, GRAPH, Result
from ..benchmark.run import NamedConfig, detector_candidates, run
from ..benchmark.scaling import scaling_report
from ..benchmark.settings import PYTORCH, BenchmarkSettings
from ..configs import is_ultralytics
from ..engine.config import read_config
from ..engine.options import parse_device, parse_size
from ..errors import UserError
from ..fileio import atomic_write
from ..inference.ultralytics import ultralytics_config
from ..installation import configs_folder

_FORMS = {"train": "training", "deploy": "deploy"}


def benchmark(
    configs: Sequence[str] = (),
    table: Optional[str] = None,
    weights: Sequence[str] = (),
    exported: Sequence[str] = (),
    part: Optional[Sequence[str]] = None,
    form: Optional[Sequence[str]] = None,
    precision: Sequence[str] = ("fp32",),
    memory_format: Sequence[str] = ("auto",),
    compile: bool = False,
    cuda_graph: bool = False,
    engine: Sequence[str] = (PYTORCH,),
    images: Optional[str] = None,
    input_size: Optional[Sequence[str]] = None,
    batch_size: Optional[Sequence[int]] = None,
    device: str = "cpu",
    threads: Optional[int] = None,
    seconds: float = 75.0,
    rounds: Optional[int] = None,
    out: Optional[str] = None,
    plot: Optional[str] = None,
    markdown: bool = False,
    cfg_options: Sequence[str] = (),
) -> str:
    """Measure the speed of detectors in turns, and return a report.

    Args:
        configs: Config files; or YAMLs and `.pt` files of Ultralytics.
        table: Measure the `detectors` of the published COCO table instead, the `classifiers` of
            the published ImageNet table, or `gresnet` with its peers.
        weights: Checkpoints, one for each config; if empty, random weights are used.
        exported: Exported `.onnx` or `.xml` files to measure as well; with several configs, each
            file is matched to the config that it was exported from.
        part: `backbone` and `detector`, or one of them; None for both.
        form: `train` and `deploy`, or one of them; None for both, or for `deploy` with `table`.
        precision: `fp32`, `bf16`, `fp16`.
        memory_format: `auto`, `contiguous`, `channels-last`.
        compile: Also measure with torch.compile.
        cuda_graph: Also measure with the kernels of backbone, neck and dense head in CUDA graphs.
        engine: `pytorch`, `onnxruntime`, `openvino`; for all but `pytorch`, the fused network is
            exported.
        images: Folder of images; None for the embedded photographs.
        input_size: Sizes such as `320` or `480x640` (height x width); None keeps the config's.
        batch_size: Numbers of images per batch; None for 64 with `gresnet`, and else for 1.
        device: Device to run on.
        threads: Number of CPU threads of every engine; None for PyTorch's default.
        seconds: Seconds to measure, in at least 5 rounds.
        rounds: Number of rounds; overrides `seconds`.
        out: File for all figures, `.json` or `.csv`.
        plot: Path of the `.png` file for a plot of the results.
        markdown: Return all columns as Markdown instead of those that fit a terminal.
        cfg_options: `key=value` pairs that override each config.

    Returns:
        The text to print.

    Raises:
        UserError: A config, weights, images, a value, the device, an exported file or an engine
            can't be used.
    """
    check_outputs(out, plot)
    batch_size = batch_size or ((64,) if table == "gresnet" else (1,))
    for flag, values in (("batch-size", batch_size), ("threads", [threads]), ("rounds", [rounds])):
        for value in values:
            if value is not None and value < 1:
                raise UserError(f"--{flag} {value}: expected a positive integer")
    if not seconds > 0:
        raise UserError(f"--seconds {seconds:g}: expected a number above 0")
    if table:
        if configs or weights:
            raise UserError(
                f"--table {table}: chooses the networks itself; omit the configs and --weights"
            )
        if table == "detectors":
            configs = [str(configs_folder() / f"{name}.py") for name in COCO_TABLE]
            input_size = input_size or [f"{DETECTOR_SIZE[0]}x{DETECTOR_SIZE[1]}"]
        else:
            given = dict(part=part, exported=exported, cfg_options=cfg_options, markdown=markdown)
            given["plot"] = plot if table == "gresnet" else None
            given["engine"] = [name for name in engine if name != PYTORCH]
            for name in (name for name, value in given.items() if value):
                flag = name.replace("_", "-")
                raise UserError(f"--{flag}: isn't for --table {table}; omit it")
    elif not configs:
        raise UserError("expected one or more config files, or --table for the published ones")
    if weights and len(weights) != len(configs):
        raise UserError(
            f"--weights: {len(weights)} files for {len(configs)} configs; pass one per config"
        )
    settings = BenchmarkSettings(
        forms=_unique(_FORMS[name] for name in form or (["deploy"] if table else _FORMS)),
        precisions=_unique(precision),
        layouts=_unique(memory_format),
        modes=(EAGER, *[COMPILED] * compile, *[GRAPH] * cuda_graph),
        sizes=_unique(parse_size(size, "input-size") for size in input_size or ()) or (None,),
        batch_sizes=_unique(batch_size),
        parts=_unique(part or ("backbone", "detector")),
        engines=_unique(engine),
        exported=_unique(exported),
        images=images,
        device=parse_device(device),
        budget=seconds,
        rounds=rounds,
    )
    if cuda_graph and settings.device.type != "cuda":
        raise UserError(f"--cuda-graph: needs a CUDA GPU, but --device is {device}; omit it")
    checkpoints = weights or [None] * len(configs)
    cfgs = [_read(config, cfg_options) for config in configs]
    networks = list(zip(_names(configs, checkpoints), cfgs, checkpoints))
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        result = _run(networks, settings, GRESNET_PEERS if table == "gresnet" else CLASSIFIER_TABLE)
    finally:
        torch.set_num_threads(before)
    own_report = markdown_report if markdown else text_report
    reports = [
        published_report(result, COCO_TABLE) if table == "detectors" else None,
        own_report(result) if configs else classifier_report(result),
        scaling_report(result),
    ]
    text = "\n\n".join(filter(None, reports))
    try:
        _write(result, out, plot, table)
    except BaseException:
        # A full disk must not discard the figures after minutes of measuring.
        sys.stdout.write(f"{text}\n")
        raise
    return text


def _read(config: str, cfg_options: Sequence[str]) -> Config:
    if not is_ultralytics(config):
        return read_config(config, cfg_options)
    if cfg_options:
        raise UserError(f"--cfg-options: {config} is a network of Ultralytics; omit the options")
    return ultralytics_config(config)


def _names(configs: Sequence[str], checkpoints: Sequence[Optional[str]]) -> list[str]:
    """Return a unique name per network: its config's name, its path, or its path and checkpoint.

    Raises:
        UserError: Two networks have the same config and checkpoint.
    """
    paths = [str(Path(config).with_suffix("")) for config in configs]
    both = [f"{path} {Path(file).stem}" for path, file in zip(paths, checkpoints) if file]
    for names in ([Path(config).stem for config in configs], paths, both):
        if len(names) == len(set(names)) == len(configs):
            return names
    raise UserError("two networks have the same config and weights; remove one of them")


def _unique(values: Any) -> tuple:
    return tuple(dict.fromkeys(values))


def check_outputs(
    out: Optional[str], plot: Optional[str] = None, endings: tuple[str, ...] = (".json", ".csv")
) -> None:
    """Check before measuring that the output files can be written.

    Args:
        out: Path of the figures, or None.
        plot: Path of a plot, or None.
        endings: What the path of the figures may end in.

    Raises:
        UserError: A file can't be written, or has another ending.
    """
    for flag, path, allowed in (("out", out, endings), ("plot", plot, (".png",))):
        if path is None:
            continue
        if not path.endswith(allowed):
            raise UserError(f"--{flag} {path}: expected a path ending in {' or '.join(allowed)}")
        folder = Path(path).parent
        if not folder.is_dir():
            raise UserError(f"--{flag} {path}: folder {folder} doesn't exist; create it first")
        if Path(path).is_dir() or not os.access(folder, os.W_OK):
            raise UserError(
                f"--{flag} {path}: can't be written because it is a folder or {folder} is "
                "read-only; choose another path"
            )


def _run(
    networks: Sequence[NamedConfig], settings: BenchmarkSettings, classifiers: Iterable[str]
) -> Result:
    for _, cfg, _ in networks:
        if not cfg.get("model"):
            raise UserError(f"config {cfg.filename}: has no model")
    scope = networks[0][1].get("default_scope") if networks else None
    make = (
        partial(detector_candidates, networks)
        if networks
        else partial(classifier_candidates, classifiers)
    )
    with DefaultScope.overwrite_default_scope(scope or "mmdet"):
        try:
            return run(make, settings)
        except UserError:
            raise
        except RuntimeError as error:
            if "not implemented for 'Half'" in str(error):
                raise UserError(
                    f"--precision fp16: PyTorch {torch.__version__} can't compute in it on the "
                    "CPU; omit it, or use a newer version"
                ) from error
            if not re.search(r"out of memory|can't allocate memory", str(error)):
                raise
            raise UserError(
                "the networks don't fit into memory together; measure fewer forms, precisions or "
                "configs in one run, or smaller images and batches"
            ) from error


def _write(result: Result, out: Optional[str], plot: Optional[str], table: Optional[str]) -> None:
    if out is not None:
        text = json_text(result) if out.endswith(".json") else csv_text(result)
        try:
            with atomic_write(out) as file:
                file.write(text.encode())
        except OSError as error:
            raise UserError(f"--out {out}: can't be written ({error.strerror})") from error
    if plot is not None:
        # Imported here because the import takes a second and most runs don't plot.
        from ..benchmark.classifier_plot import plot_classifiers
        from ..benchmark.plot import plot as plot_detectors

        (plot_classifiers if table == "classifiers" else plot_detectors)(result, plot)

"""Confirmation of the project on a GPU, used by `vanillanet-det gpu-check`."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Optional

from mmengine.registry import DefaultScope

from ..benchmark.machine import describe_machine
from ..benchmark.report import text_report
from ..benchmark.results import EAGER, GRAPH
from ..benchmark.run import detector_candidates, run
from ..benchmark.settings import BenchmarkSettings
from ..engine.config import read_config
from ..engine.options import parse_device
from ..errors import UserError
from ..fileio import atomic_write
from ..gpu_checks.checks import all_checks
from ..gpu_checks.outcome import FAILED, run_checks
from ..gpu_checks.report import json_report, text
from .benchmark import check_outputs

DETECTOR = "retinanet_vanillanet5_digits"
NETWORKS = (
    "retinanet_vanillanet11_coco",
    "retinanet_resnet50_coco",
    "retinanet_swin_tiny_coco",
    "retinanet_convnextv2_nano_coco",
)
PRECISIONS = ("fp32", "bf16", "fp16")


def gpu_check(
    device: str = "cuda",
    benchmark: Optional[Sequence[str]] = None,
    seconds: float = 75.0,
    out: Optional[str] = None,
) -> tuple[str, bool]:
    """Compare what is computed on a GPU with the CPU, and measure the speed of detectors.

    Args:
        device: `cuda` or `cuda:1`; with `cpu`, what doesn't need a GPU is checked.
        benchmark: Configs to measure in each precision, with and without CUDA graphs; None for
            four RetinaNets on a GPU, and none on the CPU.
        seconds: Seconds to measure, in at least 5 rounds.
        out: A `.json` file for all figures.

    Returns:
        The text to print, and whether no check failed.

    Raises:
        UserError: The device, a config or the file can't be used.
    """
    check_outputs(out, endings=(".json",))
    if not seconds > 0:
        raise UserError(f"--seconds {seconds:g}: expected a number above 0")
    where = parse_device(device)
    on_gpu = where.type == "cuda"
    if benchmark is None:
        benchmark = NETWORKS if on_gpu else ()
    configs = [(Path(name).stem, read_config(name), None) for name in benchmark]
    settings = BenchmarkSettings(
        forms=("deploy",),
        precisions=PRECISIONS if on_gpu else ("fp32",),
        modes=(EAGER, GRAPH) if on_gpu else (EAGER,),
        device=where,
        budget=seconds,
    )
    with DefaultScope.overwrite_default_scope("mmdet"):
        outcomes = run_checks(all_checks(read_config(DETECTOR)), where, _show)
        result = run(partial(detector_candidates, configs), settings) if configs else None
    machine = describe_machine(where, []) if result is None else result.machine
    if out is not None:
        try:
            with atomic_write(out) as file:
                file.write(json_report(machine, outcomes, result).encode())
        except OSError as error:
            raise UserError(f"--out {out}: can't be written ({error.strerror})") from error
    blocks = [text(machine, outcomes), *([text_report(result)] if result else [])]
    return "\n\n".join(blocks), all(outcome.status != FAILED for outcome in outcomes)


def _show(name: str) -> None:
    sys.stderr.write(f"checking {name}\n")

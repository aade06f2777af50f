"""The paper's ablations (https://arxiv.org/abs/2305.12972, section 4), and GResNet's, in small."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from tqdm import tqdm

from ..errors import UserError
from ..fileio import atomic_write
from .narrow_resnet import STEPS

ACCURACY = "accuracy.json"
_BUDGET = ("--epochs", "12", "--loss", "ce", "--ema", "0", "--workers", "0")
_RESNET = ("--model", "timm:test_resnet")
_ALEXNET = ("--model", "narrow:alexnet")
_RESNET50 = "narrow:resnet50"
_RESNET50_LR = 0.005
_STEP_NAMES = (
    "+ stride on the 3x3",
    "+ stem of three 3x3",
    "+ average pooling in shortcuts",
    "+ no max pooling",
    "+ SiLU",
    "+ split normalisation",
)


@dataclass(frozen=True)
class Variant:
    """A network of the ablations.

    Attributes:
        group: What is compared.
        name: What it is called in the table.
        options: Options of `pretrain`.
        published: Top-1 accuracy of VanillaNet-6 or the named network on ImageNet, in percent.
        lr: Learning rate, the best of a few on this network without the paper's ideas (of
            VanillaNet, on the baseline).
    """

    group: str
    name: str
    options: tuple[str, ...] = ()
    published: str = ""
    lr: float = 0.02

    @property
    def folder(self) -> str:
        """Name of its work dirs; equal for equal options."""
        words = [word.strip("-").replace(":", "_") for word in self.options]
        return "_".join(words) or "vanillanet6"


VARIANTS = (
    *(
        Variant("series activation", f"n = {n}", () if n == 3 else ("--act-num", str(n)), top1)
        for n, top1 in enumerate(("60.53", "74.53", "", "76.36", ""))
    ),
    Variant("series activation", "n = 3, Tanh", ("--act-base", "tanh")),
    Variant("series activation", "3 shifts, no neighbours", ("--no-act-neighbours",)),
    Variant("deep training", "none", ("--deep", "none"), "75.23"),
    Variant("deep training", "linear", (), "76.36"),
    Variant("deep training", "cosine", ("--deep", "cosine")),
    Variant("shortcuts", "without", (), "76.36"),
    Variant("shortcuts", "with", ("--shortcuts",), "not better"),
    Variant("other networks", "AlexNet", _ALEXNET, "57.52", 0.003),
    Variant("other networks", "AlexNet, both ideas", (*_ALEXNET, "--vanilla"), "about 63.5", 0.003),
    Variant("other networks", "ResNet", _RESNET, "", 0.01),
    Variant("other networks", "ResNet, both ideas", (*_RESNET, "--vanilla"), "a small gain", 0.01),
    Variant("ResNet-50 to GResNet", "ResNet-50", ("--model", _RESNET50), lr=_RESNET50_LR),
    *(
        Variant("ResNet-50 to GResNet", name, ("--model", f"{_RESNET50}+{step}"), lr=_RESNET50_LR)
        for step, name in zip(STEPS, _STEP_NAMES)
    ),
    Variant(
        "ResNet-50 to GResNet",
        "+ drop path 0.05",
        ("--model", f"{_RESNET50}+{STEPS[-1]}", "--drop-path", "0.05"),
        lr=_RESNET50_LR,
    ),
)


@dataclass(frozen=True)
class Run:
    """A training of a variant with a seed.

    Attributes:
        options: Options of `pretrain`.
        where: Its work dir.
    """

    options: tuple[str, ...]
    where: Path

    @property
    def accuracy(self) -> Optional[float]:
        """Top-1 accuracy in percent; None before it is trained."""
        path = self.where / ACCURACY
        return 100 * json.loads(path.read_text())["network"]["top1"] if path.is_file() else None

    def train(self, threads: int) -> None:
        """Train it in a process of its own, or go on where an earlier one stopped.

        Raises:
            UserError: The process failed.
        """
        begun = (self.where / "config" / "pretrain.py").is_file()
        words = ["--work-dir", str(self.where), *(["--resume"] if begun else self.options)]
        self.where.mkdir(parents=True, exist_ok=True)
        with open(self.where / "console.log", "ab") as log:
            done = subprocess.run(  # noqa: S603, with options of our own and of the user
                [sys.executable, "-m", "vanillanet_det_tools", "pretrain", *words],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": str(threads)},
                check=False,
            )
        if done.returncode:
            raise UserError(f"{log.name}: the run ended with status {done.returncode}; see there")


def runs_of(variant: Variant, out: Path, seeds: int, options: Sequence[str]) -> list[Run]:
    """Return the runs of a variant, one for each seed."""
    every = (*_BUDGET, "--lr", str(variant.lr), *variant.options, *options)
    return [
        Run((*every, "--seed", str(seed)), out / f"{variant.folder}_seed{seed}")
        for seed in range(seeds)
    ]


def check_options(out: Path, options: Sequence[str]) -> None:
    """Refuse options that the ablation sets itself, and others than those of an earlier call.

    Raises:
        UserError: The options can't be used.
    """
    flags = {option.partition("=")[0] for option in options}
    taken = flags & {word for v in VARIANTS for word in v.options if word.startswith("--")}
    taken |= flags & {"--seed", "--work-dir", "--resume", "--dry-run", "--evaluate"}
    if taken:
        raise UserError(f"{', '.join(sorted(taken))}: is set for each run; omit it")
    path = out / "options.json"
    if path.is_file() and json.loads(path.read_text()) != list(options):
        raise UserError(
            f"--out {out}: has runs with other options, {' '.join(json.loads(path.read_text()))}; "
            "choose another folder"
        )
    with atomic_write(path) as file:
        file.write(json.dumps(list(options)).encode())


def train_all(out: Path, seeds: int, jobs: int, options: Sequence[str]) -> None:
    """Train all variants that aren't trained, several at a time."""
    runs = {run.where: run for v in VARIANTS for run in runs_of(v, out, seeds, options)}
    left = [run for run in runs.values() if run.accuracy is None]
    threads = max(1, (os.cpu_count() or 1) // jobs)
    bar = tqdm(total=len(runs), initial=len(runs) - len(left), unit="run", disable=None)
    with bar, ThreadPoolExecutor(jobs) as pool:
        for _ in pool.map(lambda run: run.train(threads), left):
            bar.update()


def write_report(out: Path, seeds: int, options: Sequence[str]) -> str:
    """Write the table and the plot of the runs; return the table."""
    from tabulate import tabulate

    rows = []
    for variant in VARIANTS:
        found = [run.accuracy for run in runs_of(variant, out, seeds, options)]
        values = [value for value in found if value is not None]
        if values:
            deviation = statistics.stdev(values) if len(values) > 1 else None
            rows.append((variant, statistics.mean(values), deviation))
    table = tabulate(
        [[v.group, v.name, _mean(mean, sd), v.published] for v, mean, sd in rows],
        ["ablation", "variant", "top-1 here", "published, ImageNet"],
        tablefmt="github",
    )
    with atomic_write(out / "ablation.md") as file:
        file.write(f"{table}\n".encode())
    _draw(rows, out / "ablation.png")
    return table


def _mean(mean: float, deviation: Optional[float]) -> str:
    return f"{mean:.1f}" if deviation is None else f"{mean:.1f} ± {deviation:.1f}"


def _draw(rows: Sequence[tuple[Variant, float, Optional[float]]], path: Path) -> None:
    from matplotlib.figure import Figure

    groups = list(dict.fromkeys(variant.group for variant, *_ in rows))
    figure = Figure((3.2 * len(groups), 3.6), dpi=110, layout="constrained")
    for axes, group in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups):
        names, means, deviations = zip(*((v.name, m, d) for v, m, d in rows if v.group == group))
        errors = None if None in deviations else deviations
        axes.bar(range(len(names)), means, yerr=errors, capsize=4, color="#4878a8")
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
        axes.set(title=group, ylabel="top-1, %" if group == groups[0] else "", ylim=(0, 100))
    with atomic_write(path) as file:
        figure.savefig(file, format="png")

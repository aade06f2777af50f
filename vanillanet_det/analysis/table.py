"""Counting of the published models, and tables in Markdown."""

from collections.abc import Sequence
from typing import Any

from mmengine.config import Config
from tabulate import tabulate

from ..installation import configs_folder
from .forms import Form, count_form
from .meta import build_on_meta
from .published import CLASSIFIER_SIZE, CLASSIFIERS, DETECTOR_SIZE, DETECTORS, Published


def classifier_rows() -> list[dict[str, Any]]:
    """Count the fused classifiers.

    Returns:
        A row for each published arch: name, `parameters`, `flops`, `series_activation_flops`,
        and the published figures in millions and billions.
    """
    rows = []
    for arch, published in CLASSIFIERS.items():
        model = build_on_meta(dict(type="VanillaNetClassifier", arch=arch, deploy=True))
        rows.append(dict(arch=arch, **_figures(count_form(model, CLASSIFIER_SIZE), published)))
    return rows


def detector_rows() -> list[dict[str, Any]]:
    """Count the published detectors.

    Returns:
        A row for each detector, as in `classifier_rows`, plus `training_parameters`.
    """
    rows = []
    for name, published in DETECTORS.items():
        cfg = Config.fromfile(configs_folder() / f"{name}.py").model
        training_form = build_on_meta(cfg)
        cfg.backbone.deploy = True
        rows.append(
            dict(
                config=name,
                detector=cfg.type,
                arch=cfg.backbone.arch,
                **_figures(count_form(build_on_meta(cfg), DETECTOR_SIZE), published),
                training_parameters=sum(p.numel() for p in training_form.parameters()),
            )
        )
    return rows


def _figures(form: Form, published: Published) -> dict[str, Any]:
    return dict(
        parameters=form.total.parameters,
        flops=form.total.flops,
        series_activation_flops=form.series_activation.flops,
        published_parameters_m=published.parameters,
        published_flops_g=published.flops,
    )


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table in GitHub's Markdown, aligned to be readable as plain text.

    Args:
        header: Names of the columns.
        rows: Cells, as many in each row as in the header.

    Returns:
        The table; all columns but the first are right-aligned.
    """
    numbers = ["right"] * (len(header) - 1)
    return tabulate(
        rows, header, tablefmt="pipe", colalign=("left", *numbers), disable_numparse=True
    )

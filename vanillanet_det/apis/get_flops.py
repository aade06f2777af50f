"""Parameters, FLOPs and activations of a model, used by `vanillanet-det get-flops`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Optional

from mmengine.registry import DefaultScope

from ..analysis.forms import Form, Forms, count_forms
from ..analysis.published import DETECTOR_SIZE
from ..analysis.table import classifier_rows, detector_rows, markdown
from ..engine.config import config_errors, read_config
from ..engine.options import parse_size
from ..errors import UserError
from ..fileio import without_folders

_MEANING = (
    "FLOPs are multiply-accumulates of convolutions and matrix products; activations are the sizes "
    "of their\noutputs, for one image in evaluation mode. Normalisation, activation functions, "
    "pooling and\ninterpolation are not counted. The second stage of a detector processes 1,000 "
    "boxes, mask heads 100.\nKernels are what a GPU launches, at least: one for each operator that "
    "computes, and one for the\nbias of a convolution. Decoding and NMS are not included."
)


def get_flops(
    config: Optional[str] = None,
    input_size: Optional[str] = None,
    table: bool = False,
    as_json: bool = False,
    cfg_options: Sequence[str] = (),
) -> str:
    """Count the parameters, FLOPs and activations of a model, or of all published models.

    Args:
        config: The config file; must be None with `table`.
        input_size: Size of the image, `320` or `480x640` (height x width); None for 800x1280.
        table: Recount the published tables instead.
        as_json: Return JSON with exact integers instead of Markdown.
        cfg_options: `key=value` pairs that override the config.

    Returns:
        The text to print.

    Raises:
        UserError: The config, an option or the size can't be used.
    """
    if table:
        if config is not None or input_size is not None or cfg_options:
            raise UserError(
                "--table counts the published models at the published sizes; omit the config, "
                "--input-size and --cfg-options"
            )
        with DefaultScope.overwrite_default_scope("mmdet"):
            rows = dict(classifiers=classifier_rows(), detectors=detector_rows())
        return json.dumps(rows, indent=2) if as_json else _tables(**rows)
    if config is None:
        raise UserError("expected a config file, or --table for the published models")
    size = DETECTOR_SIZE if input_size is None else parse_size(input_size, "input-size", least=1)
    cfg = read_config(config, cfg_options)
    if not cfg.get("model"):
        raise UserError(f"config {config}: has no model")
    scope = cfg.get("default_scope") or "mmdet"
    try:
        with DefaultScope.overwrite_default_scope(scope), config_errors(cfg):
            counted = count_forms(cfg.model, size)
    except UserError:
        raise
    except Exception as error:  # constructors may raise almost any exception
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"config {config}: the model can't be built ({type(error).__name__}: {reason})"
        ) from error
    return _json(config, size, counted) if as_json else _text(config, size, counted)


def _json(config: str, size: tuple[int, int], counted: Forms) -> str:
    content = dict(
        config=without_folders(str(config)),
        input_size=size,
        flops_are="multiply-accumulates",
        **asdict(counted),
    )
    return json.dumps(content, indent=2)


def _text(config: str, size: tuple[int, int], counted: Forms) -> str:
    blocks = [f"{config}, images of {size[0]} x {size[1]} (height x width)"]
    for name, form in counted.forms.items():
        title = "model" if name == "model" else f"{name} form"
        blocks.append(
            markdown([title, "parameters M", "FLOPs G", "activations M", "kernels"], _lines(form))
        )
    blocks.append(_MEANING)
    uncounted = sorted({what for form in counted.forms.values() for what in form.uncounted})
    if uncounted:
        blocks.append(f"Not included in these figures: {', '.join(uncounted)}.")
    if counted.device == "cpu":
        blocks.append(
            "Counted by running the model on the CPU, because it reads the values of its tensors."
        )
    return "\n\n".join(blocks)


def _lines(form: Form) -> list[list[str]]:
    costs = {**form.parts, "total": form.total}
    if form.series_activation is not None:
        costs["of which series activation"] = form.series_activation
    return [
        [
            name,
            _mega(cost.parameters),
            _giga(cost.flops),
            _mega(cost.activations),
            str(cost.kernels),
        ]
        for name, cost in costs.items()
    ]


def _tables(classifiers: list[dict[str, Any]], detectors: list[dict[str, Any]]) -> str:
    columns = ["parameters M", "published", "FLOPs G", "published", "of which series"]
    header = ["classifier, 224 x 224, fused", *columns]
    blocks = [
        markdown(header, [[f"VanillaNet {row['arch']}", *_cells(row)] for row in classifiers])
    ]
    header = ["detector, 800 x 1280, fused", *columns, "training form, parameters M"]
    lines = [
        [
            f"{row['detector']}, VanillaNet {row['arch']}",
            *_cells(row),
            _mega(row["training_parameters"]),
        ]
        for row in detectors
    ]
    blocks.append(markdown(header, lines))
    return "\n\n".join([*blocks, _MEANING])


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        _mega(row["parameters"]),
        str(row["published_parameters_m"]),
        _giga(row["flops"]),
        str(row["published_flops_g"]),
        _giga(row["series_activation_flops"]),
    ]


def _mega(number: int) -> str:
    return f"{number / 1e6:.2f}"


def _giga(number: int) -> str:
    return f"{number / 1e9:.2f}"

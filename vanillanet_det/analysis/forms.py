"""Costs of a model in its training form and fused."""

from dataclasses import dataclass
from typing import Optional

from mmdet.registry import MODELS
from torch import nn

from ..errors import UserError
from ..models.deploy import switch_to_deploy
from ..models.layers import SeriesActivation
from .complexity import Complexity, Cost, count_complexity
from .meta import build_on_meta
from .published import DETECTOR_SIZE


@dataclass(frozen=True)
class Form:
    """Costs of one form of a model.

    Attributes:
        total: Cost of the whole model.
        parts: Cost of each part, such as backbone, neck and heads.
        series_activation: Cost of the series activations; None for a model without them.
        uncounted: Operators that the figures don't include.
    """

    total: Cost
    parts: dict[str, Cost]
    series_activation: Optional[Cost]
    uncounted: tuple[str, ...]


@dataclass(frozen=True)
class Forms:
    """Costs of all forms of a model.

    Attributes:
        forms: `training` and `fused`, or only `model` if there is nothing to fuse.
        device: `meta`, or `cpu` for a model that reads tensor values.
    """

    forms: dict[str, Form]
    device: str


def count_forms(model_cfg: dict, input_size: tuple[int, int]) -> Forms:
    """Build a model, and count its cost in the training form and fused.

    Nothing is computed, unless the model reads tensor values: tensors have shapes but no data.

    Args:
        model_cfg: The model's config.
        input_size: Height and width of the image.

    Returns:
        The costs.

    Raises:
        UserError: The network can't process images of this size, or can't run at all.
        Exception: Whatever the registry or a constructor raises.
    """
    model = build_on_meta(model_cfg)
    try:
        return Forms(_count(model, input_size), "meta")
    except UserError:
        raise
    except Exception as error:  # caused by the size, by tensors without data, or by the model
        if input_size != DETECTOR_SIZE and _can_run(model, DETECTOR_SIZE):
            size, default = ("x".join(map(str, sides)) for sides in (input_size, DETECTOR_SIZE))
            raise UserError(
                f"--input-size {size}: the model can't process this size, unlike {default} "
                f"({_first_line(error)}); use another size"
            ) from error
    model = MODELS.build(model_cfg)
    try:
        return Forms(_count(model, input_size), "cpu")
    except UserError:
        raise
    except Exception as error:
        height, width = input_size
        raise UserError(
            f"the model can't run on an image of {height} x {width}: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def _can_run(model: nn.Module, input_size: tuple[int, int]) -> bool:
    try:
        count_complexity(model, input_size)
    except Exception:
        return False
    return True


def _count(model: nn.Module, input_size: tuple[int, int]) -> dict[str, Form]:
    plain, fused = count_form(model, input_size), switch_to_deploy(model)
    if [name for name, _ in fused.named_parameters()] == [n for n, _ in model.named_parameters()]:
        return {"model": plain}
    return {"training": plain, "fused": count_form(fused, input_size)}


def count_form(model: nn.Module, input_size: tuple[int, int]) -> Form:
    """Count the cost of a model in its current form.

    Args:
        model: The model, on the meta device or a real one.
        input_size: Height and width of the image.

    Returns:
        Its costs.

    Raises:
        Exception: Whatever `count_complexity` raises.
    """
    complexity = count_complexity(model, input_size)
    return Form(
        complexity.total(), complexity.parts, _series(model, complexity), complexity.uncounted
    )


def _series(model: nn.Module, complexity: Complexity) -> Optional[Cost]:
    names = {name for name, module in model.named_modules() if isinstance(module, SeriesActivation)}
    # In the training form, each of them contains a BatchNorm.
    below = {
        name for name in complexity.modules if name in names or name.rpartition(".")[0] in names
    }
    return complexity.total(below.__contains__) if names else None

"""timm's optimizers."""

from typing import Any

from mmdet.registry import OPTIMIZERS
from torch.optim import Optimizer

from ...errors import UserError


@OPTIMIZERS.register_module()
def timm_optimizer(params: Any, name: str, **arguments: Any) -> Optimizer:
    """Build an optimizer of timm.

    Args:
        params: Parameters, or groups of them.
        name: Its name in timm, such as `lamb`.
        **arguments: Its arguments, such as `lr`, `weight_decay` and `eps`.

    Raises:
        UserError: There is no such optimizer, or it lacks an argument.
    """
    from timm.optim import create_optimizer_v2  # slow to import

    groups = params if isinstance(params, list) else list(params)
    try:
        # Whether a parameter decays is decided before.
        return create_optimizer_v2(groups, name, filter_bias_and_bn=False, **arguments)
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"--optimizer {name}: {error}") from error

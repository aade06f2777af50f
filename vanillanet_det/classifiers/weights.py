"""Which tensors of a file a classifier takes."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..checkpoints.checkpoint import model_state_dict
from ..models.backbones.state_dict import describe

HEADS = ("cls1.", "cls2.", "cls.")
"""What names of tensors in a head begin with."""


def filter_checkpoint(content: Mapping[str, Any], model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint that fit a classifier.

    A head of other classes is replaced by the classifier's own, so it starts from random values.

    Args:
        content: A state dict, or a checkpoint with one.
        model: The classifier.
    """
    state, own = model_state_dict(content), model.state_dict()
    heads = [{k: v.shape for k, v in each.items() if k.startswith(HEADS)} for each in (state, own)]
    found = describe(state)
    if heads[0] == heads[1] or found is None or found.form != model.form:
        return state  # the network refuses another form
    rest = {key: value for key, value in state.items() if key not in heads[0]}
    return {**rest, **{key: own[key] for key in heads[1]}}

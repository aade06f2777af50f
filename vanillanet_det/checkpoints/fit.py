"""Checks whether weights fit a model well enough for their purpose.

Networks that implement `models.protocols.ChecksWeights` check their weights first, because they
give the most specific errors; then every tensor is compared by name and shape.
"""

import warnings
from collections.abc import Mapping
from typing import Literal, Optional

import torch
from torch import Tensor, nn

from ..errors import UserError
from .checkpoint import Checkpoint, below
from .match import LEAST_MATCH, Match

Purpose = Literal["train", "resume", "evaluate", "detect", "benchmark"]


def fit_model(model: nn.Module, checkpoint: Checkpoint, purpose: Purpose) -> Match:
    """Load a checkpoint into a model if it fits well enough.

    Args:
        model: The model; on the meta device, it is only compared.
        checkpoint: The checkpoint of a whole model.
        purpose: `train` needs 90 % of the backbone's tensors; `evaluate` needs every tensor of the
            model; `resume` needs the training state as well; `detect` needs every tensor and
            allows no others; `benchmark` needs at least one tensor.

    Returns:
        The match between the checkpoint and the model.

    Raises:
        UserError: The checkpoint doesn't fit; the message doesn't include its path.
    """
    if not isinstance(checkpoint.content, dict):
        raise UserError(
            f"contains a {type(checkpoint.content).__name__}; expected a checkpoint: a dict of "
            "tensors, or a dict with a state_dict"
        )
    _ask_parts(model, checkpoint)
    if purpose == "resume":
        _check_resumable(checkpoint)
    match = _load(model, checkpoint.state)
    if purpose == "detect" and not (match.is_complete and _only_repeated(match, checkpoint.state)):
        raise UserError(
            f"{match}; expected every tensor of the model and no others. Does the checkpoint "
            "belong to this config?"
        )
    if purpose in ("resume", "evaluate") and not match.is_complete:
        raise UserError(
            f"{report_parts(model, match)}; "
            f"{'resuming' if purpose == 'resume' else 'evaluation'} needs every tensor of the "
            "model; missing tensors would be random. Does the checkpoint belong to this config?"
        )
    if purpose == "benchmark" and not match.matched:
        raise UserError(f"none of its {len(checkpoint.state)} tensors belongs to the detector")
    if purpose == "train" and not match.within("backbone").is_enough:
        raise UserError(
            f"{report_parts(model, match)}; expected at least 90% of the backbone. To load a "
            "checkpoint of a backbone alone, set model.backbone.init_cfg="
            "dict(type='Pretrained', checkpoint=FILE)"
        )
    return match


def fit_part(module: nn.Module, checkpoint: Checkpoint, prefix: Optional[str] = None) -> Match:
    """Compare a checkpoint with the part of a model that loads it, without loading anything.

    Args:
        module: The part, whose `init_cfg` specifies the checkpoint.
        checkpoint: The checkpoint of the part or of a whole model.
        prefix: Prefix of the part's tensors in the checkpoint; None for MMEngine's default.

    Raises:
        UserError: Less than 90 % of the part's tensors match, or the part rejects them.
    """
    if hasattr(module, "adapt_state_dict"):
        state = checkpoint.backbone(prefix or "backbone.")
        state = module.adapt_state_dict(state, checkpoint.arch_name)
        match = Match.of(state, module.state_dict())
    else:
        state = below(checkpoint.state, prefix) if prefix else checkpoint.state
        match = _load(module, state)
    if not match.is_enough:
        raise UserError(
            f"{match}; expected at least {LEAST_MATCH:.0%}. Do the weights belong to this network?"
        )
    return match


def report_parts(model: nn.Module, match: Match) -> str:
    """Summarize a match: overall counts, then counts for each part of the model."""
    parts = dict.fromkeys(name.partition(".")[0] for name in model.state_dict())
    shares = [(part, match.within(part)) for part in parts]
    counts = [f"{part} {len(share.matched)} of {share.total}" for part, share in shares]
    return f"{match}: {', '.join(counts)}"


def _load(module: nn.Module, state: dict) -> Match:
    with warnings.catch_warnings():
        # PyTorch warns that copying to the meta device has no effect.
        warnings.filterwarnings("ignore", message=".*meta.*")
        return Match.by_loading(module, state)


def _only_repeated(match: Match, state: Mapping[str, Tensor]) -> bool:
    """Return whether each tensor left over is one of the model's under a second name.

    MMDetection's DDQ gives its decoder branches of its head in the first forward pass, so a
    trained model saves them twice.
    """
    own = [state[name] for name in match.matched if name in state]
    return all(any(_are_equal(same, state.get(name)) for same in own) for name in match.left_over)


def _are_equal(first: Tensor, second: Optional[Tensor]) -> bool:
    is_like = second is not None and (first.shape, first.dtype) == (second.shape, second.dtype)
    return is_like and torch.equal(first, second)


def _ask_parts(model: nn.Module, checkpoint: Checkpoint) -> None:
    for name, module in model.named_modules():
        if hasattr(module, "check_state_dict"):
            own = below(checkpoint.state, name) if name else checkpoint.state
            if own:
                module.check_state_dict(own)


def _check_resumable(checkpoint: Checkpoint) -> None:
    content = checkpoint.content
    missing = [key for key in ("optimizer", "meta") if not isinstance(content.get(key), dict)]
    if missing:
        raise UserError(
            f"can't be resumed from, because it contains weights but no training state "
            f"({' and '.join(missing)} missing); to start a new training run from it, use "
            f"--cfg-options load_from={checkpoint.path}"
        )

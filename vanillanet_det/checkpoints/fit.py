"""Whether weights fit a model well enough for what is to be done with it: the one judgement.

Networks that implement `models.protocols.ChecksWeights` are asked first, since they know best what
is wrong; then every tensor is compared by name and shape.
"""

import warnings
from typing import Literal, Optional

from torch import nn

from ..errors import UserError
from .checkpoint import Checkpoint, below
from .match import LEAST_MATCH, Match

Purpose = Literal["train", "resume", "evaluate", "detect", "benchmark"]


def fit_model(model: nn.Module, checkpoint: Checkpoint, purpose: Purpose) -> Match:
    """Load a checkpoint into a model if it fits well enough.

    Args:
        model: The model; without data (on the meta device) it is only compared.
        checkpoint: The checkpoint of a whole model.
        purpose: `train` needs 90 % of the backbone, `resume` and `evaluate` every tensor (and
            resuming a training's state), `detect` every tensor and no other, `benchmark` one.

    Returns:
        What matched.

    Raises:
        UserError: It doesn't fit; the message doesn't name the file.
    """
    if not isinstance(checkpoint.content, dict):
        raise UserError(
            f"holds a {type(checkpoint.content).__name__}; expected a checkpoint: a dict of "
            "tensors, or one with state_dict"
        )
    _ask_parts(model, checkpoint)
    if purpose == "resume":
        _check_resumable(checkpoint)
    match = _load(model, checkpoint.state)
    if purpose == "detect" and not (match.is_complete and not match.left_over):
        raise UserError(
            f"{match}; expected every tensor of the model and no other. Is the checkpoint of this "
            "config?"
        )
    if purpose in ("resume", "evaluate") and not match.is_complete:
        raise UserError(
            f"{report_parts(model, match)}; "
            f"{'resuming' if purpose == 'resume' else 'evaluation'} needs every tensor of the "
            "model, and would go on with random ones. Is the checkpoint of this config?"
        )
    if purpose == "benchmark" and not match.matched:
        raise UserError(f"none of its {len(checkpoint.state)} tensors is of the detector")
    if purpose == "train" and not match.within("backbone").is_enough:
        raise UserError(
            f"{report_parts(model, match)}; expected at least 90% of the backbone. A checkpoint of "
            "a backbone alone belongs into model.backbone.init_cfg="
            "dict(type='Pretrained', checkpoint=FILE)"
        )
    return match


def fit_part(module: nn.Module, checkpoint: Checkpoint, prefix: Optional[str] = None) -> Match:
    """Compare a checkpoint with the part of a model whose `init_cfg` names it; nothing is loaded.

    Args:
        module: The part.
        checkpoint: The checkpoint, of the part or of a whole model.
        prefix: Prefix of the part's tensors in it; None for MMEngine's default.

    Raises:
        UserError: Less than 90 % of the part's tensors match, or the part refuses.
    """
    if hasattr(module, "adapt_state_dict"):
        state = checkpoint.backbone(prefix or "backbone.")
        state = module.adapt_state_dict(state, checkpoint.arch_name)
        match = Match.of(state, module.state_dict())
    else:
        state = below(checkpoint.state, prefix) if prefix else checkpoint.state
        match = _load(module, state)
    if not match.is_enough:
        raise UserError(f"{match}; expected at least {LEAST_MATCH:.0%}. Is it of this network?")
    return match


def report_parts(model: nn.Module, match: Match) -> str:
    """Return the counts of a match, then those of each part of the model."""
    parts = dict.fromkeys(name.partition(".")[0] for name in model.state_dict())
    shares = [(part, match.within(part)) for part in parts]
    counts = [f"{part} {len(share.matched)} of {share.total}" for part, share in shares]
    return f"{match}: {', '.join(counts)}"


def _load(module: nn.Module, state: dict) -> Match:
    with warnings.catch_warnings():
        # A module on the meta device has nothing to copy into.
        warnings.filterwarnings("ignore", message=".*meta.*")
        return Match.by_loading(module, state)


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
            f"can't be resumed from, since it holds weights and no training state "
            f"({' and '.join(missing)} missing); start a training from it with "
            f"--cfg-options load_from={checkpoint.path}"
        )

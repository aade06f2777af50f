"""What of a checkpoint fits a model, said and judged."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.logging import print_log
from torch import Tensor, nn

from ..errors import UserError
from .reading import PathLike, read_checkpoint

# Published files nest their weights below one of these, the averaged ones first.
_WRAPPERS = ("model_ema", "state_dict", "model")
_BACKBONE = "backbone."
# Files may lack these: lambda is 1 where it isn't named, and batches need no count.
_OPTIONAL = ("act_lambda", "num_batches_tracked")
LEAST_MATCH = 0.9


@dataclass(frozen=True)
class Match:
    """Names of tensors of a checkpoint against those of a model.

    Attributes:
        matched: In both, with equal shapes.
        missing: In the model only.
        left_over: In the checkpoint only.
        misshapen: In both, with different shapes.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    left_over: tuple[str, ...]
    misshapen: tuple[str, ...]

    @classmethod
    def of(cls, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> "Match":
        """Compare tensors found in a checkpoint with those that a model expects."""
        wanted = [key for key in expected if key in found or not key.endswith(_OPTIONAL)]
        fits = {key: found[key].shape == expected[key].shape for key in wanted if key in found}
        return cls(
            matched=tuple(key for key, fit in fits.items() if fit),
            missing=tuple(key for key in wanted if key not in found),
            left_over=tuple(key for key in found if key not in expected),
            misshapen=tuple(key for key, fit in fits.items() if not fit),
        )

    @property
    def total(self) -> int:
        """Number of tensors that the model wants."""
        return len(self.matched) + len(self.missing) + len(self.misshapen)

    @property
    def is_complete(self) -> bool:
        """Whether every tensor of the model is in the checkpoint."""
        return not self.missing and not self.misshapen

    @property
    def is_enough(self) -> bool:
        """Whether at least 90 % of the model's tensors are in the checkpoint."""
        return len(self.matched) >= LEAST_MATCH * self.total

    def below(self, prefix: str) -> "Match":
        """Take the part whose names begin with a prefix."""
        parts = vars(self).items()
        return Match(**{k: tuple(n for n in names if n.startswith(prefix)) for k, names in parts})

    def __str__(self) -> str:
        """Report the counts, and the first names of what doesn't match."""
        shapes = (
            f", {len(self.misshapen)} of another shape{some(self.misshapen)}"
            if self.misshapen
            else ""
        )
        return (
            f"{len(self.matched)} of {self.total} tensors match, "
            f"{len(self.missing)} missing{some(self.missing)}, "
            f"{len(self.left_over)} left over{some(self.left_over)}{shapes}"
        )


def some(names: Iterable[str]) -> str:
    """List the first few names in brackets."""
    names = list(names)
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""


def model_state_dict(checkpoint: Any) -> dict[str, Tensor]:
    """Take a model's tensors out of a checkpoint, whatever they are wrapped in.

    Args:
        checkpoint: A bare state dict, or one below `model_ema`, `state_dict` or `model`.

    Returns:
        Tensors by name, without a leading `module.`.
    """
    for key in _WRAPPERS:
        if isinstance(checkpoint, dict) and isinstance(checkpoint.get(key), dict):
            checkpoint = checkpoint[key]
            break
    items = checkpoint.items() if isinstance(checkpoint, dict) else ()
    return {
        re.sub(r"^(module\.)+", "", str(key)): value
        for key, value in items
        if isinstance(value, Tensor)
    }


def backbone_state_dict(checkpoint: Any) -> dict[str, Tensor]:
    """Take a backbone's tensors out of a checkpoint, whatever they are wrapped in.

    Args:
        checkpoint: As for `model_state_dict`, of a backbone or of a whole detector.

    Returns:
        Tensors by their names in the backbone. Of a detector, only the backbone's.
    """
    tensors = model_state_dict(checkpoint)
    own = {k[len(_BACKBONE) :]: v for k, v in tensors.items() if k.startswith(_BACKBONE)}
    return own or tensors


def load_backbone(backbone: nn.Module, path: PathLike) -> None:
    """Load a backbone from a checkpoint, and say what matched.

    Args:
        backbone: The network, which refuses weights that don't fit it.
        path: The checkpoint, a file or a URL.

    Raises:
        UserError: The file can't be read, or the backbone refuses it; nothing is loaded then.
    """
    checkpoint = read_checkpoint(path)
    found = backbone_state_dict(checkpoint)
    args = checkpoint.get("args") if isinstance(checkpoint, dict) else None
    try:
        backbone.check_state_dict(found, str(getattr(args, "model", "")))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    match = Match.of(found, backbone.state_dict())
    backbone.load_state_dict({k: v for k, v in found.items() if k in match.matched}, strict=False)
    print_log(f"{path}: of the backbone, {match}", logger="current")

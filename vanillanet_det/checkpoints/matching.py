"""What of a checkpoint fits a model, said and judged."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from ..errors import UserError
from .reading import PathLike, read_checkpoint

# Files nest their weights below one of these: MMEngine's, then published ones, averaged first.
_WRAPPERS = ("state_dict", "model_ema", "model")
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

    @classmethod
    def by_loading(cls, model: nn.Module, state: Mapping[str, Tensor]) -> "Match":
        """Load what fits into a model, which may rename tensors while it loads, and compare.

        Raises:
            UserError: The model refuses a tensor.
        """
        expected = model.state_dict()
        misshapen = [k for k in state if k in expected and state[k].shape != expected[k].shape]
        rest = {key: value for key, value in state.items() if key not in misshapen}
        try:
            result = model.load_state_dict(rest, strict=False)
        except RuntimeError as error:
            raise UserError(" ".join(str(error).split())) from error
        absent = set(result.missing_keys)
        missing = [k for k in expected if k in absent and not k.endswith(_OPTIONAL)]
        # What files may lack is filled in without a word.
        filled = {key for key in expected if key.endswith(_OPTIONAL) and key not in state}
        lacking = absent.union(misshapen, filled)
        return cls(
            matched=tuple(key for key in expected if key not in lacking),
            missing=tuple(key for key in missing if key not in misshapen),
            left_over=tuple(result.unexpected_keys),
            misshapen=tuple(misshapen),
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

    def within(self, part: str) -> "Match":
        """Take the tensors of one part, such as `backbone`, wherever in the model it is."""
        return Match(
            **{
                key: tuple(name for name in names if part in name.split(".")[:-1])
                for key, names in vars(self).items()
            }
        )

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


def refuse_little(said: str, match: Match) -> None:
    """Refuse a detector to start from that has too little of the backbone.

    Args:
        said: The file, and what of it matches.
        match: What of it matches.

    Raises:
        UserError: Less than 90 % of the backbone's tensors match.
    """
    if not match.within("backbone").is_enough:
        raise UserError(
            f"{said}; expected at least 90% of the backbone. A checkpoint of a backbone "
            "alone belongs into model.backbone.init_cfg="
            "dict(type='Pretrained', checkpoint=FILE)"
        )


def some(names: Iterable[str]) -> str:
    """List the first few names in brackets."""
    names = list(names)
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""


def _unwrap(checkpoint: Any) -> Any:
    for key in _WRAPPERS:
        if isinstance(checkpoint, dict) and isinstance(checkpoint.get(key), dict):
            return checkpoint[key]
    return checkpoint


def model_state_dict(checkpoint: Any) -> dict[str, Tensor]:
    """Take a model's tensors out of a checkpoint, whatever they are wrapped in.

    Args:
        checkpoint: A bare state dict, or one below `state_dict`, `model_ema` or `model`.

    Returns:
        Tensors by name, without a leading `module.`.
    """
    inner = _unwrap(checkpoint)
    return {
        re.sub(r"^(module\.)+", "", str(key)): value
        for key, value in (inner.items() if isinstance(inner, dict) else ())
        if isinstance(value, Tensor)
    }


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Take the tensors of one part of a model, by their names in it.

    Args:
        tensors: Tensors by name.
        prefix: Name of the part; with or without a dot at its end, as for MMEngine.
    """
    start = prefix.rstrip(".") + "."
    return {k[len(start) :]: value for k, value in tensors.items() if k.startswith(start)}


def backbone_state_dict(checkpoint: Any, prefix: str = "backbone.") -> dict[str, Tensor]:
    """Take a backbone's tensors out of a checkpoint, whatever they are wrapped in.

    Args:
        checkpoint: As for `model_state_dict`, of a backbone or of a whole detector.
        prefix: What the names of a detector's backbone begin with.

    Returns:
        Tensors by their names in the backbone. Of a detector, only the backbone's.
    """
    tensors = model_state_dict(checkpoint)
    return below(tensors, prefix) or tensors


def arch_in(checkpoint: Any) -> str:
    """Read the arch that a file says it is of, in training arguments or our own meta; or ''."""
    if not isinstance(checkpoint, dict):
        return ""
    meta = checkpoint.get("meta")
    name = getattr(checkpoint.get("args"), "model", None)
    name = name or (meta.get("arch") if isinstance(meta, dict) else None)
    return str(name or "").replace("vanillanet_", "", 1)


@CheckpointLoader.register_scheme(prefixes=("", "http://", "https://"), force=True)
def load_from_safe(filename: str, map_location: Any = None) -> Any:
    """Take the place of MMEngine's functions for files and URLs.

    Those read with torch.load's default, which before torch 2.6 runs a file's code and since
    then refuses MMEngine's own checkpoints; and MMEngine loads nothing from a file that nests
    its tensors elsewhere than below `state_dict`. Its log shows what stands behind `load_from_`.
    """
    checkpoint = read_checkpoint(filename, map_location)
    inner = _unwrap(checkpoint)
    if isinstance(inner, dict):
        in_place = inner is checkpoint or inner is checkpoint.get("state_dict")
        if not in_place or any(str(key).startswith("module.") for key in inner):
            checkpoint["state_dict"] = model_state_dict(checkpoint)
    return checkpoint


def load_backbone(backbone: nn.Module, path: PathLike, prefix: str = "backbone.") -> None:
    """Load a backbone from a checkpoint, and say what matched.

    Args:
        backbone: The network, which refuses weights that don't fit it.
        path: The checkpoint, a file or a URL.
        prefix: What the names of a detector's backbone begin with in it.

    Raises:
        UserError: The file can't be read, or the backbone refuses it; nothing is loaded then.
    """
    checkpoint = read_checkpoint(path)
    found = backbone_state_dict(checkpoint, prefix)
    try:
        found = backbone.adapt_state_dict(found, arch_in(checkpoint))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    match = Match.of(found, backbone.state_dict())
    backbone.load_state_dict({k: v for k, v in found.items() if k in match.matched}, strict=False)
    print_log(f"{path}: of the backbone, {match}", logger="current")

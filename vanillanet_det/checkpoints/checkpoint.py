"""A checkpoint as one object: its tensors, its meta, and the arch that it names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from .reading import PathLike, read_checkpoint

# Files nest their weights below one of these: MMEngine's, then published ones, averaged first.
_WRAPPERS = ("state_dict", "model_ema", "model")


@dataclass(frozen=True)
class Checkpoint:
    """A file that was read once.

    Attributes:
        path: The file or URL, as errors name it.
        content: What the file holds.
    """

    path: str
    content: Any

    @classmethod
    def read(cls, path: PathLike) -> "Checkpoint":
        """Read a file; see `read_checkpoint`.

        Raises:
            UserError: It can't be read.
        """
        return cls(str(path), read_checkpoint(path))

    @cached_property
    def state(self) -> dict[str, Tensor]:
        """The model's tensors by name, as `model_state_dict` returns them."""
        return model_state_dict(self.content)

    @cached_property
    def meta(self) -> dict:
        """The file's description of itself; {} if it has none."""
        meta = self.content.get("meta") if isinstance(self.content, dict) else None
        return meta if isinstance(meta, dict) else {}

    @property
    def arch_name(self) -> str:
        """The arch that training arguments or our own meta name; '' if neither does."""
        args = self.content.get("args") if isinstance(self.content, dict) else None
        name = getattr(args, "model", None) or self.meta.get("arch")
        return str(name or "").replace("vanillanet_", "", 1)

    def backbone(self, prefix: str = "backbone.") -> dict[str, Tensor]:
        """Return the backbone's tensors, as `backbone_state_dict` does."""
        return backbone_state_dict(self.content, prefix)


def unwrap(content: Any) -> Any:
    """Return what the wrappers of the field hold: a file's weights, or the content itself."""
    for key in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            return content[key]
    return content


def model_state_dict(content: Any) -> dict[str, Tensor]:
    """Extract a model's tensors from a checkpoint, whatever wraps them.

    Args:
        content: A bare state dict, or one below `state_dict`, `model_ema` or `model`.

    Returns:
        Tensors by name, without a leading `module.`.
    """
    inner = unwrap(content)
    return {
        re.sub(r"^(module\.)+", "", str(key)): value
        for key, value in (inner.items() if isinstance(inner, dict) else ())
        if isinstance(value, Tensor)
    }


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Select the tensors of one part of a model, by their names in it.

    Args:
        tensors: Tensors by name.
        prefix: Name of the part; with or without a dot at its end, as for MMEngine.
    """
    start = prefix.rstrip(".") + "."
    return {k[len(start) :]: value for k, value in tensors.items() if k.startswith(start)}


def backbone_state_dict(content: Any, prefix: str = "backbone.") -> dict[str, Tensor]:
    """Extract a backbone's tensors from a checkpoint, whatever wraps them.

    Args:
        content: As for `model_state_dict`, of a backbone or of a whole detector.
        prefix: Prefix of a detector's backbone.

    Returns:
        Tensors by their names in the backbone. Of a detector, only the backbone's.
    """
    tensors = model_state_dict(content)
    return below(tensors, prefix) or tensors

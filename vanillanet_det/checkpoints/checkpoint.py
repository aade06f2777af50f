"""A checkpoint as one object: its tensors, its meta, and its arch."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from ..errors import prefix_errors
from .match import Match
from .reading import PathLike, read_checkpoint

# Keys that contain the weights: MMEngine's, then those of published files, averaged weights first.
_WRAPPERS = ("state_dict", "model_ema", "model")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file that has been read.

    Attributes:
        path: The file or URL, as shown in errors.
        content: The content of the file.
    """

    path: str
    content: Any

    @classmethod
    def read(cls, path: PathLike) -> "Checkpoint":
        """Read a checkpoint file with `read_checkpoint`.

        Raises:
            UserError: The file can't be read.
        """
        return cls(str(path), read_checkpoint(path))

    @cached_property
    def state(self) -> dict[str, Tensor]:
        """The model's tensors by name, as `model_state_dict` returns them."""
        return model_state_dict(self.content)

    @cached_property
    def meta(self) -> dict:
        """The checkpoint's `meta`; {} if it has none."""
        meta = self.content.get("meta") if isinstance(self.content, dict) else None
        return meta if isinstance(meta, dict) else {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, which MMDetection 3 and 2 store in the meta; () if there are none."""
        return class_names(self.meta.get("dataset_meta")) or class_names(self.meta)

    @property
    def arch_name(self) -> str:
        """The arch in the training arguments or in our own meta; '' if neither contains it."""
        args = self.content.get("args") if isinstance(self.content, dict) else None
        name = getattr(args, "model", None) or self.meta.get("arch")
        return str(name or "").replace("vanillanet_", "", 1)

    def backbone(self, prefix: str = "backbone.") -> dict[str, Tensor]:
        """Return the backbone's tensors, as `backbone_state_dict` does."""
        return backbone_state_dict(self.content, prefix)

    def load_backbone(self, backbone: nn.Module, prefix: str = "backbone.") -> Match:
        """Load the backbone's tensors into a network.

        Args:
            backbone: The network, which implements `ChecksWeights`.
            prefix: Prefix of the backbone's tensors in a detector's checkpoint.

        Returns:
            Which tensors matched.

        Raises:
            UserError: The backbone rejects the weights. Nothing is then loaded.
        """
        with prefix_errors(self.path):
            found = backbone.adapt_state_dict(self.backbone(prefix), self.arch_name)
        match = Match.of(found, backbone.state_dict())
        matched = {key: value for key, value in found.items() if key in match.matched}
        backbone.load_state_dict(matched, strict=False)
        return match


def class_names(meta: Any) -> tuple[str, ...]:
    """Return the class names in the meta of a dataset, of MMDetection 3 or 2; () if it has none."""
    found = isinstance(meta, dict) and (meta.get("classes") or meta.get("CLASSES"))
    return (found,) if isinstance(found, str) else tuple(map(str, found or ()))


def unwrap(content: Any) -> Any:
    """Return the state dict under a known wrapper key, or the content itself."""
    for key in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            return content[key]
    return content


def model_state_dict(content: Any) -> dict[str, Tensor]:
    """Extract a model's tensors from a checkpoint with or without a wrapper.

    Args:
        content: A bare state dict, or a dict with one under `state_dict`, `model_ema` or `model`.

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
    """Select the tensors of one part of a model, and remove its prefix from their names.

    Args:
        tensors: Tensors by name.
        prefix: Name of the part, with or without a trailing dot, as in MMEngine.
    """
    start = prefix.rstrip(".") + "."
    return {k[len(start) :]: value for k, value in tensors.items() if k.startswith(start)}


def backbone_state_dict(content: Any, prefix: str = "backbone.") -> dict[str, Tensor]:
    """Extract a backbone's tensors from a checkpoint with or without a wrapper.

    Args:
        content: As for `model_state_dict`; a backbone or a whole detector.
        prefix: Prefix of the backbone in a detector.

    Returns:
        Tensors by their names in the backbone; the rest of a detector is left out.
    """
    tensors = model_state_dict(content)
    return below(tensors, prefix) or tensors

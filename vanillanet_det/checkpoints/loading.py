"""Loading as MMEngine does it, on the safe reading of this package."""

from typing import Any

from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch import nn

from ..errors import prefix_errors
from .checkpoint import Checkpoint, model_state_dict, unwrap
from .match import Match
from .reading import PathLike, read_checkpoint


@CheckpointLoader.register_scheme(prefixes=("", "http://", "https://"), force=True)
def load_from_safe(filename: str, map_location: Any = None) -> Any:
    """Replace MMEngine's functions for files and URLs.

    Those read with torch.load's default, which before PyTorch 2.6 runs a file's code and since
    then refuses MMEngine's own checkpoints; and MMEngine loads nothing from a file that nests
    its tensors elsewhere than below `state_dict`. Its log shows this function's name after
    `load_from_`.
    """
    checkpoint = read_checkpoint(filename, map_location)
    inner = unwrap(checkpoint)
    if isinstance(inner, dict):
        in_place = inner is checkpoint or inner is checkpoint.get("state_dict")
        if not in_place or any(str(key).startswith("module.") for key in inner):
            checkpoint["state_dict"] = model_state_dict(checkpoint)
    return checkpoint


def load_backbone(backbone: nn.Module, path: PathLike, prefix: str = "backbone.") -> None:
    """Load a backbone from a checkpoint, and log what matched.

    Args:
        backbone: The network, which implements `ChecksWeights`.
        path: The checkpoint, a file or a URL.
        prefix: Prefix of a detector's backbone in it.

    Raises:
        UserError: The file can't be read, or the backbone refuses it; nothing is loaded then.
    """
    checkpoint = Checkpoint.read(path)
    with prefix_errors(path):
        found = backbone.adapt_state_dict(checkpoint.backbone(prefix), checkpoint.arch_name)
    match = Match.of(found, backbone.state_dict())
    backbone.load_state_dict({k: v for k, v in found.items() if k in match.matched}, strict=False)
    print_log(f"{path}: of the backbone, {match}", logger="current")

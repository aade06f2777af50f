"""Checkpoint loading for MMEngine, with the safe reader of this package."""

from typing import Any

from mmengine.logging import MMLogger
from mmengine.runner import CheckpointLoader
from torch import nn

from .checkpoint import Checkpoint, model_state_dict, unwrap
from .reading import PathLike, read_checkpoint


@CheckpointLoader.register_scheme(prefixes=("", "http://", "https://"), force=True)
def load_from_safe(filename: str, map_location: Any = None) -> Any:
    """Read a checkpoint safely, in place of MMEngine's loaders for files and URLs.

    MMEngine's loaders use the default of `torch.load`, which runs code in the file before PyTorch
    2.6 and rejects MMEngine's own checkpoints since then. They also load nothing from a file
    whose tensors are under a key other than `state_dict`. MMEngine logs the part of this
    function's name after `load_from_`.
    """
    checkpoint = read_checkpoint(filename, map_location)
    inner = unwrap(checkpoint)
    if isinstance(inner, dict):
        in_place = inner is checkpoint or inner is checkpoint.get("state_dict")
        if not in_place or any(str(key).startswith("module.") for key in inner):
            checkpoint["state_dict"] = model_state_dict(checkpoint)
    return checkpoint


def load_backbone(backbone: nn.Module, path: PathLike, prefix: str = "backbone.") -> None:
    """Load a backbone's weights from a checkpoint, and log how many tensors matched.

    Args:
        backbone: The network, which implements `ChecksWeights`.
        path: Path or URL of the checkpoint.
        prefix: Prefix of the backbone's tensors in a detector's checkpoint.

    Raises:
        UserError: The file can't be read, or the backbone rejects the weights. Nothing is then
            loaded.
    """
    match = Checkpoint.read(path).load_backbone(backbone, prefix)
    MMLogger.get_current_instance().info(f"{path}: backbone: {match}")

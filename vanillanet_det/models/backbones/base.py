"""What the backbones share: weights from a file, and parts that are not trained."""

from collections.abc import Iterable, Mapping

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...checkpoints import load_backbone


class Backbone(BaseModule):
    """A backbone with `init_cfg`, `frozen_stages` and `norm_eval` as MMDetection has them.

    Attributes:
        in_channels: Channels of the image.
        norm_eval: Keep BatchNorms in evaluation mode while training.
    """

    in_channels: int
    norm_eval = False

    def frozen_modules(self) -> Iterable[nn.Module]:
        """List what `frozen_stages` freezes."""
        return ()

    def adapt_state_dict(self, state: Mapping[str, Tensor], said_arch: str = "") -> dict:
        """Make of the weights in a file those of this network, or refuse them.

        Args:
            state: Tensors by their names in the file.
            said_arch: What the file says it is of.

        Returns:
            Tensors by their names in this network.

        Raises:
            UserError: They are not of this network.
        """
        raise NotImplementedError

    def init_weights(self) -> None:
        """Initialise as `init_cfg` says; a published checkpoint loads whatever its wrapper.

        Raises:
            UserError: The checkpoint can't be read or isn't of this network.
        """
        cfg = self.init_cfg
        if isinstance(cfg, dict) and cfg.get("type") == "Pretrained":
            # Not mmengine's: that ignores wrappers it does not know, and loads nothing.
            load_backbone(self, cfg["checkpoint"], cfg.get("prefix") or "backbone.")
            self._is_init = True
        else:
            super().init_weights()

    def train(self, mode: bool = True) -> "Backbone":
        """Set the mode; frozen stages and, with `norm_eval`, BatchNorms stay in evaluation."""
        super().train(mode)
        if mode:
            self._freeze()
            if self.norm_eval:
                for module in self.modules():
                    if isinstance(module, _BatchNorm):
                        module.eval()
        return self

    def _freeze(self) -> None:
        for module in self.frozen_modules():
            module.eval().requires_grad_(False)

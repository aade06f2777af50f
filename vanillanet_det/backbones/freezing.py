"""Parts of a backbone that are not trained."""

from collections.abc import Iterable

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class Freezing:
    """`frozen_stages` and `norm_eval` as MMDetection's backbones have them, beside `nn.Module`.

    Attributes:
        norm_eval: Keep BatchNorms in evaluation mode while training.
    """

    norm_eval: bool

    def frozen_modules(self) -> Iterable[nn.Module]:
        """List what `frozen_stages` freezes."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> "Freezing":
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

"""VanillaNet with its classification head, the network of the ImageNet checkpoints."""

from typing import Any, Union

from mmdet.registry import MODELS
from torch import Tensor, nn

from ..errors import UserError
from ..layers.act_lambda import deep_activation
from ..layers.fusion import fuse_conv_bn, fuse_pointwise, fused_conv
from ..layers.stage import conv_bn
from .archs import resolve_arch, whole_number
from .vanillanet import VanillaNet


@MODELS.register_module()
class VanillaNetClassifier(VanillaNet):
    """VanillaNet (https://arxiv.org/abs/2305.12972) with its head, for image classification.

    The head is pooling, dropout, 1x1 conv, BN, A', 1x1 conv; deployed it is pooling and one
    1x1 conv. Parameter names are those of the published checkpoints.

    Args:
        arch: As for `VanillaNet`, like all further arguments but `out_indices`.
        num_classes: Number of classes.
        dropout: Share of pooled channels to drop in training.
        **kwargs: See `VanillaNet`.

    Raises:
        UserError: An argument that makes no network; the message says what was expected.

    Example:
        >>> classifier = VanillaNetClassifier('5', num_classes=10).eval()
        >>> tuple(classifier(torch.rand(2, 3, 64, 64)).shape)
        (2, 10)
    """

    def __init__(
        self,
        arch: Union[str, dict] = "11",
        num_classes: int = 1000,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if not whole_number(num_classes, 1):
            raise UserError(
                f"VanillaNetClassifier: num_classes {num_classes!r} but expected a whole number "
                "from 1"
            )
        numbers = {key: kwargs.get(key) for key in ("ada_pool", "stem_stride", "stem_padding")}
        last = len(resolve_arch(arch, **numbers).strides)
        super().__init__(arch, out_indices=(last,), **kwargs)
        pool = [nn.AdaptiveAvgPool2d(1), nn.Dropout(dropout)]
        conv = nn.Conv2d(self.out_channels[-1], num_classes, 1)
        if kwargs.get("deploy"):
            self.cls = nn.Sequential(*pool, conv)
        else:
            self.cls1 = nn.Sequential(*pool, *conv_bn(conv, self.norm_cfg))
            self.cls2 = nn.Sequential(nn.Conv2d(num_classes, num_classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(N, in_channels, H, W)` to logits `(N, num_classes)`."""
        act_lambda = self.read_lambda()
        (x,) = self._features(x, act_lambda)
        x = self.cls(x) if self.deploy else self.cls2(deep_activation(self.cls1(x), act_lambda))
        return x.flatten(1)

    def switch_to_deploy(self) -> None:
        """Fuse network and head, in place; a second call does nothing.

        Raises:
            UserError: As `VanillaNet.switch_to_deploy`.
        """
        if self.deploy:
            return
        pool, dropout, conv1, bn = self.cls1
        conv2 = self.cls2[0]
        head = fused_conv(
            conv2,
            *fuse_pointwise(
                fuse_conv_bn(conv1.weight, conv1.bias, bn),
                (conv2.weight.detach().double(), conv2.bias.detach().double()),
            ),
            name="cls",
        )
        super().switch_to_deploy()
        self.cls = nn.Sequential(pool, dropout, head)
        self.cls.training = self.training
        del self.cls1, self.cls2

"""VanillaNet with its classification head, the network of the ImageNet checkpoints."""

import re
from typing import Any, Callable, Optional, Union

from torch import Tensor, nn

from ...errors import UserError
from ..layers.activation import deep_activation
from ..layers.stage import conv_bn, merge_convs
from .archs import resolve_arch, whole_number
from .vanillanet import VanillaNetwork


class ClassifierNetwork(VanillaNetwork):
    """VanillaNet with its head, for image classification.

    The head consists of pooling, dropout, 1x1 conv, BN, A' and 1x1 conv; in the merged and deployed
    forms, it consists of pooling, dropout and one 1x1 conv. Parameter names are those of the
    published checkpoints.

    Args:
        arch: As for `VanillaNetwork`.
        num_classes: Number of classes.
        dropout: Fraction of the pooled channels to drop in training.
        **kwargs: Other arguments of `VanillaNetwork`, except `out_indices`.

    Raises:
        UserError: An argument is invalid; the message states what was expected.
    """

    def __init__(
        self,
        arch: Union[str, dict] = "11",
        num_classes: int = 1000,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        numbers = {key: kwargs.get(key) for key in ("ada_pool", "stem_stride", "stem_padding")}
        last = len(resolve_arch(arch, **numbers).strides)
        super().__init__(arch, out_indices=(last,), **kwargs)
        self._build_head(nn.AdaptiveAvgPool2d(1), dropout, self.out_channels[-1], num_classes)

    def _build_head(
        self, pool: nn.Module, dropout: float, in_channels: int, num_classes: int
    ) -> None:
        if not whole_number(num_classes, 1):
            raise UserError(
                f"VanillaNetClassifier: num_classes {num_classes!r}; expected a positive integer"
            )
        parts, conv = [pool, nn.Dropout(dropout)], nn.Conv2d(in_channels, num_classes, 1)
        if self.form != "training":
            self.cls = nn.Sequential(*parts, conv)
        else:
            self.cls1 = nn.Sequential(*parts, *conv_bn(conv, self.norm))
            self.cls2 = nn.Sequential(nn.Conv2d(num_classes, num_classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(N, in_channels, H, W)` to logits `(N, num_classes)`."""
        act_lambda = self.read_lambda()
        (x,) = self._features(x, act_lambda=act_lambda)
        return self._head(x, act_lambda).flatten(1)

    def _head(self, x: Tensor, act_lambda: Optional[float] = None) -> Tensor:
        if hasattr(self, "cls"):
            return self.cls(x)
        act_lambda = self.read_lambda() if act_lambda is None else act_lambda
        return self.cls2(deep_activation(self.cls1(x), act_lambda, self.series.act_base))

    def named_layers(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """Return the stem, the stages and the head by name (protocol `HasLayers`)."""
        return {**super().named_layers(), "logits": self._head}

    def switch_to_deploy(self) -> None:
        """Fuse the network and its head, in place; a second call does nothing.

        Raises:
            UserError: As for `VanillaNetwork.switch_to_deploy`.
        """
        self._switch(super().switch_to_deploy)

    def switch_to_merged(self) -> None:
        """Merge the network in place, and fuse the head, whose last layer has no BN.

        Raises:
            UserError: As for `VanillaNetwork.switch_to_merged`.
        """
        self._switch(super().switch_to_merged)

    def _switch(self, switch_network: Callable[[], None]) -> None:
        if hasattr(self, "cls"):
            switch_network()
            return
        pool, dropout, conv, bn = self.cls1
        head = merge_convs(conv, bn, self.cls2[0], "cls")
        switch_network()  # any error is raised before anything is changed
        self.cls = nn.Sequential(pool, dropout, head).train(self.training)
        del self.cls1, self.cls2

    def layer_ids(self, num_layers: int) -> dict[str, int]:
        """Return the layer id of each parameter in the published recipes for ImageNet.

        The stem has id 0; stage `s`, counted from 0, has `s + 1`, and the head `num_layers + 1`.
        """
        last = num_layers + 1
        stages = {name: re.match(r"stages\.(\d+)\.", name) for name, _ in self.named_parameters()}
        return {
            name: min(int(stage[1]) + 1, last) if stage else last * name.startswith("cls")
            for name, stage in stages.items()
        }

    def _training_form(self) -> "ClassifierNetwork":
        numbers = dict(in_channels=self.in_channels, norm=self.norm, **self.series.arguments)
        return ClassifierNetwork(vars(self.arch), self.cls[2].out_channels, **numbers)

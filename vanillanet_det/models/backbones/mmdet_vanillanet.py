"""VanillaNet in MMDetection's registry, with `init_cfg` and `norm_cfg`."""

from typing import ClassVar

from mmdet.registry import MODELS

from .classifier import ClassifierNetwork
from .mmdet_base import FromConfig, PretrainedBackbone
from .vanillanet import VanillaNetwork


class _Defaults(FromConfig):
    norm_defaults: ClassVar[dict] = dict(eps=1e-6)
    init_defaults: ClassVar[dict] = dict(type="TruncNormal", layer="Conv2d", std=0.02)


@MODELS.register_module()
class VanillaNet(_Defaults, VanillaNetwork, PretrainedBackbone):
    """VanillaNet (https://arxiv.org/abs/2305.12972) as a detection backbone.

    Args:
        *args: As for `VanillaNetwork`, `arch` first.
        norm_cfg: Config of the BatchNorms, BN or SyncBN; eps defaults to 1e-6.
        init_cfg: How to initialise; the default is a truncated normal of std 0.02. A
            `Pretrained` checkpoint of the training form is merged where `merged` is set.
        **kwargs: `arch`, `in_channels`, `act_num`, `act_base`, `act_neighbours`, `out_indices`,
            `frozen_stages`, `norm_eval`, `with_cp`, `deploy`, `merged`, `ada_pool`, `stem_stride`,
            `stem_padding`.

    Raises:
        UserError: An argument is invalid; the message states what was expected.

    Example:
        >>> backbone = VanillaNet('5').eval()
        >>> for feature in backbone(torch.rand(1, 3, 64, 96)):
        ...     print(tuple(feature.shape))
        (1, 512, 16, 24)
        (1, 1024, 8, 12)
        (1, 2048, 4, 6)
        (1, 4096, 2, 3)
    """


@MODELS.register_module()
class VanillaNetClassifier(_Defaults, ClassifierNetwork, PretrainedBackbone):
    """VanillaNet with its classification head, for image classification.

    Args:
        *args: As for `ClassifierNetwork`, `arch` and `num_classes` first.
        norm_cfg: As for `VanillaNet`.
        init_cfg: As for `VanillaNet`.
        **kwargs: `num_classes`, `dropout`, and those of `VanillaNet` except `out_indices`.

    Raises:
        UserError: An argument is invalid; the message states what was expected.

    Example:
        >>> classifier = VanillaNetClassifier('5', num_classes=10).eval()
        >>> tuple(classifier(torch.rand(2, 3, 64, 64)).shape)
        (2, 10)
    """

"""GResNet in MMDetection's registry, with `init_cfg` and `norm_cfg`."""

from typing import ClassVar

from mmdet.registry import MODELS

from .gresnet import GResNetwork
from .gresnet_classifier import GResNetClassifierNetwork
from .mmdet_base import FromConfig, PretrainedBackbone


class _Defaults(FromConfig):
    norm_defaults: ClassVar[dict] = dict(affine=False)


@MODELS.register_module()
class GResNet(_Defaults, GResNetwork, PretrainedBackbone):
    """GResNet as a detection backbone: a ResNet with split normalisation.

    Args:
        *args: As for `GResNetwork`, `depth` first.
        norm_cfg: Config of the BatchNorms, BN or SyncBN, which have no parameters.
        init_cfg: How to initialise; the default is that of the network.
        **kwargs: `depth`, `in_channels`, `out_indices`, `frozen_stages`, `norm_eval`, `with_cp`,
            `deploy`, `drop_path`, `width`.

    Raises:
        UserError: An argument is invalid; the message states what was expected.

    Example:
        >>> backbone = GResNet(50).eval()
        >>> for feature in backbone(torch.rand(1, 3, 64, 96)):
        ...     print(tuple(feature.shape))
        (1, 256, 16, 24)
        (1, 512, 8, 12)
        (1, 1024, 4, 6)
        (1, 2048, 2, 3)
    """


@MODELS.register_module()
class GResNetClassifier(_Defaults, GResNetClassifierNetwork, PretrainedBackbone):
    """GResNet with its head, for image classification.

    Args:
        *args: As for `GResNetClassifierNetwork`, `depth` and `num_classes` first.
        norm_cfg: As for `GResNet`.
        init_cfg: As for `GResNet`.
        **kwargs: `num_classes`, `dropout`, and those of `GResNet` except `out_indices`.

    Raises:
        UserError: An argument is invalid; the message states what was expected.
    """

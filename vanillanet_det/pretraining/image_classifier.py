"""A network that MMEngine trains to classify images."""

from typing import Any, Optional, Union

import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn import functional as F

from ..checkpoints import Match
from ..checkpoints.checkpoint import Checkpoint, below
from ..errors import UserError, prefix_errors
from ..models.backbones.base import Backbone
from ..models.conversion import add_vanilla_training
from .ablation_networks import narrow_alexnet
from .narrow_resnet import narrow_resnet50

LOSSES = ("bce", "ce")


@MODELS.register_module()
class ImageClassifier(BaseModel):
    """A classification network with timm's losses, mixup and cutmix, and distillation.

    The network is called `backbone`, so that a detector reads its weights from the checkpoint.

    Args:
        backbone: Config of the network, which maps images to logits.
        num_classes: Number of classes.
        loss: `bce` for binary cross-entropy of each class, `ce` for cross-entropy.
        label_smoothing: Share of the target that is spread over all classes.
        mixup: Alpha of mixup; 0 for none.
        cutmix: Alpha of cutmix; 0 for none. With both, either is drawn for each batch.
        teacher: Config of a network to learn from; None for none. It isn't saved.
        distillation: Share of the teacher in the loss, from 0 to 1.
        temperature: Of the softmax of both networks, for distillation.
        data_preprocessor: As for MMEngine's `BaseModel`.
        init_cfg: As for MMEngine's `BaseModel`.

    Raises:
        UserError: An argument is invalid.
    """

    def __init__(
        self,
        backbone: dict,
        num_classes: int,
        loss: str = "bce",
        label_smoothing: float = 0.1,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        teacher: Optional[dict] = None,
        distillation: float = 0.5,
        temperature: float = 1.0,
        data_preprocessor: Optional[dict] = None,
        init_cfg: Union[dict, list[dict], None] = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.num_classes = num_classes
        self._loss = _loss(loss, label_smoothing)
        self._mix = None
        if mixup or cutmix:
            from timm.data import Mixup

            self._mix = Mixup(
                mixup, cutmix, label_smoothing=label_smoothing, num_classes=num_classes
            )
        self.distillation, self.temperature = distillation, temperature
        # In a list, so that it is neither trained nor saved.
        self._teachers = [] if teacher is None else [MODELS.build(teacher).eval()]

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Return the features of the network, or its logits if it is no backbone.

        Args:
            inputs: Images of shape `(N, C, H, W)`.
        """
        if isinstance(self.backbone, Backbone):
            return self.backbone._features(inputs, self.backbone.read_lambda())
        return self.backbone(inputs)

    def forward(
        self, inputs: Tensor, targets: Optional[Tensor] = None, mode: str = "tensor"
    ) -> Any:
        """Classify images.

        Args:
            inputs: Images of shape `(N, C, H, W)`.
            targets: The class of each, `(N,)`.
            mode: `tensor` for logits, `loss` for losses, `predict` for what the metric takes.

        Returns:
            Logits `(N, num_classes)`; a dict of losses; or a list with the logits and the class of
            each image.
        """
        if mode == "loss":
            return self._losses(inputs, targets)
        logits = self.backbone(inputs)
        if mode == "tensor":
            return logits
        return [
            dict(logits=each, target=int(target))
            for each, target in zip(logits.float().cpu(), targets.tolist())
        ]

    def _losses(self, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        if self._mix is not None:
            if len(inputs) % 2:  # timm mixes pairs; a batch has at least two images
                inputs, targets = inputs[:-1], targets[:-1]
            inputs, targets = self._mix(inputs, targets)
        logits = self.backbone(inputs)
        loss = self._loss(logits, targets)
        if not self._teachers:
            return dict(loss=loss)
        share = self.distillation
        return dict(
            loss_labels=(1 - share) * loss, loss_teacher=share * self._teach(inputs, logits)
        )

    def _teach(self, inputs: Tensor, logits: Tensor) -> Tensor:
        teacher = self._teachers[0].to(inputs.device)
        with torch.no_grad():
            wanted = (teacher(inputs) / self.temperature).log_softmax(1)
        found = (logits / self.temperature).log_softmax(1)
        divergence = F.kl_div(found, wanted, reduction="batchmean", log_target=True)
        return divergence * self.temperature**2


def _loss(name: str, smoothing: float) -> nn.Module:
    if name not in LOSSES:
        raise UserError(f"loss {name!r}; expected {' or '.join(LOSSES)}")
    from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy

    if name == "bce":
        return BinaryCrossEntropy(smoothing)
    return _CrossEntropy(LabelSmoothingCrossEntropy(smoothing), SoftTargetCrossEntropy())


class _CrossEntropy(nn.Module):
    """timm's cross-entropy for classes, and for mixed ones, which are smooth already."""

    def __init__(self, hard: nn.Module, soft: nn.Module) -> None:
        super().__init__()
        self.hard, self.soft = hard, soft

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return (self.hard if targets.ndim == 1 else self.soft)(logits, targets)


@MODELS.register_module()
def library_classifier(
    name: str,
    num_classes: int,
    in_channels: int = 3,
    vanilla: bool = False,
    checkpoint: Optional[str] = None,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    **series: Any,
) -> nn.Module:
    """Build a network of timm or torchvision.

    Args:
        name: `timm:NAME`, `torchvision:NAME`, `narrow:alexnet`, or `narrow:resnet50` with or
            without `+STEP`, the last step to GResNet.
        num_classes: Number of classes.
        in_channels: Channels of the image; torchvision's networks have 3.
        vanilla: Add VanillaNet's deep training and series activation to it.
        checkpoint: File with its weights, such as one of a pretraining run.
        dropout: Dropout of a timm network.
        drop_path: Probability to skip the last block in training, of timm's and `narrow:resnet50`.
        **series: `act_num`, `act_base` and `act_neighbours` of `add_vanilla_training`.

    Raises:
        UserError: There is no such network, it can't be built with these arguments, or the file
            doesn't belong to it.
    """
    flag = "--model" if checkpoint is None else "--teacher"
    try:
        network = _of_library(name, num_classes, in_channels, dropout, drop_path)
    except (ImportError, KeyError, ValueError, RuntimeError, TypeError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if "drop_path_rate" in reason:
            raise UserError(f"--drop-path {drop_path:g}: {name} has no blocks to skip") from error
        raise UserError(f"{flag} {name}: {reason}") from error
    if checkpoint is not None:
        with prefix_errors(flag):
            _load(network, Checkpoint.read(checkpoint))
    if vanilla:
        image = torch.zeros(2, in_channels, 224, 224)
        network = add_vanilla_training(network, image, **series)
    return network


def _of_library(
    name: str, num_classes: int, in_channels: int, dropout: float, drop_path: float
) -> nn.Module:
    library, _, model = name.partition(":")
    if name == "narrow:alexnet":
        return narrow_alexnet(num_classes, in_channels)
    if library == "narrow" and model.partition("+")[0] == "resnet50":
        last_step = model.partition("+")[2] if "+" in model else None
        return narrow_resnet50(num_classes, in_channels, last_step, drop_path)
    if library == "torchvision":
        from torchvision.models import get_model

        return get_model(model, weights=None, num_classes=num_classes)
    if library != "timm":
        raise ValueError("expected timm:NAME or torchvision:NAME")
    import timm

    from .. import classifiers  # noqa: F401  # registers VanillaNet

    rates = dict(drop_rate=dropout, **(dict(drop_path_rate=drop_path) if drop_path else {}))
    return timm.create_model(
        model, pretrained=False, num_classes=num_classes, in_chans=in_channels, **rates
    )


def _load(network: nn.Module, checkpoint: Checkpoint) -> None:
    state = below(checkpoint.state, "backbone") or checkpoint.state
    match = Match.of(state, network.state_dict())
    if not match.is_complete:
        raise UserError(f"{checkpoint.path}: {match}; expected a file of this network")
    network.load_state_dict({name: state[name] for name in match.matched}, strict=False)

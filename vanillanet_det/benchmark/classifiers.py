"""Classifiers of a benchmark: VanillaNets and the networks that its publication compares with."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import timm
import torch
from mmcv.cnn.utils import fuse_conv_bn
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from .. import classifiers  # noqa: F401  # registers VanillaNet in timm
from ..analysis.forms import count_form
from ..analysis.published import CLASSIFIER_SIZE, CLASSIFIER_TABLE
from ..datasets.sample_images import find_images, make_batches
from ..models.deploy import TOLERANCE, relative_error, switch_to_deploy
from .candidates import Candidate, Inputs, ShowStatus, Workload
from .networks import Network
from .pytorch import pytorch_candidates
from .results import Row
from .settings import BenchmarkSettings

CLASSIFIER = "classifier"
_PIPELINE = [dict(type="LoadImageFromFile"), dict(type="Resize"), dict(type="mmdet.PackDetInputs")]
_LAYERS = ("ConvolutionBackward", "AddmmBackward", "MmBackward", "BmmBackward", "ScaledDotProduct")


def classifier_candidates(
    names: Iterable[str], settings: BenchmarkSettings, show_status: ShowStatus
) -> Iterator[Candidate]:
    """Build classifiers, in every combination of the settings.

    Args:
        names: Names in `CLASSIFIER_TABLE`.
        settings: What to measure; the parts don't matter.
        show_status: Called with the current step.

    Raises:
        UserError: The images can't be read.
        RuntimeError: The logits of a fused network differ from the original ones.
    """
    for name in names:
        show_status(f"{name}: building")
        workload = ClassifierWorkload(name, settings)
        yield from pytorch_candidates(workload, replace(settings, parts=(CLASSIFIER,)), show_status)


class ClassifierWorkload(Workload):
    """A classifier with random weights, and the images that it is measured on.

    The time of a classifier doesn't depend on its weights, as long as features are of an ordinary
    size: biases and statistics of BatchNorms are random, too, which keeps features from vanishing.

    Args:
        name: Its name in `CLASSIFIER_TABLE`.
        settings: What to measure.

    Raises:
        UserError: The images can't be read.
    """

    def __init__(self, name: str, settings: BenchmarkSettings) -> None:
        self.name = name
        self.inputs = _inputs(settings)
        sizes = [size or CLASSIFIER_SIZE for size in settings.sizes]
        model = build_classifier(CLASSIFIER_TABLE[name].model, sizes).eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                if module.affine:
                    nn.init.normal_(module.bias)
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
        self.network = Network(name, model, "training")
        self._counted = {}

    @cached_property
    def fused(self) -> Network:
        """The fused network, or the network itself if nothing can be fused."""
        original = self.network.model
        model = switch_to_deploy(original)
        if model.state_dict().keys() == original.state_dict().keys():
            fuse_conv_bn(model)
        if model.state_dict().keys() == original.state_dict().keys():
            return Network(self.name, original, "only")
        with torch.no_grad():
            batch = self.inputs[0].batches[0]
            error = relative_error([model(batch)], [original(batch)])
        if not error <= TOLERANCE:
            raise RuntimeError(f"{self.name}: fused and original logits differ by {error:.1e}")
        return Network(self.name, model, "deploy")

    def make_row(self, network: Network, part: str, inputs: Inputs, **values: Any) -> Row:
        """Return a row without times; arguments as for `Workload`."""
        layers = layers_in_sequence(network.model, inputs.batches[0])
        return super().make_row(network, part, inputs, layers=layers, **values)

    def _count(self, form: str, size: tuple[int, int]) -> dict[str, int]:
        model = self.fused.model if form == "deploy" else self.network.model
        counted = count_form(model, size)
        return {} if counted.uncounted else {CLASSIFIER: counted.total.flops}


def build_classifier(name: str, sizes: Sequence[tuple[int, int]] = (CLASSIFIER_SIZE,)) -> nn.Module:
    """Build a network with random weights and 1,000 classes.

    Args:
        name: `timm:NAME` or `torchvision:NAME`.
        sizes: Height and width of the images that it will get.
    """
    library, _, model = name.partition(":")
    if library == "torchvision":
        from torchvision.models import get_model

        return get_model(model, weights=None)
    of_one_size = timm.get_pretrained_cfg_value(model, "fixed_input_size")
    other = any(size != CLASSIFIER_SIZE for size in sizes)
    return timm.create_model(
        model, **(dict(dynamic_img_size=True) if of_one_size and other else {})
    )


def _inputs(settings: BenchmarkSettings) -> list[Inputs]:
    images = find_images(settings.images)
    groups = []
    for size in settings.sizes:
        height, width = size or CLASSIFIER_SIZE
        pipeline = copy.deepcopy(_PIPELINE)
        pipeline[1].update(scale=(width, height), keep_ratio=False)
        for batch_size in settings.batch_sizes:
            batches = make_batches(images, pipeline, batch_size)
            tensors = [_normalize(torch.stack(batch["inputs"])) for batch in batches]
            groups.append(Inputs(tensors, [tuple(tensor.shape) for tensor in tensors]))
    return groups


def _normalize(bgr: Tensor) -> Tensor:
    mean, std = (
        torch.tensor(value)[:, None, None]
        for value in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    )
    return (bgr.flip(1) / 255 - mean) / std


def layers_in_sequence(model: nn.Module, images: Tensor) -> int:
    """Count the convolutions and matrix products that wait for one another.

    Branches that could be computed side by side count once, by the longer one.

    Args:
        model: Any network, in evaluation mode.
        images: Its input.
    """
    with torch.enable_grad():
        end = model(images).grad_fn
    depths: dict[Any, int] = {}
    stack = [end]
    while stack:
        node = stack[-1]
        before = [other for other, _ in node.next_functions if other is not None]
        if unknown := [other for other in before if other not in depths]:
            stack += unknown
            continue
        own = int(node.name().startswith(_LAYERS))
        depths[stack.pop()] = own + max((depths[other] for other in before), default=0)
    return depths[end]

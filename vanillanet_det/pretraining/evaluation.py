"""Top-1 and top-5 accuracy of a classifier's file: trained and averaged weights, fused and not."""

import contextlib
import os
from dataclasses import dataclass
from typing import Optional

import torch
from mmdet.registry import MODELS
from mmengine.device import get_device
from timm.data import RealLabelsImagenet
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..checkpoints.checkpoint import Checkpoint, below, model_state_dict
from ..datasets.classification import ClassificationDataset, name_of
from ..errors import UserError
from ..evaluation.accuracy import rank_of
from ..inference.model_config import model_config
from ..models.backbones.recognition import build_network, recognise
from ..models.deploy import deploy_refusal, is_deployable, switch_to_deploy

_AVERAGED = "ema_state_dict"  # where MMEngine keeps what it doesn't evaluate


@dataclass(frozen=True)
class Evaluation:
    """What a network finds in the images of a dataset.

    Attributes:
        name: Of the network: `network` or `average`, and `, fused`.
        logits: `(N, num_classes)`, float32.
        targets: Class of each image, `(N,)`.
        real: Top-1 accuracy with the ReaL labels of ImageNet; None without them.
    """

    name: str
    logits: Tensor
    targets: Tensor
    real: Optional[float] = None

    @property
    def ranks(self) -> Tensor:
        """The `rank_of` each image, `(N,)`."""
        return rank_of(self.logits, self.targets)

    @property
    def top_5(self) -> Optional[float]:
        """Top-5 accuracy; None if there are five classes or fewer."""
        return self.top(5) if self.logits.shape[1] > 5 else None

    def top(self, count: int) -> float:
        """Return the share of images whose class is among the `count` highest logits."""
        return float((self.ranks < count).double().mean())


def read_networks(path: str, num_classes: int) -> dict[str, nn.Module]:
    """Build the networks of a file, with their fused copies.

    Args:
        path: A checkpoint of a pretraining run, or a published one.
        num_classes: Number of classes of the dataset.

    Returns:
        The networks in evaluation mode, by name.

    Raises:
        UserError: The file can't be read, or has no classifier of these classes.
    """
    checkpoint = Checkpoint.read(path)
    content = checkpoint.content
    states = {"network": checkpoint.state}
    if isinstance(content, dict) and isinstance(content.get(_AVERAGED), dict):
        # EMAHook saves the averaged weights as those of the model.
        trained = model_state_dict({"state_dict": content[_AVERAGED]})
        states = {"network": trained, "average": checkpoint.state}
    elif isinstance(content, dict) and {"model", "model_ema"} <= set(content):
        trained = model_state_dict({"model": content["model"]})
        states = {"network": trained, "average": checkpoint.state}
    networks: dict[str, nn.Module] = {}
    for name, state in states.items():
        network = _build(checkpoint, below(state, "backbone") or state, num_classes)
        networks[name] = network
        if is_deployable(network) and not deploy_refusal(network):
            networks[f"{name}, fused"] = switch_to_deploy(network)
    return networks


def _build(checkpoint: Checkpoint, state: dict[str, Tensor], num_classes: int) -> nn.Module:
    found = recognise(state)
    cfg = model_config(checkpoint.content)
    network: nn.Module
    if cfg is not None and cfg.get("model", {}).get("type") == "ImageClassifier":
        network = MODELS.build(cfg.model.backbone)
        classes = cfg.model.num_classes
    elif found is not None and found.num_classes is not None and found.is_known:
        network = build_network(found, checkpoint.arch_name)
        classes = found.num_classes
    else:
        raise UserError(
            f"{checkpoint.path}: has no classifier; expected a published file, or a checkpoint of "
            "a pretraining run"
        )
    if classes != num_classes:
        raise UserError(
            f"{checkpoint.path}: classifies {classes} classes, but the dataset has {num_classes}"
        )
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{checkpoint.path}: {' '.join(str(error).split())}") from error
    return network.eval()


@torch.no_grad()
def evaluate(
    networks: dict[str, nn.Module],
    dataset: ClassificationDataset,
    batch_size: int = 64,
    workers: int = 0,
    real: bool = False,
) -> list[Evaluation]:
    """Classify every image of a dataset with several networks, reading each image once.

    Args:
        networks: Networks in evaluation mode, by name.
        dataset: The dataset.
        batch_size: Images of a batch.
        workers: Processes that load images.
        real: Whether to judge by the ReaL labels of ImageNet, too.

    Raises:
        UserError: There are no ReaL labels for these images.
    """
    names = [os.path.basename(name_of(dataset.images, index)) for index in range(len(dataset))]
    if real:
        _real_labels(names)  # refuses other images before any is classified
    device = get_device()
    networks = {name: network.to(device) for name, network in networks.items()}
    logits: dict[str, list[Tensor]] = {name: [] for name in networks}
    targets = []
    loader = DataLoader(dataset, batch_size, num_workers=workers)
    with tqdm(total=len(dataset), desc="Evaluating", unit="img", leave=False, disable=None) as bar:
        for batch in loader:
            images = batch["inputs"].to(device)
            for name, network in networks.items():
                logits[name].append(network(images).float().cpu())
            targets.append(batch["targets"])
            bar.update(len(images))
    found = torch.cat(targets)
    return [
        Evaluation(name, torch.cat(each), found, _real(torch.cat(each), names) if real else None)
        for name, each in logits.items()
    ]


def _real(logits: Tensor, names: list[str]) -> float:
    labels = _real_labels(names)
    labels.add_result(logits)
    return labels.get_accuracy(1) / 100


def _real_labels(names: list[str]) -> RealLabelsImagenet:
    with contextlib.suppress(AssertionError):  # another number of images
        labels = RealLabelsImagenet(names, topk=(1,))
        if labels.real_labels.keys() == set(names):
            return labels
    raise UserError(
        "--real: expected the 50,000 validation images of ImageNet, called "
        "ILSVRC2012_val_00000001.JPEG and so on"
    )


def table(evaluations: list[Evaluation]) -> str:
    """Return a table of the accuracies in percent."""
    from tabulate import tabulate

    five = evaluations[0].logits.shape[1] > 5
    head = ["weights", "top-1", *(["top-5"] if five else [])]
    rows = [
        [each.name, 100 * each.top(1), *([100 * each.top(5)] if five else [])]
        for each in evaluations
    ]
    if evaluations[0].real is not None:
        head.append("ReaL top-1")
        rows = [[*row, 100 * each.real] for row, each in zip(rows, evaluations)]
    return tabulate(rows, head, floatfmt=".2f")

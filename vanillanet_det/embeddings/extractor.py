"""Networks that make a vector of an image."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

import torch
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope
from PIL import Image
from torch import Tensor, nn

from ..checkpoints import Checkpoint, Match
from ..checkpoints.checkpoint import below
from ..checkpoints.download import is_url
from ..classifiers import VanillaNetTimm
from ..datasets.classification import build_transform
from ..errors import UserError, prefix_errors
from ..inference import load_detector
from ..inference.images import load_bgr
from ..inference.model_config import model_config
from ..models.backbones.recognition import build_network, recognise
from ..models.deploy import deploy_refusal, switch_to_deploy

_MAPS = (nn.Linear, nn.Conv2d)
RESERVED = ("path", "file")
"""Names in files of embeddings that no network can have."""


@dataclass(frozen=True)
class Extractor:
    """A network that makes a vector of an image.

    Attributes:
        name: Name in files and pages.
        prepare: Function of an image file, which returns what the network takes, `(C, H, W)`.
        network: Function of a batch `(N, C, H, W)`, which returns `(N, D)`.
        is_detector: Whether images are prepared by the test pipeline of a detector.
    """

    name: str
    prepare: Callable[[Path], Tensor]
    network: Callable[[Tensor], Tensor]
    is_detector: bool = False


def load_extractor(
    model: str, device: torch.device, input_size: Optional[tuple[int, int]] = None
) -> Extractor:
    """Load a network, fuse it, and take its last feature.

    The last feature of a classifier is what its last layer reads, and that of a detector is the
    mean of its backbone's last feature. Images are prepared as in evaluation.

    Args:
        model: A checkpoint of a classifier or a detector; `timm:NAME=FILE`; or `timm:NAME`, whose
            weights timm downloads.
        device: Device to run on.
        input_size: Height and width that classifiers get images in; None for those of the
            evaluation.

    Raises:
        UserError: There is no such network, or the file has none.
    """
    with prefix_errors(model):
        if model.startswith("timm:"):
            return _of_timm(model, device, input_size)
        if not is_url(model) and not Path(model).expanduser().is_file():
            raise UserError(
                "no such file; expected a checkpoint of a classifier or a detector, "
                "timm:NAME=FILE or timm:NAME"
            )
        return _of_checkpoint(model, device, input_size)


def _of_checkpoint(
    path: str, device: torch.device, input_size: Optional[tuple[int, int]]
) -> Extractor:
    checkpoint = Checkpoint.read(path)
    cfg, state = model_config(checkpoint.content), _state(checkpoint)
    found = recognise(state)
    if (transform := _own_transform(checkpoint)) is not None:
        with DefaultScope.overwrite_default_scope("mmdet"):
            network = MODELS.build(cfg.model.backbone)
    elif found is not None and found.num_classes is not None and found.is_known:
        network = build_network(found, checkpoint.arch_name)
        transform = _timm_transform(VanillaNetTimm("5"))  # a file doesn't say how it was trained
    elif cfg is not None:
        return _of_detector(_name(path), path, device)
    else:
        raise UserError("is neither a classifier nor a detector with its config in the file")
    _load(network, state)
    if reason := deploy_refusal(network):
        raise UserError(reason)
    network = switch_to_deploy(network.eval()).to(device)
    return _of_classifier(_name(path), _LastFeature(network), transform, input_size)


def _state(checkpoint: Checkpoint) -> dict[str, Tensor]:
    return below(checkpoint.state, "backbone") or checkpoint.state


def _own_transform(checkpoint: Checkpoint) -> Optional[dict[str, Any]]:
    """Return the transform of the evaluation in a pretraining run; None for another file."""
    cfg = model_config(checkpoint.content) or {}
    is_run = (cfg.get("model") or {}).get("type") == "ImageClassifier"
    return cfg.val_dataloader.dataset.transform if is_run else None


def _name(path: str) -> str:
    """Return a name without folders, but with that of a run."""
    file = Path(path)
    return f"{file.parent.name}/{file.name}" if file.parent.name else file.name


def _of_timm(model: str, device: torch.device, input_size: Optional[tuple[int, int]]) -> Extractor:
    import timm

    name, _, file = model.removeprefix("timm:").partition("=")
    if not timm.is_model(name):
        raise UserError(f"timm {timm.__version__} has no network {name}")
    try:
        network = timm.create_model(name, pretrained=not file, num_classes=0).eval()
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"timm can't provide its weights ({reason}); pass a file, timm:{name}=FILE"
        ) from error
    transform = _timm_transform(network)
    if file:
        checkpoint = Checkpoint.read(file)
        _load(network, _state(checkpoint))
        transform = _own_transform(checkpoint) or transform
    network = switch_to_deploy(network).to(device)
    shown = f"{name} {_name(file)}" if file else name
    return _of_classifier(shown, lambda images: _vectors(network(images)), transform, input_size)


def _timm_transform(network: nn.Module) -> dict[str, Any]:
    from timm.data import resolve_model_data_config

    options = resolve_model_data_config(network)
    return {key: value for key, value in options.items() if key != "crop_border_pixels"}


def _load(network: nn.Module, state: dict[str, Tensor]) -> None:
    match = Match.of(state, network.state_dict())
    if not match.is_complete:
        raise UserError(f"{match}; expected a file of this network")
    network.load_state_dict({name: state[name] for name in match.matched}, strict=False)


def _of_classifier(
    name: str,
    network: Callable[[Tensor], Tensor],
    transform: dict[str, Any],
    input_size: Optional[tuple[int, int]],
) -> Extractor:
    size = {} if input_size is None else dict(input_size=(3, *input_size))
    apply = build_transform({**transform, **size})
    return Extractor(name, lambda path: apply(_rgb(path)), network)


def _rgb(path: Path) -> Image.Image:
    return Image.fromarray(load_bgr(path)[:, :, ::-1])


class _LastFeature:
    """What the last layer of a classifier reads: the last that is computed, not that is built."""

    def __init__(self, network: nn.Module) -> None:
        self._network, self._feature = network, torch.empty(0)
        for module in network.modules():
            if isinstance(module, _MAPS):
                module.register_forward_pre_hook(self._keep)

    def _keep(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._feature = inputs[0]

    def __call__(self, images: Tensor) -> Tensor:
        self._network(images)
        feature, self._feature = self._feature, torch.empty(0)
        return _vectors(feature)


def _vectors(feature: Any) -> Tensor:
    """Return features `(N, D)` or `(N, D, 1, 1)` as vectors.

    Raises:
        UserError: They have another shape.
    """
    if not isinstance(feature, Tensor):
        raise UserError(f"its last feature is a {type(feature).__name__}; use another network")
    if feature.ndim > 1 and feature.numel() == feature.shape[0] * feature.shape[1]:
        return feature.flatten(1)
    raise UserError(
        f"its last feature has the shape {tuple(feature.shape)}; expected a vector for each image; "
        "use another network"
    )


def _of_detector(name: str, path: str, device: torch.device) -> Extractor:
    detector = load_detector(path, device=device)
    model = detector.model

    def prepare(image: Path) -> Tensor:
        prepared = detector.prepare(image)
        if prepared.error:
            raise UserError(prepared.error)
        return prepared.data["inputs"]

    def network(images: Tensor) -> Tensor:
        inputs = model.data_preprocessor(dict(inputs=list(images), data_samples=None), False)
        return model.backbone(inputs["inputs"])[-1].mean((2, 3))

    return Extractor(name, prepare, network, is_detector=True)


def load_extractors(
    models: Iterable[str], device: torch.device, input_size: Optional[tuple[int, int]] = None
) -> list[Extractor]:
    """Load several networks; arguments and errors as for `load_extractor`.

    Raises:
        UserError: Two networks have the same name, or there is nothing that takes the size.
    """
    found = [load_extractor(model, device, input_size) for model in models]
    names = [each.name for each in found]
    for name in names:
        if names.count(name) > 1 or name in RESERVED:
            raise UserError(f"{name}: is the name of two columns of the output; rename the file")
    if input_size is not None and all(each.is_detector for each in found):
        raise UserError("a detector prepares images as it was trained; omit --input-size")
    return found

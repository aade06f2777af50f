"""Random weights that give a detector the workload of a trained one.

The time of a convolution doesn't depend on its weights, but the time of post-processing does: an
untrained head finds either no box above the threshold or hundreds of thousands, and vanishing
features yield the same box everywhere. Therefore, BatchNorms and heads are calibrated on a batch of
images.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import torch
from mmdet.models.detectors import BaseDetector
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.weak import WeakIdKeyDictionary

NUM_CANDIDATES = 1000  # scores per image above the threshold, as in a trained RetinaNet
# Standard deviations of logits over the positions of an image and over classes. Together, they are
# large enough for bf16 scores to differ. With a larger deviation over positions, boxes would
# cluster where the random features are largest, and a uniform image would have none.
POSITION_STD, CLASS_STD = 0.5, 1.6
FACTOR_LOGIT = 6.0  # of what scores are multiplied by, such as YOLOX's objectness: almost 1
DELTA_STD = 0.1  # of box deltas, relative to the sides of the anchor or region


def prepare_random_weights(detector: BaseDetector, data: dict) -> str:
    """Calibrate BatchNorms and heads so that about as many boxes are found as with trained weights.

    BatchNorms take the statistics of their features. The last layers of region, box and dense
    heads are scaled and shifted: boxes differ from their anchors by a tenth of the side, and
    `NUM_CANDIDATES` scores pass the model's threshold.

    Args:
        detector: A detector after `init_weights`, in the training form and in float32; fuse or
            convert it afterwards. It is left in evaluation mode.
        data: Images in the format of `detector.test_step`: `inputs` and `data_samples`. The more
            they resemble the images to measure, the closer the number of boxes is.

    Returns:
        An empty string, or a warning that fewer boxes are found because the heads are of an unknown
        kind.
    """
    detector.eval()
    sources: WeakIdKeyDictionary = WeakIdKeyDictionary()

    def remember(module: nn.Module, args: tuple, output: Any) -> None:
        sources[output] = module

    groups = list(_heads(detector))
    with ExitStack() as hooks, torch.no_grad():
        for module in detector.modules():
            if isinstance(module, _BatchNorm) and module.track_running_stats:
                hooks.enter_context(module.register_forward_pre_hook(_take_statistics))
        for stages, cfg in groups:
            calibration = _Calibration(cfg, sources, len(data["inputs"]))
            for head in stages:
                for module in head.modules():
                    if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
                        hooks.enter_context(module.register_forward_hook(remember))
                hooks.enter_context(head.register_forward_hook(calibration, with_kwargs=True))
        samples = detector.test_step(data)
        if hasattr(detector, "shift_scores"):  # its heads aren't MMDetection's
            detector.shift_scores(data, NUM_CANDIDATES)
            samples = detector.test_step(data)
    boxes = sum(len(sample.pred_instances) for sample in samples) / len(samples)
    most = groups[-1][1].get("max_per_img", 100) if groups else 100
    if boxes >= most / 2:
        return ""
    return (
        f"With random weights, the detector finds {boxes:.0f} boxes per image, of at most {most}; "
        "post-processing may take longer with trained weights."
    )


def _heads(detector: BaseDetector) -> Iterator[tuple[Iterable[nn.Module], dict]]:
    """Yield the stages of each head that scores boxes, and its test_cfg, in order of execution."""
    for parent in detector.modules():
        for name in ("rpn_head", "bbox_head"):
            head = getattr(parent, name, None)
            if isinstance(head, nn.Module):
                stages = list(head) if isinstance(head, nn.ModuleList) else [head]
                yield stages, getattr(stages[0], "test_cfg", None) or parent.test_cfg


def _take_statistics(norm: _BatchNorm, args: tuple[Tensor]) -> None:
    channels = args[0].transpose(0, 1).flatten(1)
    norm.running_mean.copy_(channels.mean(1))
    norm.running_var.copy_(channels.var(1, correction=0))


class _Calibration:
    """Hook that calibrates a head, or the stages of a cascade, whose scores are averaged.

    Args:
        cfg: The test_cfg of the head.
        sources: Output of a layer -> the layer, as long as the output is alive.
        num_images: Number of images in the batch.
    """

    def __init__(self, cfg: dict, sources: WeakIdKeyDictionary, num_images: int) -> None:
        self.threshold = cfg.get("score_thr", 0)
        self.sources = sources
        self.wanted = NUM_CANDIDATES * num_images
        self.earlier: list[Tensor] = []

    def __call__(self, head: nn.Module, args: tuple, kwargs: dict, output: Any) -> Any:
        if not isinstance(output, tuple) or len(output) < 2:
            return None
        scores, deltas = self._layers(output[0]), self._layers(output[1])
        stds = getattr(getattr(head, "bbox_coder", None), "stds", None)
        if stds is not None:
            for layer, rows in deltas.items():
                stds_of_rows = rows.new_tensor(stds).repeat(rows.shape[1] // len(stds))
                _normalize(layer, rows, DELTA_STD / stds_of_rows)
        for layer, rows in (pair for part in output[2:] for pair in self._layers(part).items()):
            _normalize(layer, rows, torch.full_like(rows[0], POSITION_STD))
            if rows.shape[1] == 1:  # not what masks are drawn with
                layer.bias += FACTOR_LOGIT
        if scores:
            rows = [
                _normalize(layer, rows, torch.full_like(rows[0], POSITION_STD))
                for layer, rows in scores.items()
            ]
            self._shift(head, scores, torch.cat(rows))
        return head.forward(*args, **kwargs)

    def _layers(self, outputs: Any) -> dict[nn.Module, Tensor]:
        """Return outputs by layer, as rows `(positions, channels)`; empty if a layer is unknown."""
        outputs = [outputs] if isinstance(outputs, Tensor) else outputs
        rows: dict[nn.Module, list[Tensor]] = {}
        for output in outputs or ():
            layer = self.sources.get(output) if isinstance(output, Tensor) else None
            if layer is None:
                return {}
            rows.setdefault(layer, []).append(output.movedim(1, -1).flatten(0, -2))
        return {layer: torch.cat(found) for layer, found in rows.items()}

    def _shift(self, head: nn.Module, layers: Iterable[nn.Module], logits: Tensor) -> None:
        """Shift the biases of all foreground classes, so that `NUM_CANDIDATES` scores pass."""
        if self.threshold <= 0:
            return
        sigmoid = getattr(head, "use_sigmoid_cls", False)
        classes = getattr(head, "cls_out_channels", logits.shape[1])
        is_class = torch.ones(logits.shape[1], device=logits.device)
        if not sigmoid:
            is_class[classes - 1 :: classes] = 0
        offsets = CLASS_STD * torch.randn_like(is_class) * is_class
        logits = (logits + offsets).view(-1, classes)
        is_class = is_class.view(-1, classes)[0]
        # MMDetection averages the logits of a cascade's stages.
        earlier = sum(self.earlier) if self.earlier else 0
        low, high = -40.0, 40.0
        while high - low > 1e-3:
            shift = (low + high) / 2
            mean = (earlier + logits + shift * is_class) / (len(self.earlier) + 1)
            passed = (mean.sigmoid() if sigmoid else mean.softmax(1)[:, :-1]) > self.threshold
            low, high = (low, shift) if passed.sum() > self.wanted else (shift, high)
        self.earlier.append(logits + low * is_class)
        for layer in layers:
            layer.bias += offsets + low * is_class.repeat(len(layer.bias) // classes)


def _normalize(layer: nn.Module, rows: Tensor, std: Tensor) -> Tensor:
    """Scale a layer so that its output channels have mean 0 and the given standard deviations.

    Args:
        layer: A convolution or a linear layer with a bias.
        rows: Its output, `(positions, channels)`.
        std: Standard deviation of each channel.

    Returns:
        The layer's new output.
    """
    mean = rows.mean(0)
    factor = std / rows.std(0, correction=0).clamp(min=1e-12)
    layer.weight *= factor.view(-1, *[1] * (layer.weight.dim() - 1))
    layer.bias.copy_((layer.bias - mean) * factor)
    return (rows - mean) * factor

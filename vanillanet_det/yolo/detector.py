"""Ultralytics' networks as detectors of MMDetection, to be evaluated and timed beside its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

import torch
from mmdet.models.detectors import BaseDetector, SingleStageDetector
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn import functional as F

from .networks import image_size, open_network

try:
    from ultralytics.utils.nms import non_max_suppression
except ImportError:  # before 8.3.200
    from ultralytics.utils.ops import non_max_suppression

_GREY = 114 / 255
_LAST = -1  # name of the last feature
_TEST_CFG = dict(score_thr=0.001, iou_threshold=0.7, max_per_img=300)  # Ultralytics' evaluation


@MODELS.register_module()
class UltralyticsDetector(SingleStageDetector):
    """A network of Ultralytics as a detector of MMDetection.

    Images are padded with grey on the right and at the bottom, up to multiples of 32.

    Args:
        path: A YAML or a `.pt` file, see `open_network`.

    Attributes:
        weights_file: The file of its weights; None if they are random.
        classes: Class names.

    Raises:
        UserError: The file can't be used.
    """

    folds_head = True  # its BatchNorms each follow a convolution of their own

    def __init__(self, path: Union[str, Path]) -> None:
        BaseDetector.__init__(
            self,
            dict(
                type="DetDataPreprocessor",
                mean=[0, 0, 0],
                std=[255, 255, 255],
                bgr_to_rgb=True,
                pad_size_divisor=32,
                pad_value=_GREY,
            ),
        )
        network = open_network(path)
        rows, begin = network.model, len(network.yaml["backbone"])
        self.backbone = Rows(rows[:begin], network.save)
        self.neck = Rows(rows[begin:-1], network.save)
        self.bbox_head = Head(rows[-1])
        self.train_cfg, self.test_cfg = None, _TEST_CFG
        self.weights_file = str(path) if Path(path).suffix.lower() == ".pt" else None
        self.classes = tuple(map(str, network.names.values()))

    @torch.no_grad()
    def shift_scores(self, data: dict, wanted: int) -> None:
        """Shift the biases of all classes, so that a number of scores per image pass the threshold.

        Args:
            data: Images in the format of `test_step`.
            wanted: Number of scores per image.
        """
        inputs = self.data_preprocessor(data)["inputs"]
        places, _ = _split(self.bbox_head(self.extract_feat(inputs)), self.bbox_head.row)
        scores = places[:, 4 : 4 + self.bbox_head.num_classes].double().flatten()
        last = scores.topk(min(wanted * len(inputs), len(scores))).values[-1]
        shift = torch.logit(scores.new_tensor(_TEST_CFG["score_thr"])) - torch.logit(last)
        for layers in self.bbox_head.row.cv3:
            layers[-1].bias += float(shift)


class Rows(nn.Sequential):
    """Consecutive rows of a YAML.

    Args:
        rows: Their modules, which know the rows that they take features from.
        kept: Rows whose features others take.
    """

    def __init__(self, rows: Sequence[nn.Module], kept: Sequence[int]) -> None:
        super().__init__(*rows)
        self._kept = frozenset(kept)

    def forward(self, x: Union[Tensor, dict[int, Any]]) -> dict[int, Any]:
        """Map images `(N, C, H, W)`, or the features before, to features by row; -1 is the last."""
        features = dict(x) if isinstance(x, dict) else {}
        x = features.pop(_LAST) if features else x
        for row in self:
            x = row(_inputs(row, {**features, _LAST: x}))
            if row.i in self._kept:
                features[row.i] = x
        return {**features, _LAST: x}


class Head(nn.Module):
    """The last row of a YAML, and what Ultralytics does after it.

    Args:
        row: Ultralytics' `Detect` or `Segment`.
    """

    def __init__(self, row: nn.Module) -> None:
        super().__init__()
        self.row = row
        self.num_classes = row.nc

    def forward(self, features: dict[int, Any]) -> Any:
        """Map the neck's features to what Ultralytics' head returns."""
        return self.row(_inputs(self.row, features))

    def predict(
        self, features: dict[int, Any], samples: list, rescale: bool = True
    ) -> list[InstanceData]:
        """Return the detections of each image, in its own pixels."""
        found = self(features)
        places, prototypes = _split(found, self.row)
        chosen = non_max_suppression(
            places.float(),
            _TEST_CFG["score_thr"],
            _TEST_CFG["iou_threshold"],
            multi_label=True,
            max_det=_TEST_CFG["max_per_img"],
            nc=self.num_classes,
        )
        stride = int(self.row.stride[0]) // 2
        return [
            _to_instances(rows, None if prototypes is None else prototypes[i], sample, stride)
            for i, (rows, sample) in enumerate(zip(chosen, samples))
        ]


def ultralytics_config(path: Union[str, Path]) -> Config:
    """Return a config of MMDetection for a network of Ultralytics.

    Raises:
        UserError: The file can't be used.
    """
    network = open_network(path)
    size = image_size(network)
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="Resize", scale=(size, size), keep_ratio=True),
        dict(type="PackDetInputs"),
    ]
    dataset = dict(
        type="CocoDataset",
        metainfo=dict(classes=tuple(map(str, network.names.values()))),
        test_mode=True,
        pipeline=pipeline,
    )
    content = dict(
        default_scope="mmdet",
        model=dict(type=UltralyticsDetector.__name__, path=str(path)),
        test_dataloader=dict(dataset=dataset),
    )
    return Config(content, cfg_text=f"# {path}", filename=str(path))


def _inputs(row: nn.Module, features: dict[int, Any]) -> Any:
    return features[row.f] if isinstance(row.f, int) else [features[f] for f in row.f]


def _split(found: Any, row: nn.Module) -> tuple[Tensor, Optional[Tensor]]:
    """Return boxes and scores of each place `(N, 4 + classes + K, A)`, and mask prototypes."""
    first, rest = found if isinstance(found, tuple) else (found, None)
    if not hasattr(row, "proto"):
        return first, None
    if isinstance(first, tuple):  # 8.4
        return first
    return first, rest[-1] if isinstance(rest, tuple) else rest


def _to_instances(
    rows: Tensor, prototypes: Optional[Tensor], sample: Any, stride: int
) -> InstanceData:
    boxes, scores, labels, coefficients = rows.split([4, 1, 1, rows.shape[1] - 6], dim=1)
    height, width = sample.ori_shape[:2]
    boxes = boxes / boxes.new_tensor(sample.scale_factor).repeat(2)
    boxes = torch.min(boxes.clamp(min=0), boxes.new_tensor([width, height, width, height]))
    instances = InstanceData(bboxes=boxes, scores=scores[:, 0], labels=labels[:, 0].long())
    if prototypes is not None and not len(rows):  # which can't be interpolated
        instances.masks = torch.zeros(0, height, width, dtype=torch.bool, device=rows.device)
    elif prototypes is not None:
        logits = torch.tensordot(coefficients, prototypes.float(), 1)[None]
        logits = F.interpolate(logits, scale_factor=stride, mode="bilinear")
        inner_height, inner_width = sample.img_shape[:2]
        logits = logits[..., :inner_height, :inner_width]
        logits = F.interpolate(logits, (height, width), mode="bilinear")[0]
        instances.masks = (logits > 0) & _inside(boxes, height, width)
    return instances


def _inside(boxes: Tensor, height: int, width: int) -> Tensor:
    left, top, right, bottom = boxes[:, :, None, None].unbind(1)
    x = torch.arange(width, device=boxes.device)
    y = torch.arange(height, device=boxes.device)[:, None]
    return (x >= left) & (x < right) & (y >= top) & (y < bottom)

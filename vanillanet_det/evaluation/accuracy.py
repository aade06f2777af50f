"""Accuracy of classification."""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric


@METRICS.register_module()
class Accuracy(BaseMetric):
    """Top-1 and top-5 accuracy, as shares of the images from 0 to 1.

    With fewer than six classes, only top-1.
    """

    default_prefix = "accuracy"

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Rank the class of each image among its logits."""
        for sample in data_samples:
            logits, target = sample["logits"], sample["target"]
            # Of equal logits, the others count first, as if a network knew nothing.
            rank = int((logits >= logits[target]).sum()) - 1
            self.results.append((rank, len(logits)))

    def compute_metrics(self, results: list[tuple[int, int]]) -> dict[str, float]:
        """Average over the images."""
        ranks = torch.tensor([rank for rank, _ in results])
        tops = (1, 5) if results[0][1] > 5 else (1,)
        return {f"top{top}": float((ranks < top).float().mean()) for top in tops}

"""Accuracy of classification."""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from torch import Tensor


def rank_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Return how many other classes have logits at least as high as the right one.

    So a network that gives all classes the same logits knows nothing, and neither does NaN.

    Args:
        logits: `(N, num_classes)`.
        targets: The right class of each, `(N,)`.
    """
    right = logits.gather(1, targets[:, None])
    return (~(logits < right)).sum(1) - 1


@METRICS.register_module()
class Accuracy(BaseMetric):
    """Top-1 and top-5 accuracy, as shares of the images from 0 to 1.

    With fewer than six classes, only top-1.
    """

    default_prefix = "accuracy"

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Rank the class of each image among its logits."""
        for sample in data_samples:
            logits = sample["logits"]
            rank = int(rank_of(logits[None], torch.tensor([sample["target"]])))
            self.results.append((rank, len(logits)))

    def compute_metrics(self, results: list[tuple[int, int]]) -> dict[str, float]:
        """Average over the images."""
        ranks = torch.tensor([rank for rank, _ in results])
        tops = (1, 5) if results[0][1] > 5 else (1,)
        return {f"top{top}": float((ranks < top).float().mean()) for top in tops}

"""Top-1 and top-5 accuracy."""

import math

import pytest
import torch

from vanillanet_det.evaluation.accuracy import Accuracy, rank_of


def test_ranks():
    logits = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [1.0, 1.0, 1.0], [0.0, math.nan, 1.0]])
    assert rank_of(logits, torch.tensor([0, 2, 1, 1])).tolist() == [0, 2, 2, 2]
    # A right class that is finite among others that aren't.
    assert rank_of(torch.tensor([[math.nan, 5.0, 1.0]]), torch.tensor([1])).tolist() == [1]


@pytest.mark.parametrize(("count", "expected"), [(3, {"top1": 0.5}), (7, {"top1": 0.5, "top5": 1})])
def test_shares_of_the_images(count, expected):
    metric = Accuracy()
    logits = torch.arange(count).float()
    samples = [dict(logits=logits, target=target) for target in (count - 1, count - 2)]
    metric.process(None, samples)
    found = metric.evaluate(2)
    assert found == {f"accuracy/{name}": value for name, value in expected.items()}

"""What training costs: bytes counted as they are, and a table of them."""

import pytest
import timm
import torch
from torch import nn

from vanillanet_det import UserError, VanillaNet
from vanillanet_det.analysis.training_cost import (
    TrainingCost,
    depthwise_share,
    kept_bytes,
    table,
    training_costs,
)
from vanillanet_det.apis import training_cost

ARCH = dict(dims=[64, 64, 128, 128], strides=[1, 2, 1])


def test_what_autograd_keeps_is_counted_once_and_without_parameters():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 1, bias=False), nn.ReLU(inplace=True), nn.Conv2d(8, 8, 1)
    )
    images = torch.randn(2, 3, 10, 10)
    # The images, and the ReLU's result, which is the next convolution's input as well.
    assert kept_bytes(network, images) == 4 * 2 * (3 + 8) * 100


def test_less_is_kept_merged_and_less_still_with_recomputation():
    images = torch.randn(1, 3, 64, 64)
    kept = [
        kept_bytes(VanillaNet(ARCH, **kwargs).train(), images)
        for kwargs in ({}, dict(merged=True), dict(with_cp=True), dict(merged=True, with_cp=True))
    ]
    assert kept[0] > kept[1] > kept[2]
    # Checkpointing keeps the input of each layer: the images, and all features but the last.
    inputs = 3 * 64 * 64 + 64 * 16 * 16 + 64 * 16 * 16 + 128 * 8 * 8
    assert kept[2] == kept[3] == 4 * inputs


def test_ratios_are_those_to_the_first_row():
    rows = [
        TrainingCost("a", "contiguous", 2_000_000, 100_000_000, 3, [4.0, 90.0, 2.0]),
        TrainingCost("b", "contiguous", 1_000_000, 70_000_000, 3, [1.0, 0.1, 30.0], 0.25),
    ]
    cells = [cell.strip() for cell in table(rows).splitlines()[-1].strip("|").split("|")]
    assert cells == ["b", "contiguous", "1.0", "70", "0.70", "1.00", "0.25", "3.00", "25 %"]


def test_the_share_of_depthwise_convolutions():
    def share(groups):
        conv = nn.Conv2d(64, 64, 5, padding=2, groups=groups)
        images = torch.rand(2, 64, 48, 48, requires_grad=True)
        return depthwise_share(lambda: conv(images).sum().backward())

    assert share(64) > 0.5
    assert share(1) == share(2) == 0


@pytest.mark.slow
def test_every_form_is_measured_against_the_published_one():
    beside = {"timm:test_vit": timm.create_model("test_vit")}
    costs = training_costs(ARCH, (1, 160, 160), 1, "cpu", beside)
    published, training, checkpointed, merged, both = costs[:5]
    assert len(costs) == 11
    assert {cost.layout for cost in costs[5:9]} == {"channels-last"}
    assert [(cost.form, cost.layout) for cost in costs[9:]] == [
        ("timm:test_vit", "contiguous"),
        ("timm:test_vit", "channels-last"),
    ]
    assert all(0.01 < cost.depthwise < 0.9 for cost in costs[:9])
    assert costs[9].depthwise == costs[10].depthwise == 0
    assert all(len(cost.seconds) == 1 and cost.seconds[0] > 0 for cost in costs)
    assert published.parameters == training.parameters == checkpointed.parameters
    assert merged.parameters == both.parameters < 0.7 * training.parameters
    assert published.kept_bytes > training.kept_bytes > merged.kept_bytes > both.kept_bytes


def test_too_much_memory_is_one_sentence():
    with pytest.raises(UserError, match=r"--backbone vanillanet5 --batch-size 1000000 .*don't fit"):
        training_cost(backbone="vanillanet5", batch_size=1_000_000, input_size="100000")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(backbone="vanillanet4"), r"--backbone vanillanet4: expected one of vanillanet5, "),
        (dict(batch_size=0), r"--batch-size 0: expected a positive integer"),
        (dict(input_size="32"), r"--input-size 32: expected at least 64 pixels"),
        (dict(input_size="256x"), r"--input-size 256x: expected a side such as 320"),
        (dict(repeats=0), r"--repeats 0"),
        (dict(device="cuda:99"), r"--device cuda:99: can't be used here"),
        (dict(beside=["resnet50"]), r"--beside resnet50: expected timm:NAME"),
        (dict(beside=["timm:resnet51"]), r"--beside timm:resnet51: timm .* has no such network"),
        (
            dict(backbone="vanillanet5", beside=["timm:vit_tiny_patch16_224"], input_size="64"),
            r"timm:vit_tiny_patch16_224: can't be trained on 2 images of 64 x 64 \(",
        ),
        (dict(device="meta"), r"--device meta: expected cpu or cuda"),
        (dict(device="abacus"), r"--device abacus: can't be used here"),
    ],
)
def test_wrong_arguments(kwargs, message):
    with pytest.raises(UserError, match=message):
        training_cost(**kwargs)

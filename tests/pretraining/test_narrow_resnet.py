"""The steps from ResNet-50 to GResNet, one by one."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torchvision.ops import StochasticDepth

from vanillanet_det import UserError, switch_to_deploy
from vanillanet_det.models.backbones.gresnet_classifier import GResNetClassifierNetwork
from vanillanet_det.models.layers.split_norm import SplitNormConv2d
from vanillanet_det.pretraining.image_classifier import library_classifier
from vanillanet_det.pretraining.narrow_resnet import STEPS, narrow_resnet50

IMAGE = torch.randn(2, 3, 61, 67, generator=torch.Generator().manual_seed(1))


def kinds(model):
    """What the steps change."""
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    return dict(
        stem=convs[0].kernel_size == (3, 3),
        shortcut=any(isinstance(m, nn.AvgPool2d) for m in model.modules()),
        pool=not any(isinstance(m, nn.MaxPool2d) for m in model.modules()),
        silu=any(isinstance(m, nn.SiLU) for m in model.modules()),
        split=any(isinstance(m, SplitNormConv2d) for m in model.modules()),
    )


def test_with_all_steps_it_is_gresnet(randomize_norms):
    ours = narrow_resnet50(7, last_step=STEPS[-1]).double()
    theirs = randomize_norms(GResNetClassifierNetwork(num_classes=7, width=8), IMAGE)
    theirs, image = theirs.double().eval(), IMAGE.double()
    names, tensors = list(ours.state_dict()), list(theirs.state_dict().values())
    ours.load_state_dict(dict(zip(names, tensors)))  # in the same order, of the same shapes
    assert len(names) == len(tensors)
    with torch.no_grad():
        assert_close(ours.eval()(image), theirs(image), rtol=1e-9, atol=1e-9)
        assert_close(switch_to_deploy(ours)(image), theirs(image), rtol=1e-9, atol=1e-9)


def test_each_step_adds_what_it_is_named_after():
    found = [kinds(narrow_resnet50(5, last_step=step)) for step in (None, *STEPS)]
    for index, step in enumerate(STEPS):
        if step != "stride":  # see the next test
            has = [each[step] for each in found]
            assert has == [False] * (index + 1) + [True] * (len(STEPS) - index)


@pytest.mark.parametrize(("step", "kernel"), [(None, 1), ("stride", 3)])
def test_the_stride_of_a_block(step, kernel):
    network = narrow_resnet50(5, last_step=step)
    blocks = [m for m in network if hasattr(m, "shortcut")]
    halving = [m for b in blocks for m in b.layers if getattr(m, "stride", 1) == (2, 2)]
    assert [m.kernel_size[0] for m in halving] == [kernel] * 3


def test_drop_path_rises():
    network = narrow_resnet50(5, last_step="split", drop_path=0.05)
    shares = [m.p for m in network.modules() if isinstance(m, StochasticDepth)]
    assert len(shares) == 15  # the first block is never skipped
    assert shares == sorted(shares)
    assert shares[-1] == 0.05


def test_names():
    network = library_classifier("narrow:resnet50+silu", 4)
    assert network(IMAGE).shape == (2, 4)
    for name in ("narrow:resnet50+swish", "narrow:resnet50+", "narrow:resnet51", "narrow:vgg"):
        with pytest.raises(UserError, match="expected"):
            library_classifier(name, 4)

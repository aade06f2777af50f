"""Counts equal formulas by hand, and what is not counted is named."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vanillanet_det.analysis import Cost, count_complexity

SIZE = (20, 30)
DEVICES = ["meta", "cpu"]


def count(model, device="meta", size=SIZE):
    return count_complexity(model.to(device), size)


@pytest.mark.parametrize("device", DEVICES)
def test_convolutions(device):
    conv = nn.Conv2d(3, 8, 5, stride=2, padding=1)  # to 9 x 14
    grouped = nn.Conv2d(8, 6, 3, groups=2, bias=False)  # to 7 x 12
    transposed = nn.ConvTranspose2d(6, 4, 2, stride=2)  # to 14 x 24
    found = count(nn.Sequential(conv, nn.ReLU(), grouped, transposed), device)
    assert found.parts == {
        "0": Cost(8 * 3 * 25 + 8, 9 * 14 * 8 * 3 * 25, 9 * 14 * 8, kernels=2),
        "1": Cost(kernels=1),
        "2": Cost(6 * 4 * 9, 7 * 12 * 6 * 4 * 9, 7 * 12 * 6, kernels=1),
        "3": Cost(6 * 4 * 4 + 4, 7 * 12 * 6 * 4 * 4, 14 * 24 * 4, kernels=2),
    }
    assert found.total() == sum(found.parts.values(), Cost())
    assert found.uncounted == ()


def test_kernels_are_counted_where_something_is_computed():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, bias=False)
            self.depthwise = nn.Conv2d(3, 3, 3, groups=3)  # adds its bias by itself
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x):
            x = self.norm(self.depthwise(self.conv(x))).mul_(2)
            x = x.permute(0, 2, 3, 1).reshape(1, -1)[:, :6].contiguous()  # copied once
            return x.view(2, 3).detach()

    found = count(Model().eval())
    names = ("conv", "depthwise", "norm", "")
    assert [found.modules[name].kernels for name in names] == [1, 1, 1, 2]


class Attention(nn.Module):
    """Two matrix products without parameters, below a linear layer."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(30, 6)

    def forward(self, x):
        x = self.linear(x).flatten(0, 1)  # 3 x 20 x 6
        return F.softmax(x @ x.transpose(1, 2), -1) @ x


def test_matrix_products_belong_to_the_module_that_calls_them():
    found = count(Attention())
    assert found.modules[""] == Cost(0, 2 * 3 * 20 * 20 * 6, 3 * 20 * 20 + 3 * 20 * 6, kernels=3)
    assert found.modules["linear"] == Cost(30 * 6 + 6, 3 * 20 * 30 * 6, 3 * 20 * 6, kernels=1)
    assert found.parts == {"(itself)": found.modules[""], "linear": found.modules["linear"]}


def test_a_shared_parameter_counts_once_and_its_use_twice():
    with torch.device("meta"):
        first, second = (nn.Conv2d(3, 3, 1, bias=False) for _ in range(2))
    second.weight = first.weight
    assert count(nn.Sequential(first, second, first)).total() == Cost(
        9, 3 * 9 * 20 * 30, 3 * 3 * 20 * 30, kernels=3
    )


def test_the_model_stays_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4).eval(), nn.Dropout())
    model[0].weight.requires_grad_(False)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    count(model, "cpu")
    assert [module.training for module in model] == [True, False, True]
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    torch.testing.assert_close(model.state_dict(), state)


def test_modules_are_in_evaluation_mode_and_autograd_records_nothing():
    class Tell(nn.Module):
        def forward(self, x):
            modes.append((self.training, x.requires_grad))
            return x

    modes = []
    count(nn.Sequential(nn.Conv2d(3, 4, 1), Tell()))
    assert modes == [(False, False)]


def test_an_operator_of_another_library_is_named():
    from torchvision.ops import DeformConv2d

    class Deformable(nn.Module):
        def __init__(self):
            super().__init__()
            self.offset, self.conv = (
                nn.Conv2d(3, 18, 3, padding=1),
                DeformConv2d(3, 4, 3, padding=1),
            )

        def forward(self, x):
            return self.conv(x, self.offset(x))

    found = count(Deformable(), "cpu")
    assert found.uncounted == ("torchvision::deform_conv2d in DeformConv2d",)
    assert found.modules["conv"] == Cost(4 * 3 * 9 + 4, kernels=2)  # makes a mask, too


def test_a_fused_kernel_of_pytorch_that_its_counter_does_not_know_is_named():
    class Sample(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)

        def forward(self, x):
            return F.grid_sample(x, self.conv(x).permute(0, 2, 3, 1), align_corners=False)

    assert count(Sample()).uncounted == ("aten::grid_sampler_2d in Sample",)


def test_an_operator_outside_the_dispatcher_is_named_by_its_module():
    class Compiled(nn.Conv2d):
        """Stands for one of compiled mmcv's: no operator ever sees its kernel."""

        def forward(self, x):
            return x.new_zeros(x.shape[0], self.weight.shape[0], *x.shape[2:])

    model = nn.Sequential(Compiled(3, 4, 1), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    assert count(model).uncounted == ("the operator of Compiled",)

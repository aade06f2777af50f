"""MMSyncBN over all processes is BatchNorm of the concatenated batch."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from two_ranks import run_in_two_ranks

from vanillanet_det import ops

ops.supply_ext()  # for the spawned processes, which have no conftest
from mmcv.ops import SyncBatchNorm  # noqa: E402

EQUAL, UNEQUAL, EMPTY = (2, 2), (3, 1), (4, 0)
KINDS = {
    "plain": (dict(), EQUAL),
    "cumulative": (dict(momentum=None), EQUAL),
    "by images": (dict(stats_mode="N"), EQUAL),
    "unequal": (dict(stats_mode="N"), UNEQUAL),
    "empty": (dict(stats_mode="N"), EMPTY),
}


def batches(seed, mean):
    generator = torch.Generator().manual_seed(seed)
    return [mean + torch.randn(4, 4, 5, 3, generator=generator) for _ in range(2)]


def inputs_and_grads():
    # Far from zero, where the rounding of squares is no small part of the variance.
    return batches(0, 30), batches(1, 0)


def normalise(norm, inputs, grads):
    """Normalise batches; returns outputs, gradients and the statistics in the end."""
    results = {}
    with torch.no_grad():
        norm.weight.normal_(generator=torch.Generator().manual_seed(2))
    for index, (x, grad) in enumerate(zip(inputs, grads)):
        x = x.clone().requires_grad_()
        y = norm(x)
        y.backward(grad)
        results[f"y{index}"], results[f"x{index}"] = y.detach(), x.grad
    results.update({name: parameter.grad for name, parameter in norm.named_parameters()})
    results.update(norm.named_buffers())
    return results


def normalise_in_rank(rank):
    results = {}
    for name, (kind, shards) in KINDS.items():
        parts = ([batch.split(shards)[rank] for batch in whole] for whole in inputs_and_grads())
        results[name] = normalise(SyncBatchNorm(4, **kind), *parts)
    return results


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What two processes made of their parts of two batches."""
    return run_in_two_ranks(normalise_in_rank, tmp_path_factory.mktemp("ranks"))


@pytest.mark.slow
@pytest.mark.xdist_group("two_ranks")  # the processes take seconds to start
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_batch_norm_of_the_whole_batch(ranks, kind):
    options, shards = KINDS[kind]
    like = nn.BatchNorm2d(4, momentum=options.get("momentum", 0.1))
    expected = normalise(like, *inputs_and_grads())
    first, second = (rank[kind] for rank in ranks)
    assert set(first) == set(expected)
    exact = set(expected)
    if shards != EQUAL:  # mmcv takes every process to have as many images as this one
        exact = {"y0", "y1", "running_mean", "num_batches_tracked"}
        count = shards[0] * 15 * 2
        correct = 59 / 60 * count / (count - 1)
        by_mmcv = 0.81 + (expected["running_var"] - 0.81) * correct
        assert_close(first["running_var"], by_mmcv)
    for name in exact:
        if name[0] in "xy":
            ours = torch.cat([first[name], second[name]])
        else:
            ours = first[name]
            assert_close(ours, second[name], rtol=0, atol=0)
            if name in ("weight", "bias"):
                ours = 2 * ours  # mmcv averages them, as DistributedDataParallel does
        assert_close(
            ours,
            expected[name],
            rtol=1e-5,
            atol=1e-5,
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.mark.parametrize(
    ("shape", "like"), [((3, 4, 5, 2), nn.BatchNorm2d), ((2, 4, 7), nn.BatchNorm1d)]
)
def test_alone_it_is_batch_norm(one_process_group, shape, like):
    x, grad = torch.randn(shape), torch.randn(shape)
    assert_close(normalise(SyncBatchNorm(4), [x], [grad]), normalise(like(4), [x], [grad]))


def test_one_value_per_channel(one_process_group):
    norm = SyncBatchNorm(2)
    y = norm(torch.tensor([[[[3.0]], [[-2.0]]]]))
    assert_close(y, torch.zeros(1, 2, 1, 1))
    assert_close(norm.running_var, torch.tensor([0.9, 0.9]))


def test_half_precision(one_process_group, device):
    x, grad = ((torch.randn(3, 4, 5, 2) + mean).half().to(device) for mean in (30, 0))
    norm = SyncBatchNorm(4).to(device)
    low, wide = (normalise(norm, [x.to(t)], [grad.to(t)]) for t in (torch.half, torch.float))
    for name in ("y0", "x0"):
        assert low[name].dtype == torch.half
        assert_close(low[name], wide[name].half())

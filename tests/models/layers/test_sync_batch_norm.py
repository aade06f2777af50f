"""BatchNorm over all ranks is BatchNorm of the concatenated batch."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from two_ranks import run_in_two_ranks

from vanillanet_det.models.layers.checkpointing import checkpoint_once
from vanillanet_det.models.layers.fusion import bn_scale_shift
from vanillanet_det.models.layers.sync_batch_norm import CPUSyncBatchNorm

# The processes, which take seconds to start, are those of one worker.
pytestmark = pytest.mark.xdist_group("two_ranks")
SHARDS = (3, 1)
KINDS = {
    "plain": dict(),
    "cumulative": dict(momentum=None),
    "not affine": dict(affine=False),
    "without statistics": dict(track_running_stats=False),
}


def batches():
    generator = torch.Generator().manual_seed(0)
    # Far from zero, where the rounding of squares is no small part of the variance.
    return [30 + torch.randn(4, 4, 5, 3, generator=generator) for _ in range(2)]


def outer_gradient(like, rank):
    """A gradient that differs from value to value."""
    whole = torch.randn(4, *like.shape[1:], generator=torch.Generator().manual_seed(1))
    return whole if rank is None else whole.split(SHARDS)[rank]


def normalise(norm, parts, rank, recomputed=False):
    """Normalise batches; returns outputs, gradients and the statistics in the end."""
    results = {}
    if norm.affine:
        norm.weight.data.normal_(generator=torch.Generator().manual_seed(2))
    for index, part in enumerate(parts):
        x = part.clone().requires_grad_()
        y = checkpoint_once(norm, x, norms=norm) if recomputed else norm(x)
        y.backward(outer_gradient(part, rank))
        results[f"y{index}"], results[f"x{index}"] = y.detach(), x.grad
    results.update({name: parameter.grad for name, parameter in norm.named_parameters()})
    results.update(norm.named_buffers())
    return results


def normalise_in_rank(rank):
    parts = [batch.split(SHARDS)[rank] for batch in batches()]
    return {
        (name, recomputed): normalise(CPUSyncBatchNorm(4, **kind), parts, rank, recomputed)
        for name, kind in KINDS.items()
        for recomputed in (False, True)
    }


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What two processes made of a batch, of which they have unequal parts."""
    return run_in_two_ranks(normalise_in_rank, tmp_path_factory.mktemp("ranks"))


@pytest.mark.slow
@pytest.mark.parametrize("recomputed", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_batch_norm_of_the_whole_batch(ranks, kind, recomputed):
    expected = normalise(nn.BatchNorm2d(4, **KINDS[kind]), batches(), None)
    first, second = (rank[kind, recomputed] for rank in ranks)
    assert set(first) == set(expected)
    for name, value in expected.items():
        if name[0] in "xy":
            ours = torch.cat([first[name], second[name]])
        elif name in ("weight", "bias"):
            ours = first[name] + second[name]  # DistributedDataParallel averages them
        else:
            ours = first[name]
            assert_close(ours, second[name], rtol=0, atol=0)
        assert_close(
            ours, value, rtol=1e-5, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_alone_and_in_evaluation_it_is_batch_norm():
    x = torch.randn(2, 4, 3, 3)
    ours, theirs = CPUSyncBatchNorm(4), nn.BatchNorm2d(4)
    for mode in (True, False):
        assert_close(ours.train(mode)(x), theirs.train(mode)(x), rtol=0, atol=0)
    assert_close(bn_scale_shift(ours), bn_scale_shift(theirs))


def test_gradients_are_those_of_finite_differences(one_process_group):
    norm = CPUSyncBatchNorm(2).double()
    x = torch.randn(3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(norm, x)


def test_one_value_per_channel_is_too_few(one_process_group):
    with pytest.raises(ValueError, match=r"1 values per channel across all ranks"):
        CPUSyncBatchNorm(2)(torch.randn(1, 2, 1, 1))


def test_it_works_in_bfloat16_and_channels_last(one_process_group):
    x = torch.randn(2, 4, 3, 3).to(torch.bfloat16, memory_format=torch.channels_last)
    y = CPUSyncBatchNorm(4)(x)
    assert y.dtype == torch.bfloat16
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert_close(y.float(), nn.BatchNorm2d(4)(x.float()), rtol=1e-2, atol=1e-2)

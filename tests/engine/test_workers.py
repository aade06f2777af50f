"""Workers are seeded as MMEngine seeds them, in every rank."""

import pytest
import torch
from mmengine.dataset import worker_init_fn
from torch.utils.data import DataLoader, Dataset

from vanillanet_det.engine.workers import init_shielded_worker, shield_built, shield_workers


class Numbers(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.rand(1).item()


def draw(monkeypatch, rank, **options):
    monkeypatch.setenv("RANK", str(rank))
    torch.manual_seed(0)
    return [n for batch in DataLoader(Numbers(), num_workers=2, **options) for n in batch.tolist()]


def shielded(seed):
    cfg = shield_workers({}, seed)["worker_init_fn"]
    return lambda worker_id: init_shielded_worker(worker_id, cfg["seed"], cfg["init"])


@pytest.mark.parametrize("seed", [None, 7])
def test_ranks_draw_different_numbers_and_each_the_same_again(monkeypatch, seed):
    first, again, other = (
        draw(monkeypatch, rank, worker_init_fn=shielded(seed)) for rank in (0, 0, 1)
    )
    assert first == again
    assert not set(first) & set(other)


def test_a_seed_is_used_as_mmengine_uses_it(monkeypatch):
    def theirs(worker_id):
        worker_init_fn(worker_id, 2, 1, 7)

    assert draw(monkeypatch, 1, worker_init_fn=theirs) == draw(
        monkeypatch, 1, worker_init_fn=shielded(7)
    )


def test_a_built_dataloader_keeps_its_own_function(monkeypatch):
    loader = DataLoader(Numbers(), num_workers=1, worker_init_fn=lambda _: torch.manual_seed(3))
    shield_built(loader)
    shield_built(loader)
    torch.manual_seed(3)
    expected = [torch.rand(1).item() for _ in range(4)]
    assert [n for batch in loader for n in batch.tolist()] == pytest.approx(expected)

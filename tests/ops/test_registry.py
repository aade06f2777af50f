import pytest
import torch

from vanillanet_det.ops import registry


@pytest.fixture
def matmul(monkeypatch):
    monkeypatch.setattr(registry, "OPS", {})

    @registry.op
    def matmul(left, right):
        """Multiply."""
        return left @ right

    return matmul


def test_an_op_is_registered_by_name(matmul):
    assert list(registry.OPS.items()) == [("matmul", matmul)]
    assert matmul.__doc__ == "Multiply."


def test_an_op_chooses_its_own_precision(matmul, device):
    square = torch.rand(3, 3, device=device)
    with torch.autocast(device, dtype=torch.bfloat16):
        assert (square @ square).dtype == torch.bfloat16
        assert matmul(square, right=square).dtype == torch.float32
        assert matmul(left=square, right=square).dtype == torch.float32


def test_an_op_records_no_graph(matmul):
    square = torch.rand(3, 3, requires_grad=True)
    assert not matmul(square, square).requires_grad


@pytest.mark.parametrize(
    ("dtype", "wide"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_widen(dtype, wide):
    assert registry.widen(torch.zeros(2, dtype=dtype)).dtype == wide

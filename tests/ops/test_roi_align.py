import pytest
import torch
from mmcv import ops
from torch.testing import assert_close

from vanillanet_det.ops import OPS

ROIS = torch.tensor(
    [
        [0.0, 1.3, 2.1, 9.7, 11.2],
        [1, 0.0, 0.0, 3.4, 2.2],
        [0, -9.0, -7.5, 4.0, 3.0],  # partly outside
        [1, 6.0, 5.0, 40.0, 30.0],  # reaches far beyond
        [0, 4.0, 4.0, 4.3, 9.0],  # thinner than a pixel
    ]
)


def bilinear(plane, y, x):
    """Weight of each pixel in the sample at y, x, following mmcv's branches."""
    height, width = plane.shape
    weights = torch.zeros_like(plane)
    if y < -1 or y > height or x < -1 or x > width:
        return weights
    y, x = max(y, 0.0), max(x, 0.0)
    y_low, x_low = min(int(y), height - 1), min(int(x), width - 1)
    y = float(y_low) if y_low == height - 1 else y
    x = float(x_low) if x_low == width - 1 else x
    y_high, x_high = min(y_low + 1, height - 1), min(x_low + 1, width - 1)
    weights[y_low, x_low] += (1 - (y - y_low)) * (1 - (x - x_low))
    weights[y_low, x_high] += (1 - (y - y_low)) * (x - x_low)
    weights[y_high, x_low] += (y - y_low) * (1 - (x - x_low))
    weights[y_high, x_high] += (y - y_low) * (x - x_low)
    return weights


def slow_roi_align(features, rois, bins, scale, ratio, mode, aligned):
    """Differentiable in the features: every sample is a dense sum over its plane."""
    shift = 0.5 if aligned else 0.0
    output = features.new_zeros(len(rois), features.shape[1], *bins)
    for k, (image, *corners) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (corner * scale - shift for corner in corners)
        size = [y2 - y1, x2 - x1]
        if not aligned:
            size = [max(side, 1.0) for side in size]
        steps = [side / count for side, count in zip(size, bins)]
        grid = [ratio if ratio > 0 else int(-(-step // 1)) for step in steps]
        for c in range(features.shape[1]):
            plane = features[int(image), c]
            for ph in range(bins[0]):
                for pw in range(bins[1]):
                    samples = []
                    for iy in range(grid[0]):
                        for ix in range(grid[1]):
                            y = y1 + ph * steps[0] + (iy + 0.5) * steps[0] / grid[0]
                            x = x1 + pw * steps[1] + (ix + 0.5) * steps[1] / grid[1]
                            samples.append((bilinear(plane.detach(), y, x) * plane).sum())
                    if samples:
                        pooled = torch.stack(samples)
                        output[k, c, ph, pw] = pooled.max() if mode == "max" else pooled.mean()
    return output


def test_reference(reference):
    names = ("rois", "output_size", "spatial_scale", "sampling_ratio", "pool_mode", "aligned")
    for case in reference["roi_align"]:
        features = case["input"].requires_grad_()
        output = ops.roi_align(features, *(case[name] for name in names))
        assert_close(output, case["output"], rtol=0, atol=1e-5)
        (grad,) = torch.autograd.grad(output, features, case["grad_output"])
        assert_close(grad, case["grad_input"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", ["max", "avg"])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize(("ratio", "scale"), [(0, 0.5), (2, 1.0), (3, 0.25)])
def test_against_a_loop(mode, aligned, ratio, scale, device):
    features = torch.randn(2, 2, 9, 11, dtype=torch.float64)
    grad_output = torch.randn(len(ROIS), 2, 3, 2, dtype=torch.float64)
    rois = ROIS.double()
    slow = features.clone().requires_grad_()
    expected = slow_roi_align(slow, rois, (3, 2), scale, ratio, mode, aligned)
    (expected_grad,) = torch.autograd.grad(expected, slow, grad_output)
    features = features.to(device).requires_grad_()
    output = ops.roi_align(features, rois.to(device), (3, 2), scale, ratio, mode, aligned)
    (grad,) = torch.autograd.grad(output, features, grad_output.to(device))
    assert_close(output.cpu(), expected)
    assert_close(grad.cpu(), expected_grad)


def test_maximum_says_where_it_is():
    features = torch.zeros(1, 1, 6, 6)
    features[0, 0, 4, 3] = 1
    buffers = [torch.zeros(1, 1, 1, 1) for _ in range(3)]
    rois = torch.tensor([[0.0, 0, 0, 6, 6]])
    OPS["roi_align_forward"](features, rois, *buffers, 1, 1, 1.0, 6, 0, True)
    assert [buffer.item() for buffer in buffers] == [1.0, 4.0, 3.0]


def test_first_of_equal_samples_wins():
    features = torch.ones(1, 1, 6, 6, requires_grad=True)
    rois = torch.tensor([[0.0, 0.5, 0.5, 4.5, 4.5]])
    ops.roi_align(features, rois, 1, 1.0, 4, "max", True).sum().backward()
    expected = torch.zeros(1, 1, 6, 6)
    expected[0, 0, :2, :2] = 0.25  # the sample at 0.5, 0.5
    assert_close(features.grad, expected)


def test_a_sample_at_minus_one_has_no_gradient():
    # mmcv takes a y of -1 for "no maximum", although such a sample does count.
    features = torch.ones(1, 1, 4, 4, requires_grad=True)
    output = ops.roi_align(features, torch.tensor([[0.0, -1, -1, 0, 0]]), 1, 1.0, 1, "max", True)
    assert output.item() == 1
    (grad,) = torch.autograd.grad(output, features)
    assert grad.sum() == 0


def test_beyond_the_border_a_sample_is_the_border_pixel():
    # To the bit: the shares of one and the same pixel aren't added up.
    features = torch.randn(1, 50, 4, 4)
    output = ops.roi_align(features, torch.tensor([[0.0, 3, 3, 4.6, 4.6]]), 1, 1.0, 1, "max")
    assert_close(output[..., 0, 0], features[..., 3, 3], rtol=0, atol=0)


def test_a_bin_without_samples():
    features = torch.randn(1, 2, 5, 5)
    rois = torch.tensor([[0.0, 2, 2, 2, 2]])
    assert_close(ops.roi_align(features, rois, 2), torch.zeros(1, 2, 2, 2))
    maximum = ops.roi_align(features, rois, 2, 1.0, 0, "max")
    assert_close(maximum, torch.full((1, 2, 2, 2), -10000.0))


@pytest.mark.parametrize("mode", ["max", "avg"])
def test_gradients_add_up(mode):
    features = torch.randn(2, 2, 9, 11)
    sizes = {"aligned_height": 3, "aligned_width": 2, "spatial_scale": 0.5, "sampling_ratio": 2}
    flags = {"pool_mode": int(mode == "avg"), "aligned": True}
    output, argmax_y, argmax_x = (torch.zeros(5, 2, 3, 2) for _ in range(3))
    OPS["roi_align_forward"](features, ROIS, output, argmax_y, argmax_x, **sizes, **flags)
    once, twice = torch.zeros_like(features), torch.zeros_like(features)
    for grad in (once, twice, twice):
        OPS["roi_align_backward"](output, ROIS, argmax_y, argmax_x, grad, **sizes, **flags)
    assert once.abs().sum() > 0
    assert_close(twice, 2 * once)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype, device):
    features = torch.randn(2, 3, 9, 11).to(dtype)
    rois = ROIS.to(dtype)
    for mode in ("max", "avg"):
        low = features.to(device).requires_grad_()
        output = ops.roi_align(low, rois.to(device), (3, 2), 0.5, 2, mode)
        wide = features.float().requires_grad_()
        expected = ops.roi_align(wide, rois.float(), (3, 2), 0.5, 2, mode)
        assert output.dtype == dtype
        assert_close(output.cpu(), expected.to(dtype))
        (grad,) = torch.autograd.grad(output.sum(), low)
        (expected_grad,) = torch.autograd.grad(expected.sum(), wide)
        assert grad.dtype == dtype
        # mmcv's buffers keep the place of a maximum in the type of the features.
        atol = 0.05 if mode == "avg" else 0.25
        assert_close(grad.cpu().float(), expected_grad, rtol=0.02, atol=atol)


def test_under_autocast():
    features, rois = torch.randn(2, 3, 9, 11), ROIS
    expected = ops.roi_align(features, rois, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(ops.roi_align(features, rois, 2), expected, rtol=0, atol=0)


@pytest.mark.parametrize("mode", ["max", "avg"])
def test_no_rois(mode, device):
    features = torch.randn(1, 3, 5, 5, device=device, requires_grad=True)
    output = ops.roi_align(features, torch.zeros(0, 5, device=device), 2, 1.0, 0, mode)
    assert output.shape == (0, 3, 2, 2)
    output.sum().backward()
    assert_close(features.grad, torch.zeros_like(features))


@pytest.mark.parametrize("mode", ["max", "avg"])
def test_a_negative_size_is_refused_on_the_cpu(mode):
    features = torch.randn(1, 1, 5, 5)
    rois = torch.tensor([[0.0, 1, 1, 2, 2], [0, 3, 1, 2, 2]])
    with pytest.raises(RuntimeError, match=r"RoI 1, \[0.0, 3.0, 1.0, 2.0, 2.0\].*negative"):
        ops.roi_align(features, rois, 2, 1.0, 2, mode, True)
    ops.roi_align(features, rois, 2, 1.0, 2, mode, False)


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_several_threads_give_what_one_gives(layout, mode, all_threads):
    # Large RoIs and small ones, so that threads don't end in the order they began.
    x = torch.randn(2, 4, 30, 40).to(memory_format=layout)
    rois = torch.rand(101, 5) * 15
    rois[:, 0] = torch.arange(101) % 2
    rois[:, 3:] += 15
    rois[::3, 3:] = rois[::3, 1:3] + 1
    torch.set_num_threads(1)
    expected = ops.roi_align(x, rois, (7, 7), 1.0, 0, "avg", True)
    torch.set_num_threads(3)
    with mode():
        found = ops.roi_align(x.requires_grad_(), rois, (7, 7), 1.0, 0, "avg", True)
    assert torch.equal(found, expected)
    if mode is torch.enable_grad:
        found.sum().backward()
        assert x.grad.abs().sum() > 0

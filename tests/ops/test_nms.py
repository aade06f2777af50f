import math

import numpy as np
import pytest
import torch
from mmcv import ops
from torch.testing import assert_close

F32 = np.float32


def boxes_and_scores(n, size=40, whole=False):
    corner = torch.rand(n, 2) * size
    boxes = torch.cat([corner, corner + 2 + torch.rand(n, 2) * size / 2], 1)
    scores = torch.rand(n)
    if whole:  # whole pixels and few scores give ties in both
        return boxes.round(), (scores * 8).round() / 8
    return boxes, scores


def overlap(a, b, offset):
    def area(box):
        return F32(F32(F32(box[2] - box[0]) + offset) * F32(F32(box[3] - box[1]) + offset))

    width = max(F32(0), F32(F32(min(a[2], b[2]) - max(a[0], b[0])) + offset))
    height = max(F32(0), F32(F32(min(a[3], b[3]) - max(a[1], b[1])) + offset))
    inter = F32(width * height)
    with np.errstate(invalid="ignore", divide="ignore"):
        return inter / F32(F32(area(a) + area(b)) - inter)


def slow_greedy(boxes, scores, hits, offset):
    boxes = boxes.numpy()
    order = sorted(range(len(boxes)), key=lambda i: -scores[i].item())
    groups, gone = [], set()
    for place, i in enumerate(order):
        if i in gone:
            continue
        group = [i]
        for j in order[place + 1 :]:
            if j not in gone and hits(overlap(boxes[i], boxes[j], offset)):
                gone.add(j)
                group.append(j)
        groups.append(group)
    return groups


def slow_soft_nms(boxes, scores, threshold, sigma, min_score, method, offset):
    """The loop of mmcv's C++ source, one element at a time."""
    box, score, index = list(boxes.numpy()), list(scores.numpy()), list(range(len(boxes)))
    threshold, sigma, min_score = F32(threshold), F32(sigma), F32(min_score)

    def swap(i, j):
        for values in (box, score, index):
            values[i], values[j] = values[j], values[i]

    n, i = len(box), 0
    while i < n:
        best = i
        for j in range(i + 1, n):
            if score[best] < score[j]:
                best = j
        swap(i, best)
        j = i + 1
        while j < n:
            iou = overlap(box[i], box[j], offset)
            weight = F32(1)
            if method == "gaussian":
                weight = F32(math.exp(-F32(iou * iou) / sigma))
            elif iou >= threshold:
                weight = F32(1 - iou) if method == "linear" else F32(0)
            score[j] = F32(score[j] * weight)
            if score[j] < min_score:
                for values in (box, score, index):
                    values[j] = values[n - 1]
                n -= 1
            else:
                j += 1
        i += 1
    dets = np.column_stack([np.array(box[:n]).reshape(-1, 4), np.array(score[:n])])
    return torch.from_numpy(dets), torch.tensor(index[:n], dtype=torch.long)


def test_nms_reference(reference):
    for case in reference["nms"]:
        names = ("boxes", "scores", "iou_threshold", "offset", "score_threshold", "max_num")
        dets, inds = ops.nms(*(case[name] for name in names))
        assert_close(inds, case["inds"], rtol=0, atol=0)
        assert_close(dets, case["dets"], rtol=0, atol=0)


def test_soft_nms_reference(reference):
    names = ("boxes", "scores", "iou_threshold", "sigma", "min_score", "method", "offset")
    for case in reference["soft_nms"]:
        dets, inds = ops.soft_nms(*(case[name] for name in names))
        assert_close(inds, case["inds"], rtol=0, atol=0)
        assert_close(dets, case["dets"], rtol=0, atol=1e-5)


def test_batched_nms_reference(reference):
    for case in reference["batched_nms"]:
        dets, inds = ops.batched_nms(case["boxes"], case["scores"], case["idxs"], case["nms_cfg"])
        assert_close(inds, case["inds"], rtol=0, atol=0)
        assert_close(dets, case["dets"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_nms_is_the_greedy_loop(offset, whole, threshold, device):
    boxes, scores = boxes_and_scores(80, whole=whole)
    groups = slow_greedy(boxes, scores, lambda iou: iou > F32(threshold), offset)
    dets, inds = ops.nms(boxes.to(device), scores.to(device), threshold, offset)
    assert inds.tolist() == [group[0] for group in groups]
    assert 0 < len(inds) < 80
    assert_close(dets.cpu(), torch.cat([boxes[inds.cpu()], scores[inds.cpu()][:, None]], 1))


@pytest.mark.parametrize("offset", [0, 1])
def test_an_iou_equal_to_the_threshold_in_float32_is_kept(offset):
    # IoU 6 / 10, and float32's 0.6 is larger than float64's.
    boxes = torch.tensor([[0.0, 0, 10, 1], [0, 0, 6, 1]])
    boxes[:, 2:] -= offset
    _, inds = ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.6, offset)
    assert inds.tolist() == [0, 1]


def test_offset_is_added_after_the_difference():
    # In float32 x2 - x1 + 1 and (x2 + 1) - x1 differ for these; only the first order of
    # operations gives mmcv's verdicts on all of them.
    boxes, scores = boxes_and_scores(60, size=3)
    pair = [(i, j) for i in range(60) for j in range(i)]
    for i, j in pair[::9]:
        iou = float(overlap(boxes[i].numpy(), boxes[j].numpy(), 1))
        for threshold in (iou, float(np.nextafter(F32(iou), F32(0)))):
            _, inds = ops.nms(boxes[[i, j]], scores[[i, j]], threshold, 1)
            assert len(inds) == (2 if threshold == iou else 1)


@pytest.mark.parametrize("whole", [False, True])
def test_nms_match(whole):
    boxes, scores = boxes_and_scores(60, whole=whole)
    expected = slow_greedy(boxes, scores, lambda iou: iou >= F32(0.3), 0)
    matched = ops.nms_match(torch.cat([boxes, scores[:, None]], 1), 0.3)
    assert [group.tolist() for group in matched] == expected
    assert any(len(group) > 1 for group in expected)
    assert all(group.dtype == torch.long for group in matched)


def test_nms_match_takes_an_equal_iou():
    dets = np.array([[0, 0, 10, 1, 0.9], [0, 0, 5, 1, 0.8]], dtype=np.float32)
    assert [group.tolist() for group in ops.nms_match(dets, 0.5)] == [[0, 1]]


@pytest.mark.parametrize("method", ["naive", "linear", "gaussian"])
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("whole", [False, True])
def test_soft_nms_is_the_loop_of_mmcv(method, offset, whole):
    boxes, scores = boxes_and_scores(60, size=25, whole=whole)
    arguments = (0.3, 0.5, 0.2, method, offset)
    dets, inds = ops.soft_nms(boxes, scores, *arguments)
    expected_dets, expected_inds = slow_soft_nms(boxes, scores, *arguments)
    assert inds.tolist() == expected_inds.tolist()
    assert_close(dets, expected_dets, rtol=1e-5, atol=1e-6)
    assert 0 < len(inds) < 60


def test_soft_nms_of_boxes_without_area():
    boxes = torch.tensor([[4.0, 3, 5, 3], [4, 3, 5, 4], *[[3, 1, 3, 1]] * 4])
    scores = torch.tensor([0.9, 0.9, 0.5, 0.5, 0.4, 0.0])
    for method in ("naive", "linear", "gaussian"):
        dets, inds = ops.soft_nms(boxes, scores, 0.6, 0.5, 1e-3, method)
        expected = slow_soft_nms(boxes, scores, 0.6, 0.5, 1e-3, method, 0)
        assert inds.tolist() == expected[1].tolist()
        assert_close(dets, expected[0], equal_nan=True)


def test_soft_nms_keeps_its_arguments():
    boxes, scores = boxes_and_scores(20)
    before = boxes.clone(), scores.clone()
    ops.soft_nms(boxes, scores)
    assert_close((boxes, scores), before, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_give_the_float32_verdict(dtype, device):
    boxes, scores = boxes_and_scores(50, whole=True)
    low = boxes.to(device, dtype), scores.to(device, dtype)
    assert_close(low[0].cpu().float(), boxes, rtol=0, atol=0)
    for offset in (0, 1):
        dets, inds = ops.nms(*low, 0.4, offset)
        assert dets.dtype == dtype
        assert inds.tolist() == ops.nms(boxes, scores, 0.4, offset)[1].tolist()
    dets, inds = ops.soft_nms(*low)
    expected, expected_inds = ops.soft_nms(boxes, scores)
    assert dets.dtype == dtype
    assert inds.tolist() == expected_inds.tolist()
    assert_close(dets.cpu(), expected.to(dtype))
    matched = ops.nms_match(torch.cat([low[0], low[1][:, None]], 1), 0.4)
    wide = ops.nms_match(torch.cat([boxes, scores[:, None]], 1), 0.4)
    assert [group.tolist() for group in matched] == [group.tolist() for group in wide]


@pytest.mark.parametrize("offset", [0, 1])
def test_no_boxes(offset, device):
    boxes, scores = torch.zeros(0, 4, device=device), torch.zeros(0, device=device)
    for dets, inds in (
        ops.nms(boxes, scores, 0.5, offset),
        ops.soft_nms(boxes, scores, offset=offset),
    ):
        assert dets.shape == (0, 5)
        assert inds.shape == (0,)
        assert inds.dtype == torch.long
    assert ops.nms_match(torch.zeros(0, 5), 0.5) == []


def test_inputs_that_require_gradients():
    boxes, scores = boxes_and_scores(10)
    boxes.requires_grad_()
    dets, _ = ops.nms(boxes, scores.requires_grad_(), 0.5, 1)
    assert dets.requires_grad
    assert not ops.soft_nms(boxes, scores)[1].requires_grad

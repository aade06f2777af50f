"""Weights of classes are found by the names of the classes, in every kind of head."""

import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from vanillanet_det.analysis.class_rows import match_classes

pytestmark = pytest.mark.usefixtures("mmdet_scope")
OLD, NEW = ("cat", "dog", "emu"), ("emu", "gnu", "cat", "fox")


SIGMOID = dict(type="FocalLoss", use_sigmoid=True)
SOFTMAX = dict(type="CrossEntropyLoss", use_sigmoid=False)
RETINA = dict(
    type="RetinaHead",
    in_channels=4,
    feat_channels=4,
    stacked_convs=1,
    anchor_generator=dict(type="AnchorGenerator", scales=[8], ratios=[0.5, 1, 2], strides=[8]),
)
COARSE = dict(
    type="CoarseMaskHead",
    num_convs=0,
    in_channels=4,
    fc_out_channels=8,
    num_fcs=1,
    roi_feat_size=4,
    downsample_factor=2,
)
EXTRACTOR = dict(
    type="SingleRoIExtractor",
    roi_layer=dict(type="RoIAlign", output_size=4),
    out_channels=4,
    featmap_strides=[4],
)
SIZES = dict(type="YOLOAnchorGenerator", base_sizes=[[(8, 8), (9, 4)]], strides=[8])
YOLO = dict(in_channels=[4], out_channels=[8], featmap_strides=[8], anchor_generator=SIZES)
HEADS = dict(
    sigmoid=dict(RETINA, loss_cls=SIGMOID),
    softmax=dict(RETINA, loss_cls=SOFTMAX),
    rcnn=dict(type="Shared2FCBBoxHead", in_channels=2, fc_out_channels=8, roi_feat_size=2),
    mask=dict(type="FCNMaskHead", num_convs=1, in_channels=4, conv_out_channels=4),
    coarse=dict(type="StandardRoIHead", mask_head=COARSE, mask_roi_extractor=EXTRACTOR),
    point=dict(type="MaskPointHead", in_channels=4, fc_channels=4, num_fcs=1),
    yolo=dict(type="YOLOV3Head", **YOLO),
)


def make(kind, count):
    """Config of a head."""
    cfg = copy.deepcopy(HEADS[kind])
    cfg.get("mask_head", cfg)["num_classes"] = count
    return cfg


def by_class(kind, name, tensor, count):
    """The entries of a class layer by class, as MMDetection's heads read their outputs."""
    if kind in ("sigmoid", "softmax"):
        rows = tensor.reshape(3, -1, *tensor.shape[1:]).transpose(0, 1)
    elif kind == "yolo":
        rows = tensor.reshape(2, 5 + count, *tensor.shape[1:]).transpose(0, 1)
        rows = torch.cat([rows[5:], rows[:5]])
    elif kind == "point" and tensor.ndim > 1:  # features of the coarse mask are inputs, too
        rows = tensor[:, 4:].transpose(0, 1) if "fcs" in name else tensor
    elif "reg" in name or kind == "coarse":
        rows = tensor.reshape(count, -1, *tensor.shape[1:])
    else:
        rows = tensor
    return rows[:count], rows[count:]


@pytest.mark.parametrize("kind", HEADS)
def test_each_class_gets_its_own_rows(kind):
    old, new = (MODELS.build(make(kind, len(names))) for names in (OLD, NEW))
    for number, parameter in enumerate([*old.parameters(), *new.parameters()]):
        torch.manual_seed(number)
        torch.nn.init.normal_(parameter)
    state, initial = old.state_dict(), new.state_dict()
    rows = match_classes(make(kind, len(NEW)), OLD, NEW)
    assert rows.tensors
    found = dict(state)
    rows.convert(found, initial)
    new.load_state_dict(found)
    for name, tensor in state.items():
        if name not in rows.tensors:
            assert torch.equal(found[name], tensor)
            continue
        if kind == "point" and "fc_logits" in name and tensor.ndim > 1:
            continue  # classes in both dimensions
        before, others = by_class(kind, name, tensor, len(OLD))
        after, same = by_class(kind, name, found[name], len(NEW))
        random, _ = by_class(kind, name, initial[name], len(NEW))
        for index, label in enumerate(NEW):
            expected = before[OLD.index(label)] if label in OLD else random[index]
            assert torch.equal(after[index], expected), (name, label)
        assert torch.equal(same, others)


def test_classes_in_both_dimensions():
    old, new = (MODELS.build(make("point", len(names))).state_dict() for names in (OLD, NEW))
    name = "fc_logits.weight"
    filled = match_classes(make("point", len(NEW)), OLD, NEW).fill(name, old[name], new[name])
    assert filled.shape == new[name].shape
    assert torch.equal(filled[0, :4], old[name][2, :4])
    assert torch.equal(filled[0, 4 + 2], old[name][2, 4 + 0])
    assert torch.equal(filled[1], new[name][1])
    assert torch.equal(filled[0, 4 + 1], new[name][0, 4 + 1])


def test_the_same_classes_in_another_order_lose_nothing():
    cfg = make("softmax", 3)
    state = MODELS.build(cfg).state_dict()
    initial = MODELS.build(cfg).state_dict()
    there = dict(state)
    match_classes(cfg, OLD, OLD[::-1]).convert(there, initial)
    assert not torch.equal(there["retina_cls.weight"], state["retina_cls.weight"])
    back = dict(there)
    match_classes(cfg, OLD[::-1], OLD).convert(back, initial)
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_unknown_classes_leave_no_rows_and_other_shapes_are_left_to_the_loader():
    cfg = make("sigmoid", 3)
    state = MODELS.build(cfg).state_dict()
    for old in ((), ("a", "b", "c")):
        found = dict(state)
        match_classes(cfg, old, OLD).convert(found, state)
        assert state.keys() - found.keys() == {"retina_cls.weight", "retina_cls.bias"}
    assert match_classes(None, (), OLD) is None  # a model without a config
    # Of another number of anchors: nothing can be said about its rows.
    other = {**state, "retina_cls.weight": state["retina_cls.weight"][:4]}
    found = dict(other)
    rows = match_classes(cfg, OLD[::-1], OLD)
    rows.convert(found, state)
    assert found["retina_cls.weight"] is other["retina_cls.weight"]


def test_what_it_says(log):
    cfg = make("sigmoid", 4)
    assert match_classes(cfg, NEW, NEW) is None
    assert (
        match_classes(dict(type="FPN", in_channels=[4], out_channels=4, num_outs=1), OLD, NEW)
        is None
    )
    text = "Weights of the classes: "
    assert (
        str(match_classes(cfg, OLD, NEW))
        == f"{text}taken by name for emu, cat; random for gnu, fox"
    )
    assert (
        str(match_classes(cfg, (), NEW)) == f"{text}random, since the file doesn't name its classes"
    )
    broken = Config(dict(m=dict(cfg, anchor_generator=None))).m
    assert match_classes(broken, OLD, NEW) is None
    assert "loaded by position instead of by name" in log.text

"""Any model, in every form it has, on tensors without data or else on the CPU."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import nn

from vanillanet_det import UserError, switch_to_deploy
from vanillanet_det.analysis import Cost, count_complexity
from vanillanet_det.analysis.forms import count_forms
from vanillanet_det.analysis.meta import build_on_meta

pytestmark = pytest.mark.usefixtures("mmdet_scope")

DIMS, SIDE, ACT_NUM = [4, 8, 12], 64, 2
SMALL = dict(type="VanillaNet", arch=dict(dims=DIMS, strides=[2, 2]), act_num=ACT_NUM)
# For each of 1,000 boxes two layers, the classes and the boxes of each of them.
BOX_HEAD = 1000 * 1024 * (256 * 49 + 1024 + 81 + 4 * 80)
# Height times width of the stem's feature, and of those behind the two stages.
AREAS = [(SIDE // 4) ** 2, (SIDE // 8) ** 2, (SIDE // 16) ** 2]


def test_series_activations_by_hand():
    counted = count_forms(SMALL, (SIDE, SIDE))
    assert counted.device == "meta"
    kernel = (2 * ACT_NUM + 1) ** 2
    activations = sum(width * area for width, area in zip(DIMS, AREAS))
    # Each of the three has ReLU, the convolution and, in the training form, BatchNorm.
    for name, per_channel, kernels in (("training", kernel + 2, 9), ("fused", kernel + 1, 6)):
        assert counted.forms[name].series_activation == Cost(
            sum(DIMS) * per_channel, activations * kernel, activations, kernels
        )


def test_both_forms_by_hand():
    forms = count_forms(SMALL, (SIDE, SIDE)).forms
    # A stage's convolutions run before its pooling; fused there is one of the two.
    stem, fused = DIMS[0] * 3 * 16 * AREAS[0], 0
    for (before, after), area in zip([(4, 8), (8, 12)], AREAS):
        fused += before * after * area
    training = fused + DIMS[0] ** 2 * AREAS[0] + 4**2 * AREAS[0] + 8**2 * AREAS[1]
    series = forms["fused"].series_activation.flops
    assert forms["fused"].total.flops == stem + fused + series
    assert forms["training"].total.flops == stem + training + series
    for name, form in forms.items():
        model = MODELS.build(dict(SMALL, deploy=name == "fused"))
        assert form.total.parameters == sum(p.numel() for p in model.parameters())


def test_tensors_without_data_count_as_real_ones():
    with torch.device("meta"):
        expected = count_complexity(MODELS.build(dict(SMALL, deploy=True)), (SIDE, SIDE))
    assert switch_to_deploy(build_on_meta(SMALL)).stem[0].weight.is_meta
    assert count_complexity(switch_to_deploy(build_on_meta(SMALL)), (SIDE, SIDE)) == expected
    assert count_complexity(switch_to_deploy(MODELS.build(SMALL)), (SIDE, SIDE)) == expected


def test_a_model_with_nothing_to_fuse_has_one_form():
    for model in (dict(type="ResNet", depth=18), dict(SMALL, deploy=True)):
        forms = count_forms(model, (SIDE, SIDE)).forms
        assert list(forms) == ["model"]
    assert (
        count_forms(dict(type="ResNet", depth=18), (64, 64)).forms["model"].series_activation
        is None
    )


# Counted with fvcore, which adds the normalisations, at most 0.5 % of these.
@pytest.mark.parametrize(
    ("config", "parameters", "flops"),
    [
        ("retinanet/retinanet_r50_fpn_1x_coco", 37.97, 239.0),
        ("mask_rcnn/mask-rcnn_r50_fpn_1x_coco", 44.40, 259.8),
        ("swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco", 47.79, 267.0),
    ],
)
def test_detectors_of_mmdetection(config, parameters, flops):
    model = mmdet_config(config).model
    model.backbone.init_cfg = None
    counted = count_forms(model, (800, 1280))
    assert counted.device == "meta"
    total = counted.forms["model"].total
    assert round(total.parameters / 1e6, 2) == parameters
    assert total.flops / 1e9 == pytest.approx(flops, rel=0.005)
    assert counted.forms["model"].uncounted == ()


def mmdet_config(name):
    mmdet = pytest.importorskip("mmdet")
    return Config.fromfile(f"{mmdet.__path__[0]}/.mim/configs/{name}.py")


def test_a_cascade_sees_as_many_regions_in_every_stage():
    plain = count_forms(mmdet_config("mask_rcnn/mask-rcnn_r50_fpn_1x_coco").model, (320, 320))
    model = mmdet_config("cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco").model
    cascade = count_forms(model, (320, 320)).forms["model"].parts["roi_head"]
    once = plain.forms["model"].parts["roi_head"].flops
    # Its heads know the box of no class but one: 4 outputs instead of 4 x 80.
    assert cascade.flops == 3 * (once - 1000 * 1024 * (4 * 80 - 4))


def test_an_extractor_with_layers_of_its_own_runs_them():
    model = mmdet_config("groie/faste-rcnn_r50_fpn_groie_1x_coco").model
    counted = count_forms(model, (320, 320))
    assert counted.device == "meta"
    # In front of the sum over 4 levels each region goes through 5 x 5 convolutions.
    extra = counted.forms["model"].parts["roi_head"].flops - BOX_HEAD
    assert extra > 4 * 1000 * 7 * 7 * 256 * 256 * 25


@pytest.mark.slow
def test_sparse_proposals_are_those_of_the_config():
    model = mmdet_config("sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco").model
    model.backbone.update(depth=18, init_cfg=None)
    model.neck.in_channels = [64, 128, 256, 512]
    flops = []
    for proposals in (10, 20):
        model.rpn_head.num_proposals = proposals
        model.roi_head.update(num_stages=1, stage_loss_weights=[1])
        model.roi_head.bbox_head = model.roi_head.bbox_head[:1]
        flops.append(count_forms(model, (64, 64)).forms["model"].parts["roi_head"].flops)
    # Proposals attend to each other: the count grows a little faster than they do.
    assert 2 * flops[0] < flops[1] < 2.1 * flops[0]


@MODELS.register_module()
class ReadsValues(nn.Module):
    """A network that decides by a value what to do."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.threshold = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return self.conv(x) if self.threshold > -1 else x


def test_a_model_that_needs_values_is_counted_on_the_cpu():
    counted = count_forms(dict(type="ReadsValues"), (10, 10))
    assert counted.device == "cpu"
    assert counted.forms["model"].total == Cost(4 * 27 + 4 + 1, 8 * 8 * 4 * 27, 8 * 8 * 4, 3)


@MODELS.register_module()
class TiedAndBuiltFromValues(nn.Sequential):
    """Two layers with one weight, and a constructor that reads a value."""

    def __init__(self):
        super().__init__(nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False))
        self[1].weight = self[0].weight
        self.rates = torch.linspace(0, 1, 3).tolist()


def test_a_constructor_that_reads_values_is_no_hindrance():
    counted = count_forms(dict(type="TiedAndBuiltFromValues"), (10, 10))
    assert counted.device == "meta"
    assert counted.forms["model"].total == Cost(9, 2 * 9 * 100, 2 * 3 * 100, 2)


def test_a_deformable_convolution_is_named():
    model = dict(
        type="ResNet",
        depth=50,
        base_channels=8,
        dcn=dict(type="DCNv2", deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, False, False, True),
    )
    (form,) = count_forms(model, (64, 64)).forms.values()
    assert len(form.uncounted) == 1
    assert "ModulatedDeformConv2dPack" in form.uncounted[0]


def test_a_size_too_small_is_told_from_a_model_that_can_not_run():
    with pytest.raises(
        UserError, match=r"--input-size 8x8: the model can't process this size, unlike 800x1280"
    ):
        count_forms(SMALL, (8, 8))
    with pytest.raises(UserError, match="the model can't run on an image of 2 x 2: "):
        count_forms(dict(type="ReadsValues"), (2, 2))

import copy

import pytest
import torch
from small_detectors import crops, small_detector

from vanillanet_det import VanillaNet
from vanillanet_det.benchmark.random_weights import prepare_random_weights
from vanillanet_det.models.precision import to_precision

pytestmark = pytest.mark.usefixtures("mmdet_scope")
HALF = pytest.param(
    torch.float16,
    marks=pytest.mark.skipif(torch.__version__ < (2, 2), reason="PyTorch 2.1 has no fp16 on CPUs"),
)
WIDE = (64, 640)  # at 512 and more a bfloat16 is a multiple of 4


@pytest.fixture
def make(root):
    def make(config):
        detector = small_detector(root, config)
        prepare_random_weights(detector, data())
        return detector

    return make


def data():
    return crops([(100, 0)], WIDE)


@torch.inference_mode()
def predict(detector):
    return detector.test_step(data())[0].pred_instances


def converted(detector, dtype=torch.bfloat16):
    other = copy.deepcopy(detector)
    to_precision(other, dtype)
    return other


CONFIGS = ["retinanet_vanillanet5_coco", "mask_rcnn_vanillanet5_coco"]


@pytest.mark.parametrize("config", [*CONFIGS, "cascade_rcnn_vanillanet11_coco"])
def test_boxes_are_those_of_float32(make, config):
    detector = make(config)
    expected, found = predict(detector), predict(converted(detector))
    assert found.bboxes.dtype == torch.float32
    assert len(found) == pytest.approx(len(expected), abs=10)
    # Where a bfloat16 is a multiple of 2 or 4, hardly any four coordinates are near by chance. Not
    # all boxes are the same: a score that moves a little decides which one of two NMS keeps.
    far = expected[expected.bboxes[:, 0] > 256]
    moved = (far.bboxes[:, None] - found.bboxes).abs().amax(2)
    moved[far.labels[:, None] != found.labels] = torch.inf

    assert len(far) > 10
    assert (moved.amin(1) < 0.5).float().mean() > 0.4


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, HALF])
def test_everything_up_to_the_boxes_is_computed_in_it(make, config, dtype):
    detector = converted(make(config), dtype)
    assert {tensor.dtype for tensor in detector.parameters()} == {dtype}
    seen = {}

    def watch(name):
        def look(module, args, output):
            seen[name] = output[0].dtype

        return look

    for name, module in detector.named_modules():
        if not list(module.children()) and list(module.parameters()):
            module.register_forward_hook(watch(name))
    predict(detector)
    layers = {n for n, m in detector.named_modules() if isinstance(m, torch.nn.Conv2d)}
    assert layers - {f"neck.{n}" for n, _ in detector.neck.named_modules()} <= seen.keys()
    assert set(seen.values()) == {dtype}


def test_what_decodes_is_float32(make):
    detector = converted(make("mask_rcnn_vanillanet5_coco"))
    dtypes = []
    for path in ("rpn_head", "roi_head.bbox_head", "roi_head.mask_head"):
        head = detector.get_submodule(path)
        head.register_forward_hook(lambda m, args, output: dtypes.extend(_dtypes(output)))
    for path in ("roi_head.bbox_roi_extractor", "roi_head.mask_roi_extractor"):
        layer = detector.get_submodule(path).roi_layers[0]
        layer.register_forward_pre_hook(lambda m, args: dtypes.extend(_dtypes(args)))
    predict(detector)
    assert len(dtypes) == 5 * 2 + 2 + 1 + 2 * 2
    assert set(dtypes) == {torch.float32}


def _dtypes(value):
    if isinstance(value, torch.Tensor):
        return [value.dtype]
    return [dtype for item in value for dtype in _dtypes(item)]


def test_images_are_normalised_before_they_are_rounded(make):
    detector = make("retinanet_vanillanet5_coco")
    expected = detector.data_preprocessor(data())["inputs"]
    to_precision(detector, torch.bfloat16)
    assert detector.data_preprocessor.mean.dtype == torch.float32
    assert torch.equal(detector.data_preprocessor(data())["inputs"], expected.bfloat16())


@pytest.mark.parametrize("config", ["retinanet_swin_tiny_coco", "retinanet_convnextv2_nano_coco"])
def test_peers_run_in_it(make, config):
    assert len(predict(converted(make(config)))) > 50


def test_a_bare_backbone():
    backbone = VanillaNet(dict(dims=[8, 16], strides=[2])).eval()
    to_precision(backbone, torch.bfloat16)
    features = backbone(torch.rand(1, 3, 32, 32).bfloat16())
    assert {feature.dtype for feature in features} == {torch.bfloat16}


def test_float32_changes_nothing(make):
    detector = make("retinanet_vanillanet5_coco")
    to_precision(detector, torch.float32)
    assert {tensor.dtype for tensor in detector.parameters()} == {torch.float32}
    assert not any(module._forward_hooks for module in detector.modules())

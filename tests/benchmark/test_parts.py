from statistics import median
from types import SimpleNamespace

import pytest
import torch
from small_detectors import crops, small_detector

from vanillanet_det import switch_to_deploy
from vanillanet_det.benchmark.random_weights import prepare_random_weights
from vanillanet_det.benchmark.timing import part_times

pytestmark = pytest.mark.usefixtures("mmdet_scope")
SIZE = (96, 128)
SLOW = 0.5  # seconds by the clock of these tests, which a busy machine doesn't disturb


class Clock:
    """Clock on which nothing but sleeping takes time."""

    def __init__(self):
        self.seconds = 0.0

    def perf_counter(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds


def no_device():
    pass


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    module = SimpleNamespace(perf_counter=clock.perf_counter)
    monkeypatch.setattr("vanillanet_det.benchmark.timing.time", module)
    return clock


@pytest.fixture
def make(root):
    def make(config):
        detector = small_detector(root, config)
        prepare_random_weights(detector, crops([(0, 0)], SIZE))
        return detector

    return make


@torch.inference_mode()
def times(detector, repeats=1):
    return part_times(detector, crops([(100, 200)], SIZE), repeats, no_device)


def hooks(detector):
    return [
        hook
        for module in detector.modules()
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    ]


def slow_down(clock, owner, name="forward"):
    call = getattr(owner, name)

    def slow(*args, **kwargs):
        clock.sleep(SLOW)
        return call(*args, **kwargs)

    setattr(owner, name, slow)


STAGES = ["backbone stem", "backbone stage 1", "backbone stage 2", "backbone stage 3"]
DENSE = ["neck", "head", "decode and NMS"]
R_CNN = ["neck", "RPN head", "RoI pooling", "box head"]


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ("retinanet_vanillanet5_coco", [*STAGES, *DENSE]),
        ("retinanet_swin_tiny_coco", [*STAGES, "backbone stage 4", *DENSE]),
        ("retinanet_convnextv2_nano_coco", [*STAGES, "backbone stage 4", *DENSE]),
        (
            "mask_rcnn_resnet50_coco",
            [*STAGES, "backbone stage 4", *R_CNN, "mask head", "decode and NMS"],
        ),
        ("cascade_rcnn_vanillanet11_coco", [*STAGES, *R_CNN, "decode and NMS"]),
    ],
)
def test_names_in_order_of_computing(make, config, names):
    found = times(make(config))
    assert list(found) == ["pre-processing", *names]
    assert min(found.values()) > 0


def test_the_fused_form_has_the_same_parts(make):
    detector = make("retinanet_vanillanet5_coco")
    assert list(times(switch_to_deploy(detector))) == list(times(detector))


def test_parts_add_up_to_the_median_whole(make, clock):
    detector = make("mask_rcnn_vanillanet5_coco")
    wholes = []
    test_step = detector.test_step

    def timed(data):
        begin = clock.seconds
        clock.sleep((0.3, 0.1, 0.2)[len(wholes)])
        result = test_step(data)
        wholes.append(clock.seconds - begin)
        return result

    detector.test_step = timed
    found = times(detector, 3)
    assert sum(found.values()) == pytest.approx(median(wholes))


def test_the_clock_is_read_after_the_device_is_done(make, clock):
    detector = make("retinanet_vanillanet5_coco")
    # What a part left to the device, done when it is waited for.
    queue = []
    detector.neck.register_forward_hook(lambda *_: queue.append(SLOW))
    with torch.inference_mode():
        found = part_times(
            detector,
            crops([(0, 0)], SIZE),
            1,
            lambda: clock.sleep(queue.pop() if queue else 0),
        )
    assert found.pop("neck") == pytest.approx(SLOW)
    assert set(found.values()) == {0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "path", "part"),
    [
        ("retinanet_vanillanet5_coco", "data_preprocessor", "pre-processing"),
        ("retinanet_vanillanet5_coco", "backbone.stem2", "backbone stem"),
        ("retinanet_vanillanet5_coco", "backbone.stages.1.act", "backbone stage 2"),
        ("mask_rcnn_resnet50_coco", "backbone.maxpool", "backbone stem"),
        ("mask_rcnn_resnet50_coco", "backbone.layer1", "backbone stage 1"),
        ("retinanet_swin_tiny_coco", "backbone.norm2", "backbone stage 3"),
        ("retinanet_vanillanet5_coco", "neck.lateral_convs.0", "neck"),
        ("mask_rcnn_resnet50_coco", "rpn_head", "RPN head"),
        ("mask_rcnn_resnet50_coco", "roi_head.mask_roi_extractor", "RoI pooling"),
        ("cascade_rcnn_vanillanet11_coco", "roi_head.bbox_head.2", "box head"),
        ("mask_rcnn_resnet50_coco", "roi_head.mask_head", "mask head"),
    ],
)
def test_slowness_shows_in_its_own_part(make, clock, config, path, part):
    detector = make(config)
    slow_down(clock, detector.get_submodule(path))
    found = times(detector)
    assert found.pop(part) == pytest.approx(SLOW)
    assert set(found.values()) == {0}


def test_hooks_count_for_their_module(make, clock):
    """Such as those by which `to_precision` casts features."""
    detector = make("mask_rcnn_vanillanet5_coco")
    extractor = detector.roi_head.mask_roi_extractor
    for register in (extractor.register_forward_pre_hook, extractor.register_forward_hook):
        register(lambda *_: clock.sleep(SLOW))
    found = times(detector)
    assert found.pop("RoI pooling") == pytest.approx(2 * SLOW)
    assert set(found.values()) == {0}


def test_what_is_no_module_is_decoding(make, clock):
    detector = make("retinanet_vanillanet5_coco")
    slow_down(clock, detector.bbox_head, "predict_by_feat")
    found = times(detector)
    assert found.pop("decode and NMS") == pytest.approx(SLOW)
    assert set(found.values()) == {0}


@pytest.mark.slow
def test_a_compiled_backbone_is_one_part(make):
    detector = make("retinanet_vanillanet5_coco")
    detector.backbone = torch.compile(detector.backbone, backend="eager")
    with torch.inference_mode():
        detector.test_step(crops([(0, 0)], SIZE))
    assert list(times(detector)) == ["pre-processing", "backbone", *DENSE]


def test_no_hook_stays(make):
    detector = make("mask_rcnn_vanillanet5_coco")
    times(detector)
    assert not hooks(detector)

    def fail(*args):
        raise RuntimeError("no memory left")

    detector.neck.forward = fail
    with pytest.raises(RuntimeError, match="no memory left"):
        times(detector)
    assert not hooks(detector)

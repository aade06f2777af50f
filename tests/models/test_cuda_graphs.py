"""Networks compute the same as CUDA graphs.

Without a GPU, a graph is replaced by what is like it in every respect but speed: it computes from
the tensors that it was recorded with, and writes into the ones that it returned then.
"""

import copy
import warnings

import pytest
import torch
from mmengine.config import Config
from small_detectors import crops, small_detector
from torch import nn
from torch.testing import assert_close

from vanillanet_det import UserError, load_detector, switch_to_deploy
from vanillanet_det.analysis.meta import build_on_meta
from vanillanet_det.benchmark.random_weights import prepare_random_weights
from vanillanet_det.models import cuda_graphs
from vanillanet_det.models.cuda_graphs import GraphedModule, graph, tensors
from vanillanet_det.models.precision import to_precision

pytestmark = pytest.mark.usefixtures("mmdet_scope")
CONFIGS = [
    "retinanet_vanillanet5_coco",
    "mask_rcnn_vanillanet5_coco",
    "retinanet_resnet50_coco",
    "retinanet_swin_tiny_coco",
]


def record_on_cpu(module, inputs):
    outputs = module(*inputs)
    kept = list(tensors(outputs))

    def replay():
        for target, source in zip(kept, tensors(module(*inputs))):
            target.copy_(source)

    return replay, outputs


@pytest.fixture
def recorder(device):
    return cuda_graphs.record if device == "cuda" else record_on_cpu


@torch.no_grad()
def detect(detector, sizes, device="cpu"):
    batches = [crops([(20 * index, 10)], size) for index, size in enumerate(sizes)]
    return [detector.test_step(batch)[0].pred_instances for batch in batches]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_detections_are_the_same_for_each_image_and_shape(
    root, config, precision, device, recorder
):
    eager = small_detector(root, config)
    prepare_random_weights(eager, crops([(0, 0)]))
    to_precision(eager, precision)
    eager.to(device)
    sizes = [(128, 160), (128, 160), (96, 128), (128, 160)]
    expected = detect(eager, sizes)
    graphed = graph(copy.deepcopy(eager), recorder)
    for found, instances in zip(detect(graphed, sizes), expected):
        assert len(instances) > 0
        assert_close(found.bboxes, instances.bboxes)
        assert_close(found.scores, instances.scores)
        assert torch.equal(found.labels, instances.labels)
    assert len(expected[0]) != len(expected[1]) or not torch.equal(
        *[e.bboxes for e in expected[:2]]
    )
    head = graphed.rpn_head if hasattr(graphed, "rpn_head") else graphed.bbox_head
    assert [len(part._graphs) for part in (graphed.backbone, graphed.neck, head)] == [2, 2, 2]


def test_the_users_images_stay_as_they_are(device, recorder):
    module = graph(nn.Conv2d(3, 4, 3).to(device).eval(), recorder)
    first, second = torch.rand(2, 1, 3, 8, 8, device=device)
    before = first.clone()
    with torch.no_grad():
        module(first)
        result = module(second)
        assert torch.equal(first, before)
        assert_close(result, module.module(second))
        # What it returned is overwritten, as the docstring says.
        assert module(first) is result


def test_inference_mode_may_come_and_go(device, recorder):
    module = graph(nn.Conv2d(3, 4, 3).to(device).eval(), recorder)
    images = torch.rand(2, 1, 3, 8, 8, device=device)
    with torch.inference_mode():
        module(images[0].clone())
    with torch.no_grad():
        assert_close(module(images[1]), module.module(images[1]))
    with torch.inference_mode():
        assert_close(module(images[0].clone()), module.module(images[0]))


def test_further_shapes_are_computed_without_a_graph(root, monkeypatch, device, recorder):
    monkeypatch.setattr(cuda_graphs, "MAX_SHAPES", 1)
    eager = small_detector(root, CONFIGS[0]).to(device)
    prepare_random_weights(eager, crops([(0, 0)]))
    sizes = [(96, 128), (128, 160), (96, 128), (160, 96)]
    expected = detect(eager, sizes)
    graphed = graph(copy.deepcopy(eager), recorder)
    with pytest.warns(UserWarning, match="images had more than 1 shapes; further ones are"):
        found = detect(graphed, sizes)
    for one, other in zip(found, expected):
        assert_close(one.bboxes, other.bboxes)
    assert [len(part._graphs) for part in (graphed.backbone, graphed.neck)] == [1, 1]


def test_gradients_need_the_module_itself(device, recorder):
    module = graph(nn.Conv2d(3, 4, 3).to(device), recorder)
    module(torch.rand(1, 3, 8, 8, device=device)).sum().backward()
    assert module.module.weight.grad is not None


class Waiting(nn.Module):
    """A module that chooses by a value, which a graph can't."""

    def forward(self, images):
        return images if images.sum() > 0 else -images


def test_what_cannot_be_recorded_is_one_sentence(device):
    def refuse(module, inputs):
        raise RuntimeError("operation not permitted when stream is capturing\nand a trace")

    module = GraphedModule(Waiting(), record=refuse)
    with torch.no_grad(), pytest.raises(UserError) as raised:
        module(torch.rand(1, device=device))
    assert str(raised.value) == (
        "cuda_graph: Waiting can't be recorded (operation not permitted when stream is capturing); "
        "omit it"
    )


@pytest.mark.gpu
def test_a_module_that_waits_cannot_be_recorded():
    module = GraphedModule(Waiting().cuda())
    with torch.no_grad(), pytest.raises(UserError, match="Waiting can't be recorded"):
        module(torch.rand(1, device="cuda"))


@pytest.mark.parametrize("name", ["retinanet", "mask_rcnn"])
@pytest.mark.parametrize("backbone", ["vanillanet11", "gresnet50"])
def test_nothing_waits_for_values(root, name, backbone):
    """Without values, what waits for one fails, as it does in a graph."""
    cfg = Config.fromfile(root / f"configs/{name}_{backbone}_coco.py").model
    detector = switch_to_deploy(build_on_meta(cfg).eval())
    with torch.no_grad(), torch.device("meta"), warnings.catch_warnings():
        features = detector.extract_feat(torch.zeros(1, 3, 128, 160))
        head = detector.rpn_head if hasattr(detector, "rpn_head") else detector.bbox_head
        assert all(output.is_meta for output in tensors(head(features)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_is_refused(tmp_path):
    message = "cuda_graph: needs a CUDA GPU, but the device is cpu; omit it"
    with pytest.raises(UserError, match=message):
        load_detector(tmp_path / "any.pth", device="cpu", cuda_graph=True)

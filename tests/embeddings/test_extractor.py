"""The vector that each kind of network gives."""

import pytest
import timm
import torch
from torch.testing import assert_close

from vanillanet_det import UserError, load_detector
from vanillanet_det.embeddings.extractor import _LastFeature, load_extractor
from vanillanet_det.models.deploy import relative_error

CPU = torch.device("cpu")


def test_a_classifier_gives_the_pooled_feature_before_its_head(network, classifier, scenes):
    extractor = load_extractor(classifier, CPU, (96, 64))
    image = extractor.prepare(next(scenes.glob("*.png")))
    assert image.shape == (3, 96, 64)
    with torch.no_grad():
        expected = network.forward_features(image[None]).mean((2, 3))
        assert relative_error([extractor.network(image[None])], [expected]) < 5e-5


@pytest.mark.slow
def test_timm_with_a_file_gives_the_same(tmp_path, classifier, randomize_norms):
    image = torch.randn(2, 3, 64, 64)
    network = randomize_norms(timm.create_model("gresnet50", num_classes=3), image)
    torch.save(network.state_dict(), tmp_path / "net.pth")
    ours, theirs = (
        load_extractor(f"{prefix}{tmp_path / 'net.pth'}", CPU) for prefix in ("", "timm:gresnet50=")
    )
    with torch.no_grad():
        assert relative_error([theirs.network(image)], [ours.network(image)]) < 5e-5
    with pytest.raises(UserError, match=r"expected a file of this network"):
        load_extractor(f"timm:resnet18={classifier}", CPU)
    with pytest.raises(UserError, match=r"has no network resnet1$"):
        load_extractor("timm:resnet1", CPU)


def test_a_detector_gives_the_mean_of_its_last_feature(detector_file, scenes):
    extractor = load_extractor(str(detector_file), CPU)
    path = next(scenes.glob("*.png"))
    detector = load_detector(detector_file, device="cpu")
    data = detector.prepare(path).data
    with torch.no_grad():
        inputs = detector.model.data_preprocessor(
            dict(inputs=[data["inputs"]], data_samples=[data["data_samples"]]), False
        )["inputs"]
        expected = detector.model.backbone(inputs)[-1].mean((2, 3))
        assert_close(extractor.network(extractor.prepare(path)[None]), expected)


class TwoHeads(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.last, self.first = torch.nn.Linear(6, 2), torch.nn.Conv2d(3, 6, 1)

    def forward(self, x):
        return self.last(self.first(x).mean((2, 3)))


def test_the_last_layer_is_the_last_that_is_computed():
    network, image = TwoHeads(), torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        assert_close(_LastFeature(network)(image), network.first(image).mean((2, 3)))
        with pytest.raises(UserError, match=r"has the shape \(2, 3, 8, 8\); expected a vector"):
            _LastFeature(network.first)(image)

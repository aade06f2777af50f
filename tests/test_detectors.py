"""MMDetection's detectors over VanillaNet: forward, backward and predict on mmcv-lite."""

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.structures import InstanceData

from vanillanet_det import switch_to_deploy

pytestmark = pytest.mark.usefixtures("mmdet_scope")
ARCH = dict(dims=[8, 16, 16, 16], strides=[2, 2, 2])


def retinanet(root):
    model = Config.fromfile(root / "configs/retinanet_vanillanet5_digits.py").model
    model.backbone.arch = ARCH
    model.neck.in_channels = [16, 16, 16]
    return model


def mask_rcnn(root):
    """Region proposals, box and mask head with RoIAlign: most of mmcv's ops."""
    model = Config.fromfile(root / "configs/_base_/models/mask_rcnn_vanillanet.py").model
    model.backbone.update(arch=ARCH, norm_cfg=dict(type="BN"))
    model.neck.update(in_channels=ARCH["dims"], out_channels=16)
    model.rpn_head.update(in_channels=16, feat_channels=16)
    head = model.roi_head
    for extractor in (head.bbox_roi_extractor, head.mask_roi_extractor):
        extractor.out_channels = 16
    head.bbox_head.update(in_channels=16, fc_out_channels=32, num_classes=10)
    head.mask_head.update(num_convs=1, in_channels=16, conv_out_channels=16, num_classes=10)
    model.test_cfg.rpn.max_per_img = 50
    soft_nms = dict(type="soft_nms", iou_threshold=0.5)
    model.test_cfg.rcnn.update(score_thr=0.0, nms=soft_nms, max_per_img=20)
    return model


def batch(device):
    samples = []
    for _ in range(2):
        instances = InstanceData(
            bboxes=torch.tensor([[8.0, 8, 40, 40], [30, 50, 60, 90]]),
            labels=torch.tensor([1, 3]),
            masks=BitmapMasks(torch.ones(2, 96, 128).numpy().astype("uint8"), 96, 128),
        )
        meta = dict(img_shape=(96, 128), ori_shape=(96, 128), scale_factor=(1.0, 1.0))
        samples.append(DetDataSample(metainfo=meta, gt_instances=instances).to(device))
    return dict(
        inputs=[torch.randint(256, (3, 96, 128), dtype=torch.uint8)] * 2, data_samples=samples
    )


@pytest.mark.parametrize("make", [retinanet, mask_rcnn])
def test_forward_backward_and_fused_predictions(make, device, root, randomize_norms):
    model = MODELS.build(make(root)).train()
    randomize_norms(model.backbone, torch.randn(2, 3, 96, 128))
    model.to(device)
    data = model.data_preprocessor(batch(device), training=True)
    loss, logs = model.parse_losses(model(**data, mode="loss"))
    loss.backward()
    assert all("nan" not in str(float(value)) for value in logs.values())
    without = [k for k, p in model.named_parameters() if p.grad is None]
    assert not without, f"no gradient reaches {without[:3]}"

    fused = switch_to_deploy(model.eval())
    for pyramid, reference in zip(
        fused.extract_feat(data["inputs"]), model.extract_feat(data["inputs"])
    ):
        torch.testing.assert_close(pyramid, reference, rtol=1e-4, atol=1e-4)
    for sample in fused.test_step(batch(device)):
        found = sample.pred_instances
        assert len(found) > 0
        assert torch.isfinite(found.bboxes).all()
        if "masks" in found:
            assert found.masks.shape == (len(found), 96, 128)
    assert ("masks" in found) == (make is mask_rcnn)

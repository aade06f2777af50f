# RetinaNet with VanillaNet-11 on COCO 2017, from the published ImageNet weights.
_base_ = [
    "_base_/default_runtime.py",
    "_base_/models/retinanet_vanillanet.py",
    "_base_/datasets/coco_detection.py",
    "_base_/schedules/coco_12e.py",
]

model = dict(
    backbone=dict(
        arch="11",
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/vanillanet_11.pth"),
    )
)

# Cascade R-CNN with VanillaNet-11 on COCO 2017, from the published ImageNet weights. The schedule
# is the published one of Mask R-CNN.
_base_ = [
    "_base_/default_runtime.py",
    "_base_/models/cascade_rcnn.py",
    "_base_/backbones/vanillanet.py",
    "_base_/datasets/coco_detection.py",
    "_base_/schedules/coco_12e_rcnn.py",
]

model = dict(
    backbone=dict(
        _base_.pop("backbone"),
        arch="11",
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/vanillanet_11.pth"),
    ),
    neck=dict(in_channels=_base_.pop("channels")),
)

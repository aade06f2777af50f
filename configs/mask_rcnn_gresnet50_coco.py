# Mask R-CNN with GResNet-50 on COCO 2017, with VanillaNet's data and schedule.
_base_ = [
    "_base_/default_runtime.py",
    "_base_/models/mask_rcnn.py",
    "_base_/backbones/gresnet50.py",
    "_base_/datasets/coco_instance.py",
    "_base_/schedules/coco_12e_rcnn.py",
]

model = dict(
    backbone=_base_.pop("backbone"),
    neck=dict(in_channels=_base_.pop("channels")),
)

# RetinaNet with GResNet-50 on COCO 2017, with VanillaNet's data and schedule.
_base_ = [
    "_base_/default_runtime.py",
    "_base_/models/retinanet.py",
    "_base_/backbones/gresnet50.py",
    "_base_/datasets/coco_detection.py",
    "_base_/schedules/coco_12e.py",
]

model = dict(
    backbone=dict(_base_.pop("backbone"), out_indices=(1, 2, 3)),
    neck=dict(in_channels=_base_.pop("channels")[1:]),
)

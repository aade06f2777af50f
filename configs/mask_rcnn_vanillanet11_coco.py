# Mask R-CNN with VanillaNet-11 on COCO 2017, from the published ImageNet weights.
_base_ = [
    "_base_/default_runtime.py",
    "_base_/models/mask_rcnn_vanillanet.py",
    "_base_/datasets/coco_instance.py",
    "_base_/schedules/coco_12e.py",
]

model = dict(
    backbone=dict(
        arch="11",
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/vanillanet_11.pth"),
    )
)
# The published recipe of Mask R-CNN: another lr, and a second step at the very end.
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=True, begin=0, end=12, milestones=[10, 12], gamma=0.1),
]
optim_wrapper = dict(optimizer=dict(lr=1.3e-4))

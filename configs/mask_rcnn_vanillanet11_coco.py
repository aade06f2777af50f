# Mask R-CNN with VanillaNet-11 on COCO 2017, from the published ImageNet weights.
_base_ = [
    "_base_/default_runtime.py",
    "_base_/models/mask_rcnn_vanillanet.py",
    "_base_/datasets/coco_instance.py",
    "_base_/schedules/coco_12e_rcnn.py",
]

model = dict(
    backbone=dict(
        arch="11",
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/vanillanet_11.pth"),
    )
)

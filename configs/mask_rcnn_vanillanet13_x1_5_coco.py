# Mask R-CNN with VanillaNet-13, 1.5 times as wide, from the published ImageNet weights.
_base_ = "mask_rcnn_vanillanet11_coco.py"

model = dict(
    backbone=dict(arch="13_x1_5", init_cfg=dict(checkpoint="checkpoints/vanillanet_13_x1_5.pth")),
    neck=dict(in_channels=[768, 1536, 3072, 6144]),
)

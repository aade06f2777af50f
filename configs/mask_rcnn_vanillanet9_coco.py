# Mask R-CNN with VanillaNet-9 on COCO 2017, from the published ImageNet weights.
_base_ = "mask_rcnn_vanillanet11_coco.py"

model = dict(backbone=dict(arch="9", init_cfg=dict(checkpoint="checkpoints/vanillanet_9.pth")))

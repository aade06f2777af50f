# Mask R-CNN with VanillaNet-5 on COCO 2017, from the published ImageNet weights.
_base_ = "mask_rcnn_vanillanet11_coco.py"

model = dict(backbone=dict(arch="5", init_cfg=dict(checkpoint="checkpoints/vanillanet_5.pth")))

# Mask R-CNN with VanillaNet-13 on COCO 2017, from the published ImageNet weights.
_base_ = "mask_rcnn_vanillanet11_coco.py"

model = dict(
    backbone=dict(
        arch="13",
        act_num=4,
        init_cfg=dict(checkpoint="checkpoints/vanillanet_13_act_num_4_kd_pretrain.pth"),
    )
)

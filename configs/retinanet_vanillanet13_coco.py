# RetinaNet with VanillaNet-13 on COCO 2017, from the published ImageNet weights.
_base_ = "retinanet_vanillanet11_coco.py"

model = dict(
    backbone=dict(
        arch="13",
        act_num=4,
        out_indices=(2, 9, 11),  # the last of strides 8, 16, 32 in VanillaNet-13
        init_cfg=dict(checkpoint="checkpoints/vanillanet_13_act_num_4_kd_pretrain.pth"),
    )
)

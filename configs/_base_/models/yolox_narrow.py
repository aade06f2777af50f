# YOLOX with a narrow VanillaNet, for training from random weights on a laptop. Each config sets the
# widths. Plain BN, since it trains in one process.
_base_ = "yolox.py"

norm_cfg = dict(type="BN", momentum=0.03, eps=0.001)
act_cfg = dict(type="SiLU", inplace=True)  # Swish in one pass
model = dict(
    backbone=dict(
        type="VanillaNet",
        arch=dict(dims=[48, 96, 192, 384], strides=[2, 2, 2]),
        act_num=1,
        out_indices=(1, 2, 3),
        norm_cfg=dict(type="BN"),
    ),
    neck=dict(
        _delete_=True,
        type="YOLOXPAFPN",
        in_channels=[96, 192, 384],
        out_channels=64,
        num_csp_blocks=1,
        norm_cfg=norm_cfg,
        act_cfg=act_cfg,
    ),
    bbox_head=dict(
        num_classes=10, in_channels=64, feat_channels=64, norm_cfg=norm_cfg, act_cfg=act_cfg
    ),
    test_cfg=dict(max_per_img=100),
)

del norm_cfg, act_cfg  # setting them would change nothing

# RTMDet with a narrow VanillaNet, for training from random weights on a laptop. Each config sets
# the widths. Plain BN, since it trains in one process.
_base_ = "rtmdet.py"

norm_cfg = dict(type="BN")
model = dict(
    backbone=dict(
        type="VanillaNet",
        arch=dict(dims=[96, 192, 384, 768], strides=[2, 2, 2]),
        out_indices=(1, 2, 3),
        norm_cfg=norm_cfg,
    ),
    neck=[
        dict(_base_.model.neck[0], in_channels=[192, 384, 768], out_channels=64, norm_cfg=norm_cfg),
        dict(
            _base_.model.neck[1],
            in_channels=[64, 64, 64],
            out_channels=64,
            num_csp_blocks=1,
            norm_cfg=norm_cfg,
        ),
    ],
    bbox_head=dict(num_classes=10, in_channels=64, feat_channels=64, norm_cfg=norm_cfg),
    test_cfg=dict(nms_pre=1000, score_thr=0.01, max_per_img=100),
)

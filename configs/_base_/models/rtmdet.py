# RTMDet's neck and head, on features of strides 8, 16, 32. The mapper is ours: RTMDet's neck is as
# wide as its inputs, and VanillaNet's features have thousands of channels.
model = dict(
    type="RTMDet",
    use_syncbn=False,  # every norm_cfg says it; converted ones fail in several CPU processes
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    # Each config sets the backbone, and in_channels of the mapper to its features' channels.
    neck=[
        dict(
            type="ChannelMapper",
            kernel_size=1,
            out_channels=256,
            norm_cfg=dict(type="SyncBN"),
            act_cfg=dict(type="SiLU", inplace=True),
        ),
        dict(
            type="CSPNeXtPAFPN",
            in_channels=[256, 256, 256],
            out_channels=256,
            num_csp_blocks=3,
            expand_ratio=0.5,
            norm_cfg=dict(type="SyncBN"),
            act_cfg=dict(type="SiLU", inplace=True),
        ),
    ],
    bbox_head=dict(
        type="RTMDetSepBNHead",
        num_classes=80,
        in_channels=256,
        feat_channels=256,
        stacked_convs=2,
        anchor_generator=dict(type="MlvlPointGenerator", offset=0, strides=[8, 16, 32]),
        bbox_coder=dict(type="DistancePointBBoxCoder"),
        loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
        with_objectness=False,
        exp_on_reg=True,
        share_conv=True,
        pred_kernel_size=1,
        norm_cfg=dict(type="SyncBN"),
        act_cfg=dict(type="SiLU", inplace=True),
    ),
    train_cfg=dict(
        assigner=dict(type="DynamicSoftLabelAssigner", topk=13),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=30000,
        min_bbox_size=0,
        score_thr=0.001,
        nms=dict(type="nms", iou_threshold=0.65),
        max_per_img=300,
    ),
)

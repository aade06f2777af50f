auto_scale_lr = dict(base_batch_size=4, enable=False)
custom_imports = dict(
    allow_failed_imports=False,
    imports=[
        'vanillanet_det',
        'vanillanet_det.tta',
    ])
default_hooks = dict(
    channels_last=dict(type='ChannelsLastHook'),
    check_data=dict(type='CheckDataHook'),
    check_loss=dict(type='StopAtNonFiniteLossHook'),
    check_weights=dict(type='CheckWeightsHook'),
    checkpoint=dict(
        backend_args=dict(backend='atomic'),
        interval=1,
        max_keep_ckpts=2,
        rule='greater',
        save_best='coco/bbox_mAP',
        type='CheckpointHook'),
    curves=dict(type='CurvesHook'),
    deploy=dict(type='SwitchToDeployHook'),
    interrupt=dict(type='InterruptHook'),
    logger=dict(interval=1, type='LoggerHook'),
    param_scheduler=dict(type='ParamSchedulerHook'),
    progress=dict(type='ProgressHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    sync_buffers=dict(type='SyncBuffersHook'),
    timer=dict(type='IterTimerHook'),
    visualization=dict(type='DetVisualizationHook'))
default_scope = 'mmdet'
env_cfg = dict(
    cudnn_benchmark=False,
    dist_cfg=dict(backend='nccl'),
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
finetune = dict({
    'anchors':
    'ratios [1.43, 1.57], scales [1.26, 1.68, 2.19, 2.94]; 100 % of the boxes fit one',
    'batch size': 4,
    'classes': 'even, odd',
    'data': 'photos',
    'epochs': 1,
    'form': 'YOLO',
    'learning rate': 0.00075,
    'pictures': 'resized into 160 x 160 pixels',
    'weights': 'random'
})
load_from = None
log_level = 'INFO'
log_processor = dict(by_epoch=True, type='LogProcessor', window_size=50)
model = dict(
    backbone=dict(
        arch=dict(dims=[
            8,
            16,
            16,
            16,
        ], strides=[
            2,
            2,
            2,
        ]),
        init_cfg=None,
        merged=False,
        norm_cfg=dict(type='BN'),
        out_indices=(
            1,
            2,
            3,
        ),
        type='VanillaNet'),
    bbox_head=dict(
        anchor_generator=dict(
            octave_base_scale=None,
            ratios=[
                1.43,
                1.57,
            ],
            scales=[
                1.26,
                1.68,
                2.19,
                2.94,
            ],
            scales_per_octave=None,
            strides=[
                8,
                16,
                32,
            ],
            type='AnchorGenerator'),
        bbox_coder=dict(
            target_means=[
                0.0,
                0.0,
                0.0,
                0.0,
            ],
            target_stds=[
                1.0,
                1.0,
                1.0,
                1.0,
            ],
            type='DeltaXYWHBBoxCoder'),
        feat_channels=16,
        in_channels=16,
        loss_bbox=dict(loss_weight=1.0, type='L1Loss'),
        loss_cls=dict(
            alpha=0.25,
            gamma=2.0,
            loss_weight=1.0,
            type='FocalLoss',
            use_sigmoid=True),
        num_classes=2,
        stacked_convs=1,
        type='RetinaHead'),
    data_preprocessor=dict(
        bgr_to_rgb=True,
        mean=[
            123.675,
            116.28,
            103.53,
        ],
        pad_size_divisor=32,
        std=[
            58.395,
            57.12,
            57.375,
        ],
        type='DetDataPreprocessor'),
    neck=dict(
        add_extra_convs='on_input',
        in_channels=[
            16,
            16,
            16,
        ],
        num_outs=3,
        out_channels=16,
        start_level=0,
        type='FPN'),
    test_cfg=dict(
        max_per_img=20,
        min_bbox_size=0,
        nms=dict(iou_threshold=0.5, type='nms'),
        nms_pre=1000,
        score_thr=0.05),
    train_cfg=dict(
        allowed_border=-1,
        assigner=dict(
            ignore_iof_thr=-1,
            min_pos_iou=0,
            neg_iou_thr=0.4,
            pos_iou_thr=0.5,
            type='MaxIoUAssigner'),
        debug=False,
        pos_weight=-1,
        sampler=dict(type='PseudoSampler')),
    type='RetinaNet')
optim_wrapper = dict(
    clip_grad=dict(max_norm=10.0),
    optimizer=dict(lr=0.00075, type='AdamW', weight_decay=0.05),
    paramwise_cfg=dict(bias_decay_mult=0.0, norm_decay_mult=0.0),
    type='OptimWrapper')
param_scheduler = [
    dict(
        T_max=1,
        begin=0,
        by_epoch=True,
        convert_to_iter_based=True,
        end=1,
        eta_min=7.5e-06,
        type='CosineAnnealingLR'),
]
randomness = dict(seed=0)
resume = False
test_cfg = dict(type='TestLoop')
test_dataloader = dict(
    batch_size=4,
    dataset=dict(
        ann_file='work/annotations/val.json',
        data_prefix=dict(img='photos/images'),
        data_root='',
        metainfo=dict(classes=('even', 'odd')),
        pipeline=[
            dict(type='LoadReadableImage'),
            dict(keep_ratio=True, scale=(
                160,
                160,
            ), type='Resize'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=False),
            dict(type='PackDetInputs'),
        ],
        test_mode=True,
        type='CocoDataset'),
    drop_last=False,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(shuffle=False, type='DefaultSampler'))
test_evaluator = dict(
    ann_file='work/annotations/val.json',
    metric=[
        'bbox',
    ],
    type='FasterCocoMetric')
train_cfg = dict(max_epochs=1, type='EpochBasedTrainLoop', val_interval=1)
train_dataloader = dict(
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    batch_size=4,
    dataset=dict(
        ann_file='work/annotations/train.json',
        data_prefix=dict(img='photos/images'),
        data_root='',
        filter_cfg=dict(filter_empty_gt=False, min_size=1),
        metainfo=dict(classes=('even', 'odd')),
        pipeline=[
            dict(type='LoadReadableImage'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=False),
            dict(keep_ratio=True, scale=(
                160,
                160,
            ), type='Resize'),
            dict(type='PackDetInputs'),
        ],
        type='CocoDataset'),
    num_workers=2,
    persistent_workers=True,
    sampler=dict(shuffle=True, type='DefaultSampler'))
tta_model = dict(
    tta_cfg=dict(max_per_img=100, nms=dict(iou_threshold=0.5, type='nms')),
    type='MaskTTAModel')
tta_pipeline = [
    dict(type='LoadReadableImage'),
    dict(
        transforms=[
            [
                dict(keep_ratio=True, scale=(
                    160,
                    160,
                ), type='Resize'),
                dict(keep_ratio=True, scale=(
                    128,
                    128,
                ), type='Resize'),
                dict(keep_ratio=True, scale=(
                    192,
                    192,
                ), type='Resize'),
            ],
            [
                dict(prob=0.0, type='RandomFlip'),
            ],
            [
                dict(type='LoadAnnotations', with_bbox=True),
            ],
            [
                dict(type='PackDetInputs'),
            ],
        ],
        type='TestTimeAug'),
]
val_cfg = dict(type='ValLoop')
val_dataloader = dict(
    batch_size=4,
    dataset=dict(
        ann_file='work/annotations/val.json',
        data_prefix=dict(img='photos/images'),
        data_root='',
        metainfo=dict(classes=('even', 'odd')),
        pipeline=[
            dict(type='LoadReadableImage'),
            dict(keep_ratio=True, scale=(
                160,
                160,
            ), type='Resize'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=False),
            dict(type='PackDetInputs'),
        ],
        test_mode=True,
        type='CocoDataset'),
    drop_last=False,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(shuffle=False, type='DefaultSampler'))
val_evaluator = dict(
    ann_file='work/annotations/val.json',
    metric=[
        'bbox',
    ],
    type='FasterCocoMetric')
visualizer = dict(
    name='visualizer',
    type='DetLocalVisualizer',
    vis_backends=[
        dict(type='LocalVisBackend'),
    ])

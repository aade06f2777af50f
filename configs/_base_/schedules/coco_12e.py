# The published detection recipe of VanillaNet; lr for RetinaNet on 8 GPUs x 4 images.
train_cfg = dict(type="ResumableEpochBasedTrainLoop", max_epochs=12, val_interval=1)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=True, begin=0, end=12, milestones=[10, 11], gamma=0.1),
]
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=8e-5, betas=(0.9, 0.999), weight_decay=0.05),
    constructor="LayerDecay",
    paramwise_cfg=dict(num_layers=6, decay_rate=0.6),
)
auto_scale_lr = dict(enable=False, base_batch_size=32)

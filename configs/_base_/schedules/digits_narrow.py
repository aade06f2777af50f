# Trains from random weights in minutes, 8 images at a time.
max_epochs = 8
train_cfg = dict(type="ResumableEpochBasedTrainLoop", max_epochs=max_epochs, val_interval=1)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="FusedAdamW", lr=1.5e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [dict(type="WarmUpFlatCosineLR", warm_up=100, flat=0.5, last=0.05)]
auto_scale_lr = dict(enable=False, base_batch_size=8)
randomness = dict(seed=0)

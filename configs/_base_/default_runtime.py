custom_imports = dict(imports=["vanillanet_det"], allow_failed_imports=False)
default_scope = "mmdet"

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    # The atomic backend writes a whole checkpoint or none.
    checkpoint=dict(
        type="CheckpointHook",
        interval=1,
        max_keep_ckpts=3,
        save_best="coco/bbox_mAP",
        backend_args=dict(backend="atomic"),
    ),
    check_data=dict(type="CheckDataHook"),
    check_weights=dict(type="CheckWeightsHook"),
    check_loss=dict(type="StopAtNonFiniteLossHook"),
    interrupt=dict(type="InterruptHook"),
    progress=dict(type="ProgressHook"),
    # Plain BN keeps statistics per rank; they are averaged after each epoch.
    sync_buffers=dict(type="SyncBuffersHook"),
    # Not in custom_hooks, since a config can only replace that list as a whole.
    deploy=dict(type="SwitchToDeployHook"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    visualization=dict(type="DetVisualizationHook"),
)

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
visualizer = dict(
    type="DetLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")], name="visualizer"
)
log_processor = dict(type="LogProcessor", window_size=50, by_epoch=True)
log_level = "INFO"
load_from = None
resume = False

val_cfg = dict(type="GuardedValLoop")
test_cfg = dict(type="GuardedTestLoop")

tta_model = dict(
    type="MaskTTAModel", tta_cfg=dict(nms=dict(type="nms", iou_threshold=0.5), max_per_img=100)
)

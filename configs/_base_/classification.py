# What the runs of tools/pretrain.py share; it sets the rest.
_base_ = "./default_runtime.py"

default_hooks = dict(
    check_data=None,  # it checks datasets of detectors
    visualization=None,
    curves=dict(type="CurvesHook"),
    progress=dict(type="ProgressHook", metric="top1", name="top-1"),
    seed=dict(type="SeedHook"),
    sync_buffers=dict(type="SyncAveragesHook"),
    checkpoint=dict(save_best="accuracy/top1", rule="greater", max_keep_ckpts=2),
)
val_evaluator = dict(type="Accuracy")
test_evaluator = val_evaluator
tta_model = None

# Stops when box AP hasn't risen by 0.001 in three epochs.
_base_ = "retinanet_vanillanet11_coco.py"

default_hooks = dict(
    early_stopping=dict(
        type="DeployableEarlyStoppingHook",
        monitor="coco/bbox_mAP",
        min_delta=0.001,
        patience=3,
        strict=True,
    )
)

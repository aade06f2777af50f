"""COCO's own layout passes the checks with no warning."""

from mmengine.config import Config

from vanillanet_det.checks import check_config


def test_coco_passes(root, mini_coco):
    cfg = Config.fromfile(root / "configs/mask_rcnn_vanillanet5_coco.py")
    # Weights and GPUs of the published recipe are not at hand.
    cfg.merge_from_dict({"model.backbone.init_cfg": None, "train_dataloader.batch_size": 32})
    for key in ("train", "val", "test"):
        cfg[f"{key}_dataloader"].dataset.data_root = str(mini_coco)
    for key in ("val_evaluator", "test_evaluator"):
        cfg[key].ann_file = str(mini_coco / "annotations/instances_val2017.json")
    assert check_config(cfg) == []

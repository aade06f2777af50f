"""MMDetection's own configs with a small VanillaNet in the place of the backbone."""

import json
import re
from pathlib import Path

import mmdet
import numpy as np
from mmdet.datasets import CocoDataset
from mmengine.config import Config, ConfigDict
from PIL import Image

from vanillanet_det.finetune.schedule import schedule
from vanillanet_det.inference.building import drop_initialization

CONFIGS = Path(mmdet.__file__).parent / ".mim/configs"
CLASSES = CocoDataset.METAINFO["classes"]
ARCH = dict(dims=[8, 16, 16, 16], strides=[2, 2, 2])
_WIDTHS = re.compile("channels|embed_dims|num_feats|dims$|hidden_dim|_filters")
# Some of their layers have fixed widths.
_OWN_WIDTHS = (
    "CARAFE",
    "Conditional DETR",
    "DDQ",
    "Deformable DETR",
    "DINO",
    "SSD",
    "Sparse R-CNN",
    "QueryInst",
)
_SIDE = 160  # the longer side of what a test pipeline resizes to

# One config of each family: first those that once failed, each for another reason.
FEW = {
    "RTMDet": "rtmdet/rtmdet_tiny_8xb32-300e_coco",  # shared convolutions, no divisor
    "YOLOX": "yolox/yolox_tiny_8xb8-300e_coco",
    "CondInst": "condinst/condinst_r50_fpn_ms-poly-90k_coco_instance",  # keeps tensors of training
    "CenterNet": "centernet/centernet_r18-dcnv2_8xb16-crop512-140e_coco",  # counts in_channels
}
FAMILIES = {
    **FEW,
    "ATSS": "atss/atss_r50_fpn_1x_coco",
    "AutoAssign": "autoassign/autoassign_r50-caffe_fpn_1x_coco",
    "CARAFE": "carafe/faster-rcnn_r50_fpn-carafe_1x_coco",
    "Cascade R-CNN": "cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco",
    "Cascade RPN": "cascade_rpn/cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco",
    "Cascade Mask R-CNN": "cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco",
    "CenterNet update": "centernet/centernet-update_r50-caffe_fpn_ms-1x_coco",
    "Conditional DETR": "conditional_detr/conditional-detr_r50_8xb2-50e_coco",
    "DAB-DETR": "dab_detr/dab-detr_r50_8xb2-50e_coco",
    "DDOD": "ddod/ddod_r50_fpn_1x_coco",
    "DDQ": "ddq/ddq-detr-4scale_r50_8xb2-12e_coco",
    "Deformable DETR": "deformable_detr/deformable-detr_r50_16xb2-50e_coco",
    "DETR": "detr/detr_r50_8xb2-150e_coco",
    "DINO": "dino/dino-4scale_r50_8xb2-12e_coco",
    "Double-Head": "double_heads/dh-faster-rcnn_r50_fpn_1x_coco",
    "DyHead": "dyhead/atss_r50_fpn_dyhead_1x_coco",
    "Dynamic R-CNN": "dynamic_rcnn/dynamic-rcnn_r50_fpn_1x_coco",
    "Faster R-CNN": "faster_rcnn/faster-rcnn_r50_fpn_1x_coco",
    "FCOS": "fcos/fcos_r50-caffe_fpn_gn-head_1x_coco",
    "FoveaBox": "foveabox/fovea_r50_fpn_4xb4-1x_coco",
    "FPG": "fpg/faster-rcnn_r50_fpg_crop640-50e_coco",
    "FreeAnchor": "free_anchor/freeanchor_r50_fpn_1x_coco",
    "FSAF": "fsaf/fsaf_r50_fpn_1x_coco",
    "GFL": "gfl/gfl_r50_fpn_1x_coco",
    "GHM": "ghm/retinanet_r50_fpn_ghm-1x_coco",
    "Grid R-CNN": "grid_rcnn/grid-rcnn_r50_fpn_gn-head_1x_coco",
    "GRoIE": "groie/faste-rcnn_r50_fpn_groie_1x_coco",
    "Guided anchoring": "guided_anchoring/ga-faster-rcnn_r50_fpn_1x_coco",
    "HTC": "htc/htc-without-semantic_r50_fpn_1x_coco",
    "Libra R-CNN": "libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco",
    "Mask R-CNN": "mask_rcnn/mask-rcnn_r50_fpn_1x_coco",
    "Mask Scoring R-CNN": "ms_rcnn/ms-rcnn_r50_fpn_1x_coco",
    "Mask2Former": "mask2former/mask2former_r50_8xb2-lsj-50e_coco",
    "NAS-FCOS": "nas_fcos/nas-fcos_r50-caffe_fpn_nashead-gn-head_4xb4-1x_coco",
    "NAS-FPN": "nas_fpn/retinanet_r50_nasfpn_crop640-50e_coco",
    "PAA": "paa/paa_r50_fpn_1x_coco",
    "PAFPN": "pafpn/faster-rcnn_r50_pafpn_1x_coco",
    "PISA": "pisa/faster-rcnn_r50_fpn_pisa_1x_coco",
    "PointRend": "point_rend/point-rend_r50-caffe_fpn_ms-1x_coco",
    "QueryInst": "queryinst/queryinst_r50_fpn_1x_coco",
    "RetinaNet": "retinanet/retinanet_r50_fpn_1x_coco",
    "RepPoints": "reppoints/reppoints-moment_r50_fpn-gn_head-gn_1x_coco",
    "RPN": "rpn/rpn_r50_fpn_1x_coco",
    "RTMDet-Ins": "rtmdet/rtmdet-ins_tiny_8xb32-300e_coco",
    "SABL": "sabl/sabl-faster-rcnn_r50_fpn_1x_coco",
    "SOLO": "solo/solo_r50_fpn_1x_coco",
    "SOLOv2": "solov2/solov2_r50_fpn_1x_coco",
    "Sparse R-CNN": "sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco",
    "SSD": "ssd/ssd300_coco",
    "TOOD": "tood/tood_r50_fpn_1x_coco",
    "VFNet": "vfnet/vfnet_r50_fpn_1x_coco",
    "YOLACT": "yolact/yolact_r50_1xb8-55e_coco",
    "YOLOv3": "yolo/yolov3_d53_8xb8-320-273e_coco",
    "YOLOF": "yolof/yolof_r50-c5_8xb8-1x_coco",
}


def write_coco(folder: Path, count: int = 4) -> Path:
    """Write a COCO file of a few images with rectangles, each of another size."""
    generator = np.random.default_rng(0)
    coco = dict(
        images=[],
        annotations=[],
        categories=[dict(id=i, name=name) for i, name in enumerate(CLASSES)],
    )
    for index in range(count):
        width, height = 96 + 13 * index, 120 - 7 * index
        pixels = generator.integers(0, 256, (height, width, 3), np.uint8)
        for number in range(3):
            x, y, w, h = 5 + 20 * number, 8 + 15 * number, 24, 30
            pixels[y : y + h, x : x + w] = 60 * number
            coco["annotations"].append(
                dict(
                    id=len(coco["annotations"]) + 1,
                    image_id=index,
                    category_id=(index + number) % 3,
                    bbox=[x, y, w, h],
                    area=w * h,
                    iscrowd=0,
                    segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]],
                )
            )
        Image.fromarray(pixels).save(folder / f"{index}.png")
        coco["images"].append(dict(id=index, file_name=f"{index}.png", width=width, height=height))
    path = folder / "coco.json"
    path.write_text(json.dumps(coco))
    return path


def family_config(name: str, folder: Path) -> Config:
    """Return the config of a family, for two training steps on the data in a folder."""
    cfg = Config.fromfile(CONFIGS / f"{FAMILIES[name]}.py")
    model = _with_vanillanet(cfg.model, name)
    pipeline = _small(cfg.test_dataloader.dataset.pipeline)
    masks = any(step.get("with_mask") for step in _steps(cfg.train_dataloader.dataset))
    polygons = name == "CondInst"
    fixed = dict(
        type="CocoDataset",
        data_root=f"{folder}/",
        ann_file="coco.json",
        data_prefix=dict(img=""),
        metainfo=dict(classes=CLASSES),
    )
    packed = [step for step in pipeline if step.type not in ("PackDetInputs", "LoadAnnotations")]
    train = [
        packed[0],
        dict(type="LoadAnnotations", with_bbox=True, with_mask=masks, poly2mask=not polygons),
        *packed[1:],
        dict(type="RandomFlip", prob=0.5),
        dict(type="PackDetInputs"),
    ]
    evaluator = dict(
        type="CocoMetric",
        ann_file=f"{folder}/coco.json",
        metric=["bbox", "segm"] if masks else ["bbox"],
    )
    loader = dict(batch_size=1 if name == "Guided anchoring" else 2, num_workers=0)
    test = dict(
        **loader,
        sampler=dict(type="DefaultSampler", shuffle=False),
        dataset=dict(**fixed, test_mode=True, pipeline=pipeline),
    )
    return Config(
        dict(
            default_scope="mmdet",
            custom_imports=dict(imports=["vanillanet_det"], allow_failed_imports=False),
            default_hooks=dict(deploy=dict(type="SwitchToDeployHook")),
            model=model,
            train_dataloader=dict(
                **loader,
                sampler=dict(type="DefaultSampler", shuffle=True),
                dataset=dict(**fixed, pipeline=train),
            ),
            val_dataloader=test,
            test_dataloader=test,
            val_evaluator=evaluator,
            test_evaluator=evaluator,
            val_cfg=dict(),
            test_cfg=dict(),
            **schedule(1, 2, 1e-4, 2, layer_decay=False),
        )
    )


def _with_vanillanet(model: ConfigDict, name: str) -> ConfigDict:
    if name not in _OWN_WIDTHS:
        model = ConfigDict(_shrink(model))
    # What takes the features: a neck, or the head of a network without one.
    taker = model.get("neck") or model.panoptic_head
    taker = taker[0] if isinstance(taker, list) else taker
    count = len(taker.in_channels) if isinstance(taker.in_channels, (list, tuple)) else 1
    channels = ARCH["dims"][-count:]
    taker.in_channels = channels if isinstance(taker.in_channels, (list, tuple)) else channels[0]
    model.backbone = ConfigDict(
        type="VanillaNet", arch=ARCH, out_indices=tuple(range(4 - count, 4))
    )
    if name == "SSD":  # its first features are the backbone's
        taker.in_channels = tuple(channels)
        taker.out_channels = (*channels, *taker.out_channels[count:])
        model.bbox_head.in_channels = taker.out_channels
    if name == "QueryInst":
        # It leaves boxes outside the image, as random weights give them, and MMDetection can't
        # paste masks there on a CPU.
        for head in model.roi_head.bbox_head:
            head.bbox_coder.clip_border = True
    if "num_queries" in model:
        model.num_queries = min(model.num_queries, 100)  # at most one a position
    if name == "SSD":
        model.backbone.out_indices = (1, 2)
    drop_initialization(model)
    for augment in model.get("data_preprocessor", {}).get("batch_augments") or ():
        if "size" in augment:
            augment.size = (_SIDE, _SIDE)
    return model


def _shrink(node, key=""):
    """Divide the widths of wide layers by 4."""
    if isinstance(node, dict):
        return {name: _shrink(value, name) for name, value in node.items()}
    if isinstance(node, (list, tuple)):
        return type(node)(_shrink(value, key) for value in node)
    is_wide = isinstance(node, int) and node >= 128 and node % 16 == 0 and _WIDTHS.search(key)
    return node // 4 if is_wide else node


def _steps(dataset):
    while "dataset" in dataset:
        yield from dataset.get("pipeline") or ()
        dataset = dataset["dataset"]
    yield from dataset.get("pipeline") or ()


def _small(pipeline):
    """Shrink the sizes of a pipeline, whose squares stay multiples of 32."""
    for step in pipeline:
        step.pop("backend_args", None)
        for key in ("scale", "size"):
            size = step.get(key)
            if isinstance(size, (tuple, list)) and max(size) > 320:
                factor = _SIDE / max(size)
                step[key] = tuple(round(side * factor) for side in size)
    return pipeline

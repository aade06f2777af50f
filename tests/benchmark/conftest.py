"""Results built by hand, with figures as a small CPU gives them, and small exported files."""

import pytest

from vanillanet_det.benchmark.results import EAGER, Machine, Result, Row

VN11, VN13, R50 = (
    f"retinanet_{name}_coco" for name in ("vanillanet11", "vanillanet13", "resnet50")
)
STAGES = {VN11: 9, VN13: 11, R50: 4}
GFLOPS = {VN11: 369.3, VN13: 408.4, R50: 239.0}
PARAMETERS = {VN11: 65_990_000, VN13: 75_380_000, R50: 37_970_000}


@pytest.fixture
def machine():
    return Machine(
        "cpu",
        "Intel(R) Xeon(R) Processor @ 2.10GHz",
        2,
        versions={"Python": "3.12.3", "PyTorch": "2.14.1"},
        environment={"OMP_NUM_THREADS": "2"},
        limits={"fp32": 150e9, "bf16": 1.2e12},
        notes=["Frequency scaling is on."],
    )


@pytest.fixture
def make_row():
    """Make a row of a detector that reaches a share of 150 GFLOP/s, twice as fast in bf16."""

    def make(config=VN11, form="deploy", precision="fp32", size=(800, 1280), batch_size=1, **other):
        flops = int(GFLOPS.get(config, 300) * 1e9 * size[0] * size[1] / (800 * 1280))
        flops = int(flops * 1.6) if form == "training" else flops
        median = 2 * flops * batch_size / (300e9 if precision == "bf16" else 75e9)
        stages = [f"backbone stage {index + 1}" for index in range(STAGES.get(config, 5))]
        parts = {"pre-processing": 0.02 * median, "backbone stem": 0.03 * median}
        parts |= {stage: 0.55 * median / len(stages) for stage in stages}
        parts |= {"neck": 0.1 * median, "head": 0.25 * median, "decode and NMS": 0.05 * median}
        values = dict(
            layout="channels-last",
            mode=EAGER,
            input_shapes=[(batch_size, 3, *size)],
            flops=flops,
            parameters=PARAMETERS.get(config, 50_000_000),
            seconds=[median * factor for factor in (0.98, 1.0, 1.1, 0.99, 1.02)],
            peak_bytes=1_234_000_000,
            boxes=38.2,
            parts=parts,
            checkpoint="epoch_12.pth",
        )
        return Row(
            config,
            other.pop("part", "detector"),
            form,
            precision,
            batch_size=batch_size,
            **{**values, **other},
        )

    return make


@pytest.fixture
def result(machine, make_row):
    """Ten rows of three detectors."""
    return Result(
        machine,
        [
            make_row(config, form, precision)
            for config, forms in (
                (VN11, ("training", "deploy")),
                (VN13, ("training", "deploy")),
                (R50, ("only",)),
            )
            for form in forms
            for precision in ("fp32", "bf16")
        ],
    )


@pytest.fixture(scope="session")
def export(exporter, detector_file, small_config, tmp_path_factory):
    """Function that writes a file of a small RetinaNet, fixed to a size or not."""
    from mmengine.config import Config
    from mmengine.registry import DefaultScope

    from vanillanet_det.export.file_metadata import make_metadata
    from vanillanet_det.inference.building import build_detector

    folder = tmp_path_factory.mktemp("exported")
    with DefaultScope.overwrite_default_scope("mmdet"):
        model, cfg, classes = build_detector(detector_file, Config.fromfile(small_config))
        exporters = {}

    def export(part, format, precision="fp32", input_size=(160, 160), batch_size=1):
        kind = part, input_size, batch_size
        if kind not in exporters:
            plan = exporter.ExportOptions(part, True, input_size, batch_size)
            exporters[kind] = exporter.Exporter(model, make_metadata(cfg, model, classes), plan)
        fixed = "any" if input_size is None else "fixed"
        path = folder / f"{part}_{precision}_{fixed}{exporter.ENDINGS[format]}"
        if not path.exists():
            exporters[kind].write(path, precision)
        return path

    return export


@pytest.fixture(scope="session")
def detector_onnx(export):
    """A small RetinaNet for ONNX Runtime, for one image of 160 x 160."""
    return export("detector", "onnx")


@pytest.fixture(scope="session")
def detector_xml(export, detector_onnx):
    """The same for OpenVINO."""
    return export("detector", "openvino")


@pytest.fixture(scope="session")
def backbone_onnx(export):
    """Its backbone for ONNX Runtime, for images of any number and size."""
    return export("backbone", "onnx", input_size=None, batch_size=None)


@pytest.fixture(scope="session")
def backbone_fp16(export, backbone_onnx):
    """The same for OpenVINO in fp16, which CPUs compute in fp32."""
    return export("backbone", "openvino", "fp16", input_size=None, batch_size=None)

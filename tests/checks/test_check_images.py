"""Images that are missing, unreadable, of another size, or in both splits."""

import os
import unicodedata

import cv2
import mmcv
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vanillanet_det.checks import check_config

ORIENTATION = 0x0112  # the tag of Exif


def first_image(small, split="train"):
    image = small[split]["images"][0]
    return image, small.root / split / image["file_name"]


def rename(small, name):
    image, path = first_image(small)
    path.rename(path.with_name(name))
    image["file_name"] = name


@pytest.mark.parametrize("images", [True, False])
def test_missing_images_are_counted_and_the_first_is_named(small, images):
    for image in small["train"]["images"]:
        (small.root / "train" / image["file_name"]).unlink()
    message = small.the_one("error", "image-missing", images=images)
    assert "2 of 2 images are missing" in message
    assert f"{small.root}/train/1-11.png doesn't exist, nor 1-12.png; add" in message
    assert "data_prefix=dict(img=...)" in message


def test_missing_images_may_be_left_out_of_training(small):
    _, path = first_image(small)
    path.unlink()
    assert "LoadReadableImage(unreadable='skip')" in small.the_one("error", "image-missing")
    small.dataset("train").pipeline[0].unreadable = "skip"
    small.the_one("warning", "image-missing")


def test_a_missing_image_of_a_similar_name_is_hinted_at(small):
    _, path = first_image(small)
    path.rename(path.with_suffix(".PNG"))
    assert "1-11.png doesn't exist (but 1-11.PNG does)" in small.the_one("error", "image-missing")


def test_a_name_in_another_form_of_unicode_is_hinted_at(small):
    rename(small, unicodedata.normalize("NFD", "é.png"))
    image, _ = first_image(small)
    image["file_name"] = unicodedata.normalize("NFC", "é.png")
    assert "doesn't exist (but " in small.the_one("error", "image-missing")


@pytest.mark.parametrize(
    "name",
    [
        "ein Bild.png",
        "画像 ü.png",
        "sub/1.png",
        pytest.param(os.fsdecode(b"caf\xe9.png"), id="latin-1"),
    ],
)
def test_names_with_spaces_and_other_letters_and_folders_pass(small, name):
    (small.root / "train" / "sub").mkdir()
    _, path = first_image(small)
    rename(small, name) if "/" not in name else path.rename(small.root / "train" / name)
    small["train"]["images"][0]["file_name"] = name
    assert small.check() == []


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_an_unreadable_image_is_an_error_where_it_stops_the_training(small, content):
    _, path = first_image(small)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert small.check(images=False) == []
    message = small.the_one("error", "picture-unreadable")
    assert message.startswith(f"train_dataloader: image {path}: can't be read (")
    assert "replace the file, or remove it" in message
    small.dataset("train").pipeline[0].unreadable = "skip"
    small.the_one("warning", "picture-unreadable")


def test_a_truncated_jpeg_is_found_though_opencv_reads_it(small):
    image, path = first_image(small)
    Image.effect_noise((image["width"], image["height"]), 80).save(path.with_suffix(".jpg"))
    path = path.with_suffix(".jpg")
    path.write_bytes(path.read_bytes()[:500])
    image["file_name"] = path.name
    small.the_one("error", "picture-unreadable")


def test_an_image_of_another_size_is_an_error(small):
    image, path = first_image(small)
    image["width"], image["height"] = 80, 60
    message = small.the_one("error", "picture-size")
    assert f"{path}: is 40x30, but declared 80x60; boxes refer to the declared size" in message


def turn(small):
    image, path = first_image(small)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    with Image.open(path) as opened:
        opened.save(path.with_suffix(".jpg"), exif=exif)
    image["file_name"] = path.with_suffix(".jpg").name
    return image


def test_the_size_is_that_after_turning_as_exif_says(small):
    image = turn(small)
    message = small.the_one("error", "picture-size")
    assert "is 30x40, but declared 40x30, its size before it is rotated" in message
    image["width"], image["height"] = 30, 40
    small["train"]["annotations"] = small["train"]["annotations"][2:]
    assert small.check() == []


XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def save_turned(opened, path, by):
    exif, text = Image.Exif(), PngInfo()
    if by == "exif":
        exif[ORIENTATION] = 6
        opened.save(path, exif=exif)
    elif path.suffix == ".png":
        text.add_itxt("XML:com.adobe.xmp", XMP)
        opened.save(path, pnginfo=text)
    elif path.suffix == ".tiff":
        opened.save(path, tiffinfo={700: XMP.encode()})
    else:
        opened.save(path, xmp=XMP.encode())


@pytest.mark.parametrize("colour", ["color", "color_ignore_orientation", "unchanged"])
@pytest.mark.parametrize("by", ["exif", "xmp"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff"])
def test_the_size_is_that_which_training_loads(small, suffix, by, colour):
    image, path = first_image(small)
    with Image.open(path) as opened:
        save_turned(opened, path := path.with_suffix(suffix), by)
    pixels = mmcv.imfrombytes(path.read_bytes(), flag=colour)
    image.update(file_name=path.name, width=pixels.shape[1], height=pixels.shape[0])
    small["train"]["annotations"] = small["train"]["annotations"][2:]
    small.dataset("train").pipeline[0].color_type = colour
    assert small.check() == []
    image["width"], image["height"] = image["height"], image["width"]
    assert "but declared" in small.the_one("error", "picture-size")


def test_a_loader_that_ignores_exif_is_believed(small):
    turn(small)
    small.dataset("train").pipeline[0].color_type = "color_ignore_orientation"
    assert small.check() == []


@pytest.mark.parametrize(
    ("mode", "suffix"), [("I;16", ".png"), ("P", ".png"), ("CMYK", ".jpg"), ("L", ".jpg")]
)
def test_images_of_all_kinds_pass(small, mode, suffix):
    image, path = first_image(small)
    size = (image["width"], image["height"])
    Image.new(mode, size).save(path.with_suffix(suffix))
    image["file_name"] = path.with_suffix(suffix).name
    assert small.check() == []


def replace_image(small, name, index=0, **options):
    """Function that stores an array in place of one of the training images."""
    image = small["train"]["images"][index]

    def store(pixels):
        opened = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        image.update(file_name=name, width=opened.width, height=opened.height)
        opened.save(small.root / "train" / name, **options)

    return store


@pytest.mark.parametrize("size", [(5, 10), (40, 7), (1, 1)])
def test_jpegs_below_8_pixels_pass(small, size):
    replace_image(small, "tiny.jpg")(Image.new("RGB", size))
    small["train"]["annotations"] = small["train"]["annotations"][2:]
    assert small.check() == []


def noise(low, high):
    return np.random.RandomState(0).randint(low, high, (30, 40)).astype(np.uint16)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "rgb.png"])
def test_12_bits_in_16_are_counted(small, name):
    pixels = noise(640, 3521)
    if name == "rgb.png":  # Pillow doesn't write these
        cv2.imwrite(str(small.root / "train" / name), pixels[..., None].repeat(3, 2))
        small["train"]["images"][0]["file_name"] = name
    else:
        replace_image(small, name)(pixels)
    replace_image(small, "b.png", index=1)(noise(0, 65536))
    message = small.the_one("warning", "image-depth")
    assert "has values from 640 to 3520 of 65535, which load as 2 to 13 of 255;" in message
    assert "2 images have 16 bits; scale their values to the full range" in message
    loaded = mmcv.imfrombytes((small.root / "train" / name).read_bytes())
    assert (loaded.min(), loaded.max()) == (2, 13)


def test_16_bits_of_the_full_range_and_blank_images_pass(small):
    replace_image(small, "a.png")(noise(0, 65536))
    replace_image(small, "b.png", index=1)(noise(0, 1))
    assert small.check() == []


@pytest.mark.parametrize("type", [np.float32, np.int32])
def test_images_that_opencv_loads_only_unchanged_are_unreadable(small, type):
    replace_image(small, "a.tif")(noise(0, 255).astype(type))
    assert "OpenCV doesn't load TIFF images of mode" in small.the_one("error", "picture-unreadable")


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_further_frames_are_counted(small, name):
    frames = [Image.new("L", (40, 30), grey) for grey in (0, 128, 255)]
    replace_image(small, name, save_all=True, append_images=frames[1:])(frames[0])
    message = small.the_one("warning", "image-frames")
    assert f"{name}: has 3 frames, of which only the first is used" in message


def test_an_image_in_both_sets_is_a_warning(small):
    _, ours = first_image(small)
    _, theirs = first_image(small, "val")
    theirs.write_bytes(ours.read_bytes())
    message = small.the_one("warning", "image-shared", images=False)
    assert message.startswith(f"val_dataloader: annotation file {small.root}/val.json: 1 of 2")
    assert f"{theirs} equals {ours}" in message


def test_to_evaluate_on_the_training_set_is_a_warning(small):
    for split in ("train", "val"):
        small.dataset(split).data_prefix.img = "train/"
    small.contents["val"]["images"] = small["train"]["images"]
    assert "2 of 2 images" in small.the_one("warning", "image-shared")


def test_files_of_the_same_size_or_end_alone_are_not_the_same(small):
    ours, theirs = first_image(small)[1], first_image(small, "val")[1]
    blocks = {ours: b"a", theirs: b"b"}
    for path, letter in blocks.items():
        path.write_bytes(letter * 5000 + b"z" * 5000)
    assert small.check(images=False) == []


def test_a_test_set_that_is_the_validation_set_is_looked_at_once(small):
    small.cfg.test_dataloader = small.cfg.val_dataloader
    small.cfg.test_evaluator = small.cfg.val_evaluator
    first_image(small, "val")[1].unlink()
    small.the_one("error", "image-missing")
    assert [f.code for f in check_config(small.cfg, dataloaders=("test_dataloader",))] == [
        "image-missing"
    ]

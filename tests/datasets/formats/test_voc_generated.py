"""Generated Pascal VOC datasets come back, and harmed ones aren't read in silence."""

from xml.sax.saxutils import escape

from generated import check_comes_back, save_picture, scenes
from harmed import check_harmed, harms
from hypothesis import given


def write_voc(root, scene):
    for picture in scene.pictures:
        save_picture(root / "JPEGImages" / f"{picture.stem}.png", picture.size)
        objects = "".join(
            f"<object><name>{escape(thing.name)}</name><bndbox><xmin>{left + 1}</xmin>"
            f"<ymin>{top + 1}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
            for thing in picture.things
            for left, top, right, bottom in [thing.box]
        )
        width, height = picture.size
        path = root / "Annotations" / f"{picture.stem}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            f"<annotation><filename>{picture.stem}.png</filename><size><width>{width}</width>"
            f"<height>{height}</height></size>{objects}</annotation>",
            encoding="utf-8",
        )
    for split in scene.splits:
        path = root / "ImageSets/Main" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        stems = [picture.stem for picture in scene.of(split)]
        path.write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")


@given(scenes())
def test_what_is_written_comes_back(scene):
    check_comes_back(scene, write_voc)


@given(scenes(), harms())
def test_harmed_files_end_in_a_sentence_or_a_remark(scene, harm):
    check_harmed(scene, write_voc, harm)

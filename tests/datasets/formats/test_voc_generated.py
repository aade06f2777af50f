"""Generated Pascal VOC datasets come back, and harmed ones aren't read in silence."""

from xml.sax.saxutils import escape

from generated import check_comes_back, save_picture, scenes
from harmed import check_harmed, harms
from hypothesis import given
from hypothesis import strategies as st


def write_voc(root, scene, folder=lambda picture: ""):
    for picture in scene.pictures:
        save_picture(root / "JPEGImages" / folder(picture) / f"{picture.stem}.png", picture.size)
        objects = "".join(
            f"<object><name>{escape(thing.name)}</name><bndbox><xmin>{left + 1}</xmin>"
            f"<ymin>{top + 1}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
            for thing in picture.things
            for left, top, right, bottom in [thing.box]
        )
        width, height = picture.size
        path = root / "Annotations" / folder(picture) / f"{picture.stem}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"<annotation><filename>{picture.stem}.png</filename><size><width>{width}</width>"
            f"<height>{height}</height></size>{objects}</annotation>",
            encoding="utf-8",
        )


def write_lists(root, scene):
    write_voc(root, scene)
    for split in scene.splits:
        path = root / "ImageSets/Main" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        stems = [picture.stem for picture in scene.of(split)]
        path.write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")


def write_folders(root, scene):
    write_voc(root, scene, lambda picture: picture.split)


@given(scenes(), st.sampled_from([write_lists, write_folders]))
def test_what_is_written_comes_back(scene, write):
    source = check_comes_back(scene, write)
    assert not any(text.startswith("warning") for text in source.remarks)


@given(scenes(), st.sampled_from([write_lists, write_folders]), harms())
def test_harmed_files_end_in_a_sentence_or_a_remark(scene, write, harm):
    check_harmed(scene, write, harm)

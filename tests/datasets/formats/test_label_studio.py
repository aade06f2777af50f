"""Label Studio in the wild: annotators, uploads and exports."""

import pytest
from data_folders import SIZE, found, remark, sizes
from label_studio_tasks import BOX, RECTANGLE, H, W, annotation, export, one, result, task

from vanillanet_det import UserError
from vanillanet_det.datasets.formats import read_dataset


def test_a_full_export(tmp_path):
    source = one(tmp_path, result(), result(dict(x=0, y=0, width=10, height=10), label="dog"))
    assert (source.format, source.root) == ("Label Studio", tmp_path)
    assert found(source) == [("images/a.jpg", "cat", BOX), ("images/a.jpg", "dog", [0, 0, 6, 4])]
    assert sizes(source) == {"images/a.jpg": SIZE}
    assert source.remarks[1:] == ()


def test_the_file_alone(tmp_path):
    export(tmp_path, task(annotation(result())))
    assert len(read_dataset(tmp_path / "project-1.json").train["annotations"]) == 1


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("/data/upload/1/0a1b2c3d-a.jpg", "a.jpg"),
        ("/data/upload/1/0a1b2c3d-a.jpg", "0a1b2c3d-a.jpg"),
        ("/data/upload/0a1b2c3d-my_photo_1.jpg", "my photo (1).jpg"),
        ("/data/local-files/?d=photos/my%20photo.jpg", "my photo.jpg"),
        ("/data/local-files/?d=photos/a.jpg", "photos/a.jpg"),
        ("s3://bucket/photos/a.jpg", "a.jpg"),
        ("gs://bucket/ä%20b.jpg", "ä b.jpg"),
        ("https://example.com/a.jpg?X-Amz-Expires=60&d2=b.png", "a.jpg"),
        ("C:\\photos\\a.jpg", "a.jpg"),
        ("photos/a.jpg", "a.jpg"),
    ],
)
def test_images_are_found_by_their_name(tmp_path, url, file):
    root = export(tmp_path, task(annotation(result()), image=url), images=(file,))
    assert found(read_dataset(root)) == [(f"images/{file}", "cat", BOX)]


def test_of_images_of_one_name_the_folder_decides(tmp_path):
    url = "/data/local-files/?d=photos/2/a.jpg"
    root = export(tmp_path, task(annotation(result()), image=url), images=("1/a.jpg", "2/a.jpg"))
    assert found(read_dataset(root)) == [("images/2/a.jpg", "cat", BOX)]
    export(tmp_path, task(annotation(result())), images=())
    with pytest.raises(UserError, match=r"task 7: '.*0a1b2c3d-a\.jpg' could be images/1/a\.jpg"):
        read_dataset(tmp_path)


def test_of_several_annotators_the_newest_or_the_ground_truth_is_used(tmp_path):
    def by(name, time, **keys):
        return annotation(result(label=name), created_at=f"2024-01-0{time}T10:00:00Z", **keys)

    source = read_dataset(
        export(
            tmp_path,
            task(by("old", 1), by("new", 3), by("middle", 2)),
            task(by("truth", 1, ground_truth=True), by("new", 3), image="b.jpg", id=8),
            images=("a.jpg", "b.jpg"),
        )
    )
    assert [name for _, name, _ in found(source)] == ["new", "truth"]
    assert remark(source, "Annotations of images that have a newer one").endswith(": 3.")
    assert source.skipped == (0, 3)


@pytest.mark.parametrize("key", ["was_cancelled", "skipped"])
def test_tasks_without_an_annotation(tmp_path, key):
    cancelled = dict(annotation(result()), **{key: True})
    source = read_dataset(
        export(
            tmp_path,
            task(annotation(result())),
            task(cancelled, image="b.jpg", id=8),
            task(image="c.jpg", id=9, predictions=[dict(result=[result()]), dict(result=[])]),
            task(annotation(), image="d.jpg", id=10),
            images=("a.jpg", "b.jpg", "c.jpg", "d.jpg"),
        )
    )
    assert found(source) == [("images/a.jpg", "cat", BOX), "images/d.jpg"]
    assert remark(source, "Annotations cancelled").endswith(": 1.")
    assert remark(source, "Images without an annotation").endswith("b.jpg, c.jpg): 2.")
    assert remark(source, "Predictions of models").endswith(": 2.")
    assert source.skipped == (2, 1)


def minimal(*values, id=1, **keys):
    labels = [{**value, "original_width": W, "original_height": H} for value in values]
    return dict(
        image="/data/upload/1/0a1b2c3d-a.jpg", id=id, label=labels, annotator=1, annotation_id=id
    ) | dict(created_at="2024-01-01", updated_at="2024-01-01", lead_time=3.5, **keys)


def test_json_min(tmp_path):
    rectangle = {**RECTANGLE, "rectanglelabels": ["cat"]}
    triangle = dict(points=[[10, 10], [50, 10], [50, 60]], polygonlabels=["dog"])
    older = minimal(rectangle)
    newer = {**minimal(rectangle, triangle), "updated_at": "2024-02-02", "quality": "good"}
    source = read_dataset(export(tmp_path, older, newer))
    assert source.format == "Label Studio"
    assert [name for _, name, _ in found(source)] == ["cat", "dog"]
    assert source.skipped == (0, 1)


def test_images_that_are_missing_are_counted(tmp_path):
    tasks = [task(annotation(result(), result()), image=f"{i}.jpg", id=i) for i in range(5)]
    export(tmp_path, *tasks, images=("0.jpg", "1.jpg"))
    with pytest.raises(UserError, match=r"Annotated images that are missing \(2.jpg, 3.jpg, .*: 3"):
        read_dataset(tmp_path)
    source = read_dataset(tmp_path, skip_missing=True)
    assert (len(source.train["images"]), source.skipped) == (2, (3, 6))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (dict(data=[]), r"project-1\.json: task 7: its data is \[\], expected an object"),
        (dict(data=dict(text="x")), r"its data has 0 images \(text\), expected exactly one"),
        (
            dict(data=dict(a="a.jpg", b="b.jpg")),
            r"its data has 2 images \(a, b\), expected exactly one",
        ),
        (dict(annotations=3), r"its annotations aren't a list"),
        (dict(annotations=[dict(id=4)]), r"annotation 4: its result isn't a list"),
    ],
)
def test_tasks_that_are_wrong(tmp_path, changed, message):
    with pytest.raises(UserError, match=message):
        read_dataset(export(tmp_path, {**task(), **changed}, task(annotation(result()), id=8)))


def test_an_image_in_two_tasks(tmp_path):
    tasks = (task(annotation(result())), task(annotation(result()), image="a.jpg", id=8))
    with pytest.raises(UserError, match=r"task 8: annotates images/a\.jpg, as does .*task 7"):
        read_dataset(export(tmp_path, *tasks))

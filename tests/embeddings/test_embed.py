"""Embeddings of files, their neighbours, and near-duplicates, through the verbs' functions."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from vanillanet_det import UserError
from vanillanet_det.apis import check_data, embed


def test_files_have_relative_paths_and_the_same_vectors(
    classifier, detector_file, scenes, tmp_path
):
    models = [classifier, str(detector_file)]
    out = tmp_path / "a.npz"
    assert embed(str(scenes), models, str(out), batch_size=2) == 0
    first = np.load(out)
    names = list(first["path"])
    assert names == sorted(p.relative_to(scenes).as_posix() for p in scenes.rglob("*.png"))
    assert [first[name].shape[0] for name in first.files[1:]] == [5, 5]
    assert b"/tmp" not in out.read_bytes()
    parquet = pytest.importorskip("pyarrow.parquet")
    # Batches don't change what is computed.
    embed(str(scenes), models, str(tmp_path / "a.parquet"), batch_size=3)
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.column_names == list(first.files)
    assert table["path"].to_pylist() == names
    for name in first.files[1:]:
        assert_allclose(np.array(table[name].to_pylist()), first[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("store", ["numpy", pytest.param("milvus", marks=pytest.mark.slow)])
def test_neighbours_are_shown_side_by_side(classifier, detector_file, scenes, tmp_path, store):
    if store == "milvus":
        pytest.importorskip("pymilvus")
        pytest.importorskip("milvus_lite")
    copy = tmp_path / "copy.png"  # another file than the query, and equal to it
    own = min(scenes.rglob("*.png"))
    shutil.copy(own, scenes / "zz.png")
    shutil.copy(own, copy)
    models = [classifier, str(detector_file)]
    for page in ("a.html", "a.png"):
        embed(
            str(scenes),
            models,
            str(tmp_path / "a.npz"),
            query=[str(own), str(copy)],
            neighbours=2,
            page=str(tmp_path / page),
            store=store,
        )
    text = (tmp_path / "a.html").read_text()
    assert text.count("<section>") == 2
    assert text.count('src="data:image/jpeg;base64,') == 2 * len(models) * (1 + 2)
    first, second = text.split("<section>")[1:]
    assert f'alt="{own.name}"' in first.partition("zz.png")[0]  # the query itself
    assert first.count(f'alt="{own.name}"') == len(models)
    assert second.count(f'alt="{own.name}"') == len(models)  # its original is a neighbour
    assert re.findall(r"zz\.png<br>(\S+?)<", first) == ["0.000"] * len(models)
    assert Image.open(tmp_path / "a.png").width > 200
    assert (tmp_path / "a.db").exists() == (store == "milvus")


def test_unreadable_images_are_named_and_the_others_kept(classifier, scenes, tmp_path, capsys, log):
    (scenes / "bad.png").write_bytes(b"no image")
    (scenes / "a.heic").write_bytes(b"")
    out = tmp_path / "a.npz"
    assert embed(str(scenes), [classifier], str(out)) == 1
    assert len(np.load(out)["path"]) == 5
    said = capsys.readouterr()
    text = said.out + said.err + log.text
    assert "Left out, 2 files:" in text
    assert "bad.png" in text
    assert "- a.heic" in text
    for path in scenes.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="none of 6 images can be read"):
        embed(str(scenes), [classifier], str(out))


def test_near_duplicates_of_training_images(detector_file, small_config, small_digits, tmp_path):
    def check():
        text, clean = check_data(
            str(config), images=False, as_json=True, near_duplicates=str(detector_file)
        )
        assert clean
        findings = json.loads(text)["findings"]
        return [each for each in findings if each["code"] == "image-near-duplicate"]

    root = tmp_path / "digits"
    shutil.copytree(small_digits, root)
    config = tmp_path / "near.py"
    config.write_text(
        f'_base_ = ["{small_config}"]\ndata_root = "{root}/"\ndataset = dict(data_root=data_root)\n'
        "train_dataloader = dict(dataset=dataset)\nval_dataloader = dict(dataset=dataset)\n"
        'val_evaluator = dict(ann_file=data_root + "annotations/instances_val.json")\n'
        "test_dataloader = val_dataloader\ntest_evaluator = val_evaluator\n"
    )
    before = check()
    train, val = (sorted((root / split).glob("*.png")) for split in ("train", "val"))
    # A dark line, since features of random weights change more than those of trained ones.
    pixels = np.array(Image.open(train[3]))
    pixels[0] = 0
    Image.fromarray(pixels).save(val[0])
    said = [each["message"] for each in check()]
    assert len(said) == len(before) + 1
    assert any(f"{val[0]} resembles the training image {train[3]}; " in each for each in said)
    # What can't be compared is reported beside everything else.
    val[1].write_bytes(b"")
    shutil.rmtree(root / "train")
    text, clean = check_data(str(config), images=False, near_duplicates=str(detector_file))
    assert not clean
    assert "there are 0 training and 6 evaluation images [image-not-compared]" in text
    assert "[file-missing]" in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(out="a.csv"), r"--out a\.csv: expected a file that ends in \.npz or \.parquet"),
        (dict(out="no/a.npz"), "--out no/a.npz: expected a file in an existing folder"),
        (
            dict(query=["a.json"], page="a.txt"),
            r"--page a\.txt: expected a file that ends",
        ),
        (dict(query=["no.png"]), r"--query no\.png: no such file"),
        (dict(neighbours=0), "--neighbours 0: expected a positive integer"),
        (dict(store="faiss"), "--store faiss: expected numpy or milvus"),
        (dict(query=["a.json"], page="scenes/a.png"), "--page scenes/a.png: lies among the images"),
        (dict(query=["a.json"]), "--query: image a.json: can't be read"),
        (dict(annotations="a.json"), "--annotations: has classes of 0 of 5 images"),
        (dict(model=["a.json"]), r"--model: a\.json: "),
        (dict(annotations="no.json"), r"--annotations no\.json: can't be read"),
        (dict(model=["no.pth"]), r"--model: no\.pth: no such file; expected a checkpoint"),
        (dict(images="no"), "no: there is no such file or folder"),
    ],
)
def test_mistakes(classifier, scenes, tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.json").write_text('{"images": [], "annotations": []}')
    with pytest.raises(UserError, match=said):
        embed(**{"images": str(scenes), "model": [classifier], **options})
    assert not list(tmp_path.glob("*.npz"))


def test_two_networks_of_the_same_name(classifier, scenes):
    with pytest.raises(UserError, match="is the name of two columns of the output"):
        embed(str(scenes), [classifier, classifier])


def test_a_page_does_not_replace_an_image(classifier, scenes):
    image = min(scenes.glob("*.png"))
    before = image.read_bytes()
    with pytest.raises(UserError, match="is one of the images; choose another file"):
        embed(str(image), [classifier], query=[str(image)], page=str(image))
    assert image.read_bytes() == before
    out = str(scenes / "a.npz")
    assert embed(str(image), [classifier], out, [str(image)], page=str(scenes / "n.png")) == 0


def test_a_network_called_like_a_column(classifier, scenes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(classifier, "path")
    with pytest.raises(UserError, match="--model: path: is the name of two columns"):
        embed(str(scenes), ["path"])


def test_a_size_that_no_network_takes(detector_file, scenes):
    with pytest.raises(UserError, match="omit --input-size"):
        embed(str(scenes), [str(detector_file)], input_size="64")


@pytest.mark.slow
def test_milvus_keeps_vectors_without_a_query(classifier, detector_file, scenes, tmp_path):
    pytest.importorskip("milvus_lite")
    pymilvus = pytest.importorskip("pymilvus")
    for models in ([classifier, str(detector_file)], [classifier]):  # the second one replaces
        embed(str(scenes), models, str(tmp_path / "a.npz"), store="milvus")
    client = pymilvus.MilvusClient(str(tmp_path / "a.db"))
    (name,) = client.list_collections()
    assert name == "network_0_classifier0_net_pth"
    rows = client.query(name, filter="id >= 0", output_fields=["path"])
    assert sorted(row["path"] for row in rows) == sorted(np.load(tmp_path / "a.npz")["path"])
    client.close()
    (tmp_path / "b.db").mkdir()
    (tmp_path / "b.db" / "mine.txt").write_text("")
    with pytest.raises(UserError, match=r"b\.db exists and is no Milvus"):
        embed(str(scenes), [classifier], str(tmp_path / "b.npz"), store="milvus")


def test_names_that_are_not_utf8(classifier, scenes, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    os.rename(min(scenes.glob("*.png")), os.fsencode(scenes) + b"/bad\xff.png")
    for page in ("a.html", "a.png"):
        embed(
            str(scenes),
            [classifier],
            str(tmp_path / "a.parquet"),
            query=[str(min(scenes.glob("0*.png")))],
            page=str(tmp_path / page),
        )
    assert "bad\\udcff.png" in parquet.read_table(tmp_path / "a.parquet")["path"].to_pylist()


def test_links_to_one_file_are_neighbours(classifier, scenes, tmp_path):
    query = min(scenes.glob("*.png"))
    for name in ("x1.png", "x2.png"):
        (scenes / name).symlink_to(query)
    embed(
        str(scenes),
        [classifier],
        str(tmp_path / "a.npz"),
        query=[str(query)],
        neighbours=3,
        page=str(tmp_path / "a.html"),
    )
    text = (tmp_path / "a.html").read_text()
    assert text.count("<img") == 1 + 3
    assert set(re.findall(r'alt="(\S+)"', text)[1:3]) == {"x1.png", "x2.png"}

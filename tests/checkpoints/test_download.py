"""Checkpoints come from a URL once, and whole."""

import hashlib
import http.server
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from vanillanet_det import UserError
from vanillanet_det.checkpoints import read_checkpoint


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A real server over a folder; counts what is asked for."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "served"
    folder.mkdir()
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=folder)

        def do_GET(self):
            asked.append(self.path)
            time.sleep(server.delay)
            super().do_GET()

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.folder, server.asked, server.delay = folder, asked, 0
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_is_downloaded_once(server):
    torch.save({"a": torch.arange(3)}, server.folder / "a.pth")
    for _ in range(2):
        assert read_checkpoint(f"{server.url}/a.pth")["a"].tolist() == [0, 1, 2]
    assert server.asked == ["/a.pth"]


def test_of_several_at_once_one_downloads(server):
    torch.save({"a": torch.zeros(99)}, server.folder / "a.pth")
    server.delay = 0.3
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(read_checkpoint, [f"{server.url}/a.pth"] * 4))
    assert [len(checkpoint["a"]) for checkpoint in read] == [99] * 4
    assert server.asked == ["/a.pth"]


def test_equal_names_at_different_addresses_are_different_files(server):
    for version in (1, 2):
        (server.folder / str(version)).mkdir()
        torch.save({"a": version}, server.folder / f"{version}/a.pth")
    found = [read_checkpoint(f"{server.url}/{version}/a.pth")["a"] for version in (1, 2)]
    assert found == [1, 2]


def test_the_hash_in_a_name_is_checked(server):
    torch.save({"a": 1}, server.folder / "a.pth")
    content = (server.folder / "a.pth").read_bytes()
    right = f"a-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    for name in (right, "a-0123abcd.pth", "a-20230601.pth"):  # the last is a date
        (server.folder / name).write_bytes(content)
    assert read_checkpoint(f"{server.url}/{right}") == {"a": 1}
    assert read_checkpoint(f"{server.url}/a-20230601.pth") == {"a": 1}
    with pytest.raises(UserError, match=r"a-0123abcd\.pth: can't be downloaded .*hash"):
        read_checkpoint(f"{server.url}/a-0123abcd.pth")


def test_a_truncated_download_is_named_and_not_kept(server):
    torch.save({"a": torch.zeros(999)}, server.folder / "a.pth")
    content = (server.folder / "a.pth").read_bytes()
    (server.folder / "a.pth").write_bytes(content[:500])
    with pytest.raises(UserError, match=rf"checkpoint {server.url}/a\.pth: 500 bytes .*truncated"):
        read_checkpoint(f"{server.url}/a.pth")
    (server.folder / "a.pth").write_bytes(content)
    assert len(read_checkpoint(f"{server.url}/a.pth")["a"]) == 999


def test_a_wrong_address_is_named(server):
    with pytest.raises(UserError, match=rf"{server.url}/no\.pth: can't be downloaded .*404"):
        read_checkpoint(f"{server.url}/no.pth")


def test_a_server_that_is_not_there_is_named(server):
    with pytest.raises(UserError, match=r"can't be downloaded .*refused"):
        read_checkpoint("http://127.0.0.1:9/a.pth")

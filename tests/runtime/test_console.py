"""The progress bar, and the lines printed beside it."""

import sys

from vanillanet_det.runtime.console import Progress


def count():
    with Progress("img", total=5, done=2) as progress:
        progress.report("a line")
        progress.warn("a warning")
        progress.update()


def test_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    count()
    out, error = capsys.readouterr()
    assert out == "a line\n"
    assert "3/5" in error
    assert "a warning\n" in error


def test_no_bar_without_tqdm(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    count()
    assert capsys.readouterr() == ("a line\n", "a warning\n")


def test_no_bar_without_a_terminal(capsys):
    count()
    assert capsys.readouterr() == ("a line\n", "a warning\n")

"""What commands tell while they work, and how they show the result at the end."""

from __future__ import annotations

import argparse
import io
import subprocess
import sys

import pytest

from kerasfer import progress
from kerasfer.cli import opening, recognize, tables


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_one_line_and_nothing_afterwards():
    stream = Terminal()
    with progress.Status(stream) as status:
        status.tell("loading")
        with status.hidden():
            print("a line", file=stream)
    clear = "\r\x1b[2K"
    assert stream.getvalue() == f"{clear}loading{clear}a line\n{clear}loading{clear}"


def test_long_lines_do_not_wrap(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    progress.Status(stream).tell("x" * 100)
    assert stream.getvalue() == "\r\x1b[2K" + "x" * 39


def test_elsewhere_only_long_work_is_told_of(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    with progress.Status(stream) as status:
        for second in range(0, 150, 6):
            now[0] = float(second)
            status.tell(f"photo {second}")
    assert stream.getvalue() == "photo 60\nphoto 120\n"
    with progress.Status(stream) as status:
        status.tell("short")
    assert "short" not in stream.getvalue()


def test_a_bar_is_quiet_where_work_is_short_and_nobody_watches(capsys):
    with progress.bar(range(3), 3, "photo") as shown:
        assert list(shown) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_a_bar_shows_at_once_on_a_terminal(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.bar(range(3), 3, "photo", initial=0) as shown:
        list(shown)
    assert "3/3" in stream.getvalue() and "photo" in stream.getvalue()


def test_without_tqdm_the_steps_are_just_there(monkeypatch):
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda name: None)
    with progress.bar([1, 2], 2, "photo") as shown:
        assert list(shown) == [1, 2]


@pytest.fixture
def started(monkeypatch):
    """What was started, as a Linux with a screen."""
    calls: list[tuple] = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(opening.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: calls.append((command, options)))
    return calls


def test_a_result_is_opened_and_not_waited_for(started, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert opening.open_result("-g.png")
    ((command, options),) = started
    assert command == ["/bin/xdg-open", str(tmp_path / "-g.png")], "never an option of the program"
    assert options["start_new_session"] and options["stdout"] == subprocess.DEVNULL


def test_without_a_screen_one_line_says_so(started, monkeypatch, capsys):
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not opening.open_result("a.png") and not started
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("a.png: cannot be shown here")


def test_a_program_that_cannot_be_started_is_no_failure(started, monkeypatch, capsys):
    def refuse(command, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert not opening.open_result("a.png")
    assert "xdg-open: Permission denied" in capsys.readouterr().err


def recognizing(*arguments: str) -> argparse.Namespace:
    return recognize.parser().parse_args(["a.jpg", *arguments])


def test_open_needs_something_that_is_written(tmp_path):
    with pytest.raises(ValueError, match="--open shows what is written: name a file or a folder with --output"):
        recognize.main(["a.jpg", "--open"])
    with pytest.raises(ValueError, match="--open shows what is written"):
        recognize.main(["a.jpg", "--open", "--json", "/dev/stdout"])


def test_the_end_says_where_the_result_is(started, tmp_path, capsys):
    csv, picture = tmp_path / "a.csv", tmp_path / "a.png"
    csv.touch()
    recognize._end(recognizing("--csv", str(csv), "--json", "/dev/stdout"))
    assert capsys.readouterr().out == f"table in {csv}\n" and not started
    recognize._end(recognizing("--csv", str(csv), "--open"))
    picture.touch()
    recognize._end(recognizing("--csv", str(csv), "--output", str(tmp_path), "--open"), picture)
    recognize._end(recognizing("--output", str(tmp_path), "--open"))
    assert [command[1] for command, _ in started] == [str(csv), str(picture), str(tmp_path)]
    assert tables.written(recognizing("--csv", str(csv), "--json", "/dev/stdout")) == [csv]

#!/usr/bin/env python3
"""Checks the site: that its links lead somewhere, and that the code on its pages runs.

    python scripts/check_docs.py links build/site     # after mkdocs build
    python scripts/check_docs.py code                 # every page of docs/
    python scripts/check_docs.py code docs/index.md   # this one

- links: each link and anchor of the built pages leads to a file, or a place, that is there; nothing is loaded from
  another server.
- code: the Python blocks of a page run one after the other, as one program, in a temporary folder with photos, faces
  and a video to work on. A block below the line `<!-- not run: REASON -->` is compiled only, and named. Commands in
  blocks of shell are read by their own parsers, but not run; scripts have to be there and to know the options.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import configparser
import contextlib
import dataclasses
import faulthandler
import importlib
import io
import multiprocessing
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
import traceback
import urllib.parse
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SECONDS = 1500
"""What a page's code may take."""

LOADED = {"img": "src", "script": "src", "source": "src", "iframe": "src", "video": "src", "audio": "src"}
"""Element -> the attribute of what a browser loads for it."""

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>\w*)[^\n]*\n(?P<code>.*?)^ *(?P=fence)[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
_NOT_RUN = re.compile(r"<!-- not run: (.+?) -->\s*\Z")


class Page(HTMLParser):
    """The places of a built page, and where it leads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self.places |= {told[name] for name in ("id", "name") if told.get(name)}
        if tag == "a" and "href" in told:
            self.links.append(told["href"])
        if tag == "link" and told.get("rel") != "canonical" and told.get("href"):
            self.loads.append(told["href"])
        if told.get(LOADED.get(tag, "")):
            self.loads.append(told[LOADED[tag]])


def broken_links(site: Path) -> list[str]:
    """What is wrong with the links of a built site, a line each."""
    pages = {file: Page(file.read_text(encoding="utf-8")) for file in sorted(site.rglob("*.html"))}
    wrong = []
    for file, page in pages.items():
        name = file.relative_to(site)
        for link in page.links + page.loads:
            address = urllib.parse.urlsplit(link)
            if address.scheme or address.netloc:
                if link in page.loads and address.scheme != "data":
                    wrong.append(f"{name}: loads {link} from another server")
                continue
            path = urllib.parse.unquote(address.path)
            target = (site / path.lstrip("/") if path.startswith("/") else file.parent / path) if path else file
            target = Path(os.path.normpath(target))
            target = target / "index.html" if target.is_dir() else target
            place = urllib.parse.unquote(address.fragment)
            if not target.is_file():
                wrong.append(f"{name}: {link} leads to no file")
            elif place and target in pages and place not in pages[target].places and place != "__top":
                wrong.append(f"{name}: {link} leads to no place of that page")
    return wrong


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of code on a page.

    Attributes:
        language: as the page says.
        code: its text.
        line: of the page on which it begins.
        reason: why it is not run; "" if it is.
    """

    language: str
    code: str
    line: int
    reason: str


def blocks_of(text: str) -> list[Block]:
    """The blocks of code of a page, in order."""
    found = []
    for match in _FENCE.finditer(text):
        code = re.sub(f"^{match['indent']}", "", match["code"], flags=re.MULTILINE)
        reason = _NOT_RUN.search(text[: match.start()])
        line = text.count("\n", 0, match.start("code")) + 1
        found.append(Block(match["language"], code, line, reason[1] if reason else ""))
    return found


def run_page(path: Path) -> None:
    """Runs the Python blocks of a page here; an error says the page's line."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks_of(path.read_text(encoding="utf-8")):
        if block.language == "python":
            program = compile("\n" * (block.line - 1) + block.code, str(path), "exec")
            if not block.reason:
                exec(program, namespace)


def write_samples(folder: Path) -> None:
    """Writes what the pages' code works on: photo.jpg, holiday/, face1.png, face2.png, my_faces/ and clip.mp4."""
    from kerasfer import datasets, images, video
    from kerasfer.sample import PHOTO

    (folder / "holiday").mkdir(parents=True)
    for name in ("photo.jpg", "a.jpg", "b.jpg", "holiday/beach.jpg"):
        shutil.copy(PHOTO, folder / name)
    names = {"happiness": "happy", "sadness": "sad", "surprise": "other"}
    faces = datasets.load("synthetic", count=72, identities=12, size=64, expressions=tuple(names))
    for row, (expression, part) in enumerate(zip(faces.class_names(), faces["split"])):
        part = "test" if part == "test" else "train"
        images.write(folder / "my_faces" / part / names[expression] / f"{row:03}.png", faces.read(row))
    for number in (1, 2):
        images.write(folder / f"face{number}.png", faces.read(number))
    photo = images.read(PHOTO)
    clip = video.VideoWriter(folder / "clip.mp4", 10.0)
    for _ in range(10):
        clip.write(photo)
    clip.close()
    (folder / "saved_models").symlink_to(ROOT / "saved_models")


def failure_of(path: Path, samples: Path) -> tuple[float, str]:
    """Runs a page's code in a folder of its own: the seconds it took, and what went wrong, or ""."""
    began, before = time.monotonic(), Path.cwd()
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    problem = ""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        work = Path(folder) / "work"
        shutil.copytree(samples, work, symlinks=True)
        os.chdir(work)
        try:
            run_page(path)
        except BaseException:
            problem = traceback.format_exc()
        finally:
            os.chdir(before)
            faulthandler.cancel_dump_traceback_later()
    return time.monotonic() - began, problem[-2000:]


def commands_of(code: str) -> list[list[str]]:
    """The commands of a block of shell, each in words; what follows a "|" or "&&" is one of its own."""
    found = []
    for line in code.replace("\\\n", " ").splitlines():
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word in ("|", "&&", ";"):
                found += [words] if words else []
                words = []
            else:
                words.append(word)
    return found


def wrong_command(words: list[str]) -> str | None:
    """What is wrong with a command; "" if nothing is, None if this can't tell."""
    name, *arguments = words
    if name == "kerasfer":
        return wrong_kerasfer(arguments)
    if name == "pip" and arguments[:1] == ["install"]:
        return wrong_extras(arguments[1:])
    script = arguments[0] if name == "python" and arguments else name
    if not script.startswith(("scripts/", "apps/", "examples/")):
        return None
    if not (ROOT / script).is_file():
        return f"{script} is missing"
    text = (ROOT / script).read_text(encoding="utf-8")
    if script.startswith("apps/"):
        return wrong_kerasfer([Path(script).stem.replace("_", "-"), *arguments[1:]])
    unknown = [word for word in arguments if word.startswith("--") and word.split("=")[0] not in text]
    return f"{script} has no {unknown[0]}" if unknown else ""


def wrong_kerasfer(arguments: list[str]) -> str:
    """What is wrong with the arguments of `kerasfer`."""
    from kerasfer.cli.main import COMMANDS

    command = arguments[0] if arguments else ""
    if command not in COMMANDS:
        return "" if command.startswith("-") or command == "COMMAND" else f"kerasfer has no command {command!r}"
    parser = importlib.import_module(f"kerasfer.cli.{command.replace('-', '_')}").parser()

    def refuse(message: str) -> None:
        raise ValueError(message)

    parser.error = refuse
    try:
        parser.parse_args(arguments[1:])
    except (ValueError, SystemExit) as error:
        return "" if isinstance(error, SystemExit) and not error.code else f"kerasfer {command}: {error}"
    return ""


def wrong_extras(arguments: list[str]) -> str:
    """An extra of kerasfer that `pip install` asks for and that there is not."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    known = set(setup["options.extras_require"])
    for argument in arguments:
        if asked := re.fullmatch(r"(?:\.|kerasfer)\[([\w,]+)\]", argument):
            for extra in asked[1].split(","):
                if extra not in known:
                    return f"kerasfer has no extra {extra!r}"
    return ""


def check_code(paths: list[Path]) -> int:
    """Runs and reads the code of pages, and says what came of it; 1 if something is wrong."""
    wrong: list[str] = []
    runs: list[Path] = []
    read = unknown = 0
    ran: dict[Path, int] = {}
    for path in paths:
        for block in blocks_of(path.read_text(encoding="utf-8")):
            where = f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}:{block.line}"
            if block.language == "python":
                if path not in runs:
                    runs.append(path)
                if block.reason:
                    print(f"{where}: not run: {block.reason}")
                ran[path] = ran.get(path, 0) + (not block.reason)
            elif block.language == "sh":
                for words in commands_of(block.code):
                    problem = wrong_command(words)
                    if problem is None:
                        unknown += 1
                    else:
                        read += 1
                        wrong += [f"{where}: {shlex.join(words)}: {problem}"] if problem else []
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder) / "samples"
        if any(ran.values()):
            write_samples(samples)
        processes = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(os.cpu_count() or 1, processes) as pool:
            for path, (seconds, problem) in zip(runs, pool.map(failure_of, runs, [samples] * len(runs))):
                outcome = "failed" if problem else "ok"
                print(f"{path.name}: {ran[path]} blocks of Python, {seconds:.0f} s, {outcome}", flush=True)
                wrong += [f"{path}: {problem}"] if problem else []
    print(f"{sum(ran.values())} blocks of Python of {len(runs)} pages; {read} commands read, {unknown} not kerasfer's")
    for problem in wrong:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if wrong else 0


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    links = actions.add_parser("links", help="check the links of a built site")
    links.add_argument("site", type=Path, metavar="DIR")
    code = actions.add_parser("code", help="run and read the code of pages")
    code.add_argument("pages", type=Path, nargs="*", metavar="PAGE", help="default: all of docs/")
    options = parser.parse_args(arguments)
    if options.action == "links":
        wrong = broken_links(options.site)
        for problem in wrong:
            print(f"error: {problem}", file=sys.stderr)
        if not wrong:
            print(f"{options.site}: every link leads somewhere")
        return 1 if wrong else 0
    figures = ROOT / "docs" / "figures"
    pages = options.pages or [path for path in sorted(ROOT.glob("docs/**/*.md")) if path.parent != figures]
    return check_code([path.resolve() for path in pages])


if __name__ == "__main__":
    sys.exit(main())

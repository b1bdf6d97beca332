#!/usr/bin/env python3
"""Measures the page in the browser: how long the first answer takes, and frames per second from a camera.

    scripts/build_web.sh && python scripts/benchmark_web.py --json docs/speed/web.json

The first answer is that to a sample which is chosen as soon as the page offers it, without a cache. It counts from the
opening of the page until the answer is drawn; both ends are noted in the page itself, so that what drives the browser,
which looks every half a second, adds nothing. The camera is shown on the screen while its frames are counted, and is a
clip of the astronaut that scikit-image ships, 640 x 480 at 30 frames a second, which moves a little. The load of the
machine and the time of its processors stand beside the figures: on a busy machine the first says that the clock says
little, and the second what a free one would need at least, shared by its processors. Needs Chromium and Python's
playwright, and Linux for the times of the processors. Exit code 2: something is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "apps"), str(ROOT / "scripts")]

from common import run_app  # noqa: E402

from kerasfer.cli import serve  # noqa: E402
from kerasfer.files import atomic_write  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserType, Page

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str:
    """Path of Chromium; `ValueError` if there is none."""
    for name in (os.environ.get("CHROMIUM", ""), *PROGRAMS):
        if name and (path := shutil.which(name)):
            return path
    raise ValueError(
        "Chromium is missing; install it (Debian: apt-get install chromium), or name it: CHROMIUM=/path/to/chromium"
    )


def write_clip(path: Path, frames: Sequence[np.ndarray]) -> None:
    """Writes frames, uint8 RGB, as a .mjpeg file for Chromium's fake camera."""
    from kerasfer import images

    path.write_bytes(b"".join(images.encode(frame, ".jpg") for frame in frames))


def astronaut_frames(count: int = 30) -> list[np.ndarray]:
    """The astronaut before a wall, who sways: uint8 RGB (480, 640, 3) each."""
    import skimage.data

    photo = skimage.data.astronaut()[:480]
    frames = []
    for number in range(count):
        frame = np.full((480, 640, 3), 120, np.uint8)
        left = 64 + round(16 * np.sin(2 * np.pi * number / count))
        frame[:, left : left + 512] = photo
        frames.append(frame)
    return frames


def launch(chromium: BrowserType, clip: Path | None = None) -> Browser:
    """Starts a headless Chromium.

    Args:
        chromium: Playwright's.
        clip: what its camera shows, a .mjpeg file; None: it has no camera.
    """
    options = ["--disable-gpu"]
    if clip is not None:
        options += ["--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={clip}"]
    if hasattr(os, "getuid") and os.getuid() == 0:
        options.append("--no-sandbox")
    return chromium.launch(executable_path=find_chromium(), args=options)


@contextlib.contextmanager
def browser(clip: Path | None = None) -> Iterator[Browser]:
    """A headless Chromium, closed at the end; arguments as of `launch`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = launch(playwright.chromium, clip)
        try:
            yield opened
        finally:
            opened.close()


@contextlib.contextmanager
def served(folder: Path = serve.SITE) -> Iterator[str]:
    """The address of the page, served as `kerasfer serve` does."""
    with serve.make_server("127.0.0.1", 0, folder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def _browsers() -> list[Path]:
    """The folders in /proc of the processes that this one started, and of theirs."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
    found, new = set(), {os.getpid()}
    while new:
        new = {process for process, parent in parents.items() if parent in new}
        found |= new
    return [Path("/proc") / str(process) for process in found]


def processor_seconds() -> float:
    """Processor time of the browser's processes so far."""
    total = 0
    for folder in _browsers():
        with contextlib.suppress(OSError):
            total += sum(map(int, (folder / "stat").read_text().rsplit(")", 1)[1].split()[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


def megabytes() -> int:
    """Memory of the browser's processes, what they share counted once."""
    total = 0
    for folder in _browsers():
        with contextlib.suppress(OSError):
            lines = (folder / "smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return round(total / 1024)


FIRST_ANSWER = """
    new MutationObserver(() => {
        if (!window.firstAsked) {
            const sample = document.querySelector("#gallery button");
            if (sample === null) return;
            window.firstAsked = performance.now();
            sample.click();
        } else if (!window.firstRead && document.querySelector("#view[data-read]")) {
            window.firstRead = performance.now();
            requestAnimationFrame(() => setTimeout(() => { window.firstDrawn = performance.now(); }));
        }
    }).observe(document, { subtree: true, childList: true, attributeFilter: ["data-read"] });
"""
"""Chooses the first sample as soon as it is offered, and notes when its answer has been drawn."""


def first_answer(page: Page, address: str) -> float:
    """Milliseconds from the opening of the page until the answer to a sample is drawn that is chosen at once."""
    page.add_init_script(FIRST_ANSWER)
    page.goto(address, wait_until="commit")
    page.wait_for_function("() => window.firstDrawn", polling=50, timeout=120_000)
    return page.evaluate("() => window.firstDrawn")


def frames_of(page: Page, seconds: float) -> int:
    """Frames of the camera that the page reads in so many seconds: with each it names its source anew.

    May be called again for the same page: the observer of the call before is taken away.
    """
    page.evaluate(
        """() => {
            window.framesRead = 0;
            window.framesObserver?.disconnect();
            const observer = window.framesObserver = new MutationObserver(() => { window.framesRead++; });
            observer.observe(document.querySelector("#view"), { attributeFilter: ["data-read"] });
        }"""
    )
    time.sleep(seconds)
    return page.evaluate("window.framesRead")


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmark; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=5, help="times that the page is opened (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="before the camera (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures too")
    options = parser.parse_args(arguments)
    if options.starts < 1 or options.seconds <= 0:
        raise ValueError("--starts is at least 1 and --seconds more than 0")
    common = {"processors": os.cpu_count()}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "camera.mjpeg"
        write_clip(clip, astronaut_frames())
        with served() as address, browser(clip) as opened:
            starts, spent = [], []
            for _ in range(options.starts):
                context = opened.new_context(permissions=["camera"], service_workers="block")
                page, before = context.new_page(), processor_seconds()
                starts.append(first_answer(page, address))
                spent.append(processor_seconds() - before)
                if len(starts) < options.starts:
                    context.close()
            model = page.inner_text("#models label:has(:checked) .model-title")
            what = f"page in Chromium, {model}"
            answers = {
                "what": f"{what}, a photo from a cold start",
                **common,
                "runs": len(starts),
                "first photo s": round(statistics.median(starts) / 1000, 2),
                "ms/photo": round(statistics.median(starts)),
                "fastest ms": round(min(starts)),
                "processor ms": round(1000 * statistics.median(spent)),
                "MB": megabytes(),
                "load": round(os.getloadavg()[0], 1),
            }
            rows.append(answers)
            page.click("#camera")
            page.wait_for_selector('#view[data-read="camera"]', timeout=120_000)
            for moving in (False, True):
                page.set_checked("#moving", moving)
                page.wait_for_selector("#moving:enabled", timeout=120_000)
                page.evaluate("() => window.scrollTo(0, 0)")
                page.wait_for_timeout(2000)
                before = processor_seconds()
                frames = frames_of(page, options.seconds)
                row = {
                    "what": f"{what}, camera 640x480{', action units' if moving else ''}",
                    **common,
                    "runs": 1,
                    "frames": frames,
                    "frames/s": round(frames / options.seconds, 1),
                    "processor ms/frame": round(1000 * (processor_seconds() - before) / max(frames, 1), 1),
                    "MB": megabytes(),
                    "load": round(os.getloadavg()[0], 1),
                }
                rows.append(row)
    for row in rows:
        print(", ".join(f"{name}: {value}" for name, value in row.items()))
    if options.json is not None:
        from benchmark import processor

        figures = {"processor": processor(), "rows": rows}
        atomic_write(options.json, f"{json.dumps(figures, indent=2)}\n".encode())
    return 0


if __name__ == "__main__":
    run_app(main)

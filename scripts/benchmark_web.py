#!/usr/bin/env python3
"""Measures the page in the browser: milliseconds until it is ready, and frames per second from a camera.

    scripts/build_web.sh && python scripts/benchmark_web.py

Needs Chromium and Python's playwright. The camera is a clip of the astronaut that scikit-image ships, 640 x 480 at 30
frames a second, which moves a little. The load of the machine stands beside the figures: on a busy one they say little.
Exit code 2: something is missing.
"""

from __future__ import annotations

import argparse
import contextlib
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
sys.path[:0] = [str(ROOT), str(ROOT / "apps")]

from common import run_app  # noqa: E402

from kerasfer.cli import serve  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserType

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


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmark; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=3, help="times that the page is opened (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="before the camera (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.starts < 1 or options.seconds <= 0:
        raise ValueError("--starts is at least 1 and --seconds more than 0")
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "camera.mjpeg"
        write_clip(clip, astronaut_frames())
        with served() as address, browser(clip) as opened:
            starts = []
            for _ in range(options.starts):
                context = opened.new_context(permissions=["camera"])
                page = context.new_page()
                page.goto(address)
                page.wait_for_selector("html[data-ready]", timeout=120_000)
                starts.append(float(page.get_attribute("html", "data-ready")))
                if len(starts) < options.starts:
                    context.close()
            page.click("#camera")
            page.wait_for_selector("#view[data-read]", timeout=120_000)
            time.sleep(options.seconds)
            rate, finding, reading = (page.inner_text(f"#{name}") for name in ("rate", "finding", "recognizing"))
            model = page.inner_text("#models label:has(:checked) .model-title")
    cores, load = os.cpu_count(), os.getloadavg()[0]
    print(f"start-up: {statistics.median(starts):.0f} ms, median of {len(starts)}, each without a cache")
    print(f"camera, 640 x 480, one face, {model}: {rate} frames/s; finding the face {finding}, reading it {reading}")
    print(f"machine: {cores} cores, load {load:.1f}")
    return 0


if __name__ == "__main__":
    run_app(main)

#!/usr/bin/env python3
"""Serves the page that reads faces in the browser.

    scripts/build_web.sh     # once
    python apps/serve.py     # then open http://127.0.0.1:8000/

Pictures are read on the device that shows the page; this server never sees one. Browsers give the camera only to pages
from localhost or https: for other devices put the folder apps/web/build/site behind a web server with https. Exit
code 2: the page is not built, or the port is taken.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import re
from http import HTTPStatus
from pathlib import Path

from common import run_app

SITE = Path(__file__).resolve().parent / "web" / "build" / "site"

_POLICY = re.compile(r'http-equiv="Content-Security-Policy"\s+content="([^"]+)"')


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="0: any free one (default: %(default)s)")
    parser.add_argument(
        "--folder", type=Path, default=SITE, metavar="DIR", help="the built page (default: %(default)s)"
    )
    return parser


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files with the headers that keep the page to itself."""

    extensions_map = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".tflite": "application/octet-stream",
        ".wasm": "application/wasm",
    }

    def __init__(self, *arguments, policy: str, **options) -> None:
        self._policy = policy
        super().__init__(*arguments, **options)

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", f"{self._policy}; frame-ancestors 'none'")
        self.send_header("Permissions-Policy", "camera=(self), microphone=(), geolocation=()")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def list_directory(self, path) -> None:
        self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, *arguments) -> None:
        """Says nothing of each file."""


def make_server(host: str, port: int, folder: Path) -> http.server.ThreadingHTTPServer:
    """A server of a built page.

    Args:
        host, port: where to listen; port 0 is any free one.
        folder: the built page.

    Raises:
        ValueError: the page is not there, or the address cannot be used.
    """
    index = folder / "index.html"
    if not index.is_file():
        raise ValueError(f"{index}: missing; build the page with scripts/build_web.sh")
    policy = _POLICY.search(index.read_text(encoding="utf-8"))
    if policy is None:
        raise ValueError(f"{index}: holds no Content-Security-Policy; build the page again with scripts/build_web.sh")
    handler = functools.partial(Handler, directory=str(folder), policy=policy.group(1))
    try:
        return http.server.ThreadingHTTPServer((host, port), handler)
    except (OSError, OverflowError) as error:
        raise ValueError(f"{host}:{port}: cannot be listened at ({error}); take another --port") from error


def main(arguments: list[str] | None = None) -> int:
    """Runs the app; returns its exit code."""
    options = parser().parse_args(arguments)
    with make_server(options.host, options.port, options.folder) as server:
        host, port = server.server_address[:2]
        print(f"http://{host}:{port}/  (Ctrl-C ends it)", flush=True)
        server.serve_forever()
    return 0


if __name__ == "__main__":
    run_app(main)

"""`kerasfer serve`: the page that reads faces in the browser, or with --api recognition as a web service.

    scripts/build_web.sh     # once, in a checkout
    kerasfer serve           # then open http://127.0.0.1:8000/
    kerasfer serve --api     # the web service; see kerasfer serve --api --help

Pictures are read on the device that shows the page; this server never sees one. Browsers open the camera only for pages
from localhost or https: for other devices put the folder apps/web/build/site behind a web server with https. Requests
for host names other than the server's own are refused; --allow-host adds names. Exit code 2: the page is not built, a
package is missing, or the port is taken.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kerasfer.server import Limits, Server

SITE = Path(__file__).resolve().parents[2] / "apps" / "web" / "build" / "site"
"""Where scripts/build_web.sh puts the page."""


def parser() -> argparse.ArgumentParser:
    """The command line of the page's server."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--api", action="store_true", help="serve recognition as a web service instead")
    _add_address(parser)
    parser.add_argument(
        "--folder", type=Path, default=SITE, metavar="DIR", help="the built page (default: %(default)s)"
    )
    return parser


def api_parser() -> argparse.ArgumentParser:
    """The command line of the web service, without its --api."""
    from kerasfer import api

    defaults = api.ApiLimits()
    parser = argparse.ArgumentParser(
        prog="kerasfer serve --api", description=api.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_address(parser)
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME|FILE|DIR",
        help="a model to serve, the default first (may be given several times; default: all bundled ones)",
    )
    for option, field, what in (
        ("--max-image-bytes", "image_bytes", "largest file of a picture"),
        ("--max-image-pixels", "image_pixels", "most pixels of a picture"),
        ("--max-images", "images", "most pictures in a batch"),
        ("--max-request-bytes", "request_bytes", "largest request"),
        ("--max-waiting", "waiting", "most pictures that wait at a time"),
        ("--workers", "workers", "pictures that are read at the same time"),
    ):
        parser.add_argument(
            option, dest=field, type=int, default=getattr(defaults, field), help=f"{what} (default: %(default)s)"
        )
    parser.add_argument(
        "--timeout",
        dest="seconds",
        type=float,
        default=defaults.seconds,
        metavar="SECONDS",
        help="until a request is answered (default: %(default)s)",
    )
    return parser


def _add_address(parser: argparse.ArgumentParser) -> None:
    """The options that say where both servers listen, and by which names they may be asked."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=8000, help="port to listen on; 0: any free one (default: %(default)s)"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="also answer requests for this name; * is any (may be given several times)",
    )


def make_server(
    host: str, port: int, folder: Path, allow_hosts: Sequence[str] = (), limits: Limits | None = None
) -> Server:
    """A server of a built page.

    Args:
        host, port: where to listen; port 0 is any free one.
        folder: the built page.
        allow_hosts: names, besides its own, by which the server may be asked.
        limits: of time and connections.

    Raises:
        ValueError: the page is not there, or the address cannot be used.
        ImportError: a package is missing.
    """
    from kerasfer import server

    app, headers = server.page(folder, server.trusted_hosts(host, allow_hosts))
    return server.make_server(app, host, port, limits, headers)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if "--api" in arguments:
        return _serve_api([argument for argument in arguments if argument != "--api"])
    options = parser().parse_args(arguments)
    with make_server(options.host, options.port, options.folder, options.allow_host) as server:
        print(f"{server.url}  (Ctrl-C ends it)", flush=True)
        server.serve_forever()
    return 0


def _serve_api(arguments: list[str]) -> int:
    """Runs the web service until it is interrupted; returns the exit code."""
    from kerasfer import api, server

    options = vars(api_parser().parse_args(arguments))
    limits = {field.name: options[field.name] for field in dataclasses.fields(api.ApiLimits) if field.name in options}
    hosts = server.trusted_hosts(options["host"], options["allow_host"])
    app = api.create_app(options["model"], api.ApiLimits(**limits), hosts)
    with server.make_server(app, options["host"], options["port"]) as running:
        print(f"{running.url}docs  (Ctrl-C ends it)", flush=True)
        running.serve_forever()
    return 0

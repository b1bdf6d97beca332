"""Recognizes photos by the million on Ray: one machine or many, into a folder of Parquet files.

    kerasfer recognize-many photos/ --output answers/
    kerasfer recognize-many s3://bucket/photos/ --output s3://bucket/answers/ --address auto
    kerasfer recognize-many photos.csv more.parquet 'shards/*.tar' --output answers/ --model edge --lite

Sources are folders, patterns, photos, videos, manifests (CSV or Parquet with a column "path") and WebDataset archives
(.tar): paths that every machine sees, or addresses that fsspec reads (s3://, gs://, https:// of photos and manifests).
The rows are those of `kerasfer recognize --parquet`. Each file in the output folder is one shard of the list of photos,
with a row for each face, and one for each photo without a face or with an error; it is there when it is whole.

Run again, the same command does the shards that are missing, whatever ended it before; no row is there twice and none
is missing. The list of photos is that of the first run (_plan/ in the output folder); other options are refused.

Videos are cut at key frames into parts of a minute or more (--segment-seconds), which go by names such as
clip.mp4#t=60.5,121; people are followed within a part. Photos in archives go by names such as tar://cat.jpg::a.tar.

Exit code 0: all done; 1: some photos could not be read (their rows say why); 2: an error ended it; what is done stays.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from typing import Any

from kerasfer.cli.common import add_recognition_options, say
from kerasfer.detection import DETECTORS
from kerasfer.folders import Listing
from kerasfer.models import DEFAULT_RECOGNIZER
from kerasfer.ray import Progress, Report, recognize_many

QUIET = 30.0
"""Seconds between two lines of progress where nobody watches."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="folders, patterns, manifests, archives, files")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder or address for the Parquet files")
    parser.add_argument(
        "--model",
        default=DEFAULT_RECOGNIZER,
        metavar="NAME|DIR|FILE",
        help="bundled model, saved model or .tflite file (default: %(default)s)",
    )
    parser.add_argument(
        "--lite", action="store_true", help="run the model's TFLite file, which needs no TensorFlow and less memory"
    )
    parser.add_argument(
        "--detector", help=f"face detector: {', '.join(DETECTORS)} (default: mediapipe for photos, quick for videos)"
    )
    add_recognition_options(parser)
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="faces at once (default: 32)")
    parser.add_argument(
        "--shard-size", type=int, default=1000, metavar="N", help="photos or frames of a shard (default: 1000)"
    )
    parser.add_argument(
        "--segment-seconds",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="least length of the parts of a video (default: 60)",
    )
    cluster = parser.add_argument_group("cluster")
    cluster.add_argument("--address", help="of a Ray cluster, such as auto (default: a new one on this machine)")
    cluster.add_argument("--workers", type=int, metavar="N", help="actors, a processor each (default: all processors)")
    cluster.add_argument("--gpus", type=float, default=0.0, metavar="SHARE", help="of a GPU for each actor, e.g. 0.25")
    cluster.add_argument(
        "--storage-options",
        type=_options,
        default={},
        metavar="JSON",
        help='for fsspec, by protocol: \'{"s3": {"endpoint_url": "http://127.0.0.1:9000"}}\'',
    )
    return parser


def _options(text: str) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not a JSON object ({error})") from error
    if not isinstance(told, dict) or not all(isinstance(value, dict) for value in told.values()):
        raise argparse.ArgumentTypeError('a JSON object with an object for each protocol, such as {"s3": {...}}')
    return told


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    options = parser().parse_args(arguments)
    shown = _Shown()
    report = recognize_many(
        options.sources,
        options.output,
        options.model,
        options.detector,
        options.batch_size,
        options.minimum_score,
        options.action_units,
        options.flip,
        options.blendshapes,
        options.prior,
        options.lite,
        options.shard_size,
        options.segment_seconds,
        options.workers,
        options.gpus,
        options.address,
        options.storage_options,
        shown.show,
    )
    shown.end()
    for line in told(report):
        say(line)
    return 1 if report.counts.errors else 0


class _Shown:
    """How far the run is: on a terminal a line that changes, else a line now and then; on stderr."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._last = time.monotonic()

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last < (0.2 if self._terminal else QUIET) and progress.done < progress.shards:
            return
        self._last = now
        counts = progress.counts
        parts = [f"{progress.done:,} of {progress.shards:,} shards", f"{counts.photos:,} photos"]
        parts += [f"{counts.frames:,} frames"] if counts.frames else []
        parts += [f"{counts.faces:,} faces", f"{progress.rate:.1f}/s", f"{clock(progress.left)} left"]
        line = ", ".join(parts)
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[2K{line[:width]}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._terminal:
            print(file=sys.stderr)


def clock(seconds: float) -> str:
    """A time in words of a clock, such as 1:02:03."""
    if seconds == float("inf"):
        return "unknown time"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def told(report: Report) -> list[str]:
    """The report, in lines."""
    counts = report.counts
    frames = f", {counts.frames:,} frames of videos" if counts.frames else ""
    earlier = f", {report.earlier:,} of them by earlier runs" if report.earlier else ""
    errors = sum(counts.errors.values())
    lines = [
        f"{report.folder}: {counts.photos:,} photos{frames}, {counts.faces:,} faces, {counts.rows:,} rows",
        f"  {report.shards:,} shards{earlier}; this run took {clock(report.seconds)}",
        f"  {errors:,} {'error' if errors == 1 else 'errors'}",
    ]
    lines += [f"    {count:,}  {kind}" for kind, count in sorted(counts.errors.items(), key=lambda kind: -kind[1])]
    if report.left_out:
        lines.append(f"  {Listing((), (), report.left_out).remark()}")
    return lines

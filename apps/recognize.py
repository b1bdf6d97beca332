#!/usr/bin/env python3
"""Recognises the expression of every face in photos, in a video or before a camera.

    python apps/recognize.py photo.jpg
    python apps/recognize.py holiday/ --output marked/ --csv expressions.csv
    python apps/recognize.py photo.jpg --model dcganfer --action-units
    python apps/recognize.py clip.mp4 --csv expressions.csv
    python apps/recognize.py camera --seconds 60 --output none --jsonl expressions.jsonl

Prints each face's box, expression and probabilities, and writes each photo with its faces marked.

In a video, people keep their number over time. The detector looks at every fifth frame (--every), and the face mesh
follows the faces in between. A face that the detector finds is the person whose box it overlaps most, by 0.3 or more,
if seen within the last second; else it is somebody new. Probabilities are averaged over time, with weights that fall by
half in 0.3 s (--smoothing, 0 for none). If the model has a TFLite file, that is run. A video that was stopped goes on
where it was with the same command.

Exit code 0: all done; 1: some of several photos could not be read, or the video ended early (the rest is done); 2:
nothing could be done.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from common import prior, run_app, say, undisturbed
from tables import Journal, Row, Tables, add_options, columns, demand_writable, face_row

from kerasfer import images
from kerasfer.detection import DETECTORS
from kerasfer.files import printable
from kerasfer.models import DEFAULT_RECOGNIZER
from kerasfer.recognition import FaceClassifier, PhotoResult, annotate, find_photos, recognize_each
from kerasfer.version import __version__
from kerasfer.video import (
    VIDEO_SUFFIXES,
    FrameResult,
    Video,
    VideoError,
    VideoRecognizer,
    VideoWriter,
    camera_number,
    mark,
    open_video,
)

PICTURES = (".png", ".jpg", ".jpeg")

TOGETHER = 8
"""Faces that go through the model at once; twice as many photos are lost, at most, if the program is killed."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "photos",
        nargs="+",
        metavar="PHOTO|VIDEO|CAMERA",
        help=f"image files, folders of images or patterns; one video ({', '.join(VIDEO_SUFFIXES)}); or one camera: "
        "'camera', 'camera:1'",
    )
    parser.add_argument(
        "--model", default=DEFAULT_RECOGNIZER, help="name of a bundled model, or a folder (default: %(default)s)"
    )
    parser.add_argument("--detector", help=f"{', '.join(DETECTORS)} (default: mediapipe for photos, quick for videos)")
    parser.add_argument(
        "--output",
        default="recognized",
        metavar="DIR|FILE",
        help="folder for what is marked; or for one photo the PNG or JPEG file, for a video the MP4; 'none': nothing "
        "(default: the folder 'recognized')",
    )
    parser.add_argument("--minimum-score", type=float, default=0.5, help="least confidence in a face (default: 0.5)")
    parser.add_argument(
        "--action-units", action="store_true", help="tell FACS action units too; the model must detect them"
    )
    parser.add_argument("--flip", action="store_true", help="the mean of each face's and its mirror image's answers")
    parser.add_argument(
        "--prior",
        type=prior,
        help="how frequent expressions are to count as: balanced, ferplus, or a JSON object with a share for each "
        "(default: as in the model's training)",
    )
    add_options(parser)
    video = parser.add_argument_group("videos and cameras")
    video.add_argument("--every", type=int, default=5, metavar="N", help="detect in every N-th frame (default: 5)")
    video.add_argument(
        "--smoothing", type=float, default=0.3, metavar="SECONDS", help="half-life of an answer; 0: none (default: 0.3)"
    )
    video.add_argument("--seconds", type=float, help="stop after so many seconds of video (default: at its end)")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the app; returns its exit code."""
    options = parser().parse_args(arguments)
    demand_writable(options)
    if any(_is_video(source) for source in options.photos):
        if len(options.photos) > 1:
            raise VideoError("one video or camera at a time, and no photos beside it")
        return _recognize_video(options, options.photos[0])
    return _recognize_photos(options)


def _recognize_photos(options: argparse.Namespace) -> int:
    photos = [os.fspath(photo) for photo in find_photos(options.photos)]
    photos = [photo for photo in photos if not _is_marked(photo, options.output)] or photos
    targets = _targets(photos, options.output)
    classifier = FaceClassifier(options.model, TOGETHER, options.action_units, options.flip, options.prior)
    found = recognize_each(photos, classifier, options.detector or "mediapipe", minimum_score=options.minimum_score)
    names = [*columns(["path", "face"], classifier.labels, classifier.units), "error"]
    journal, tables, bad = Journal(None, {}), Tables(options, names), []
    with contextlib.closing(journal):
        try:
            for result in _shown(found, photos):
                if result.error is not None and len(photos) == 1:
                    raise images.ImageError(result.error)
                target = targets.get(journal.count)
                if target is not None and result.error is None:
                    images.write(target, annotate(images.read(result.path), result.predictions))
                bad += [result.error] if result.error is not None else []
                faces = [{**face.to_json(), "row": face_row(face)} for face in result.predictions]
                entry = {"path": result.path, "error": result.error, "faces": faces}
                with undisturbed():
                    journal.append(entry)
                    tables.add(_photo_rows([entry]), _without_rows(entry))
                _say(_described(result, target))
        finally:
            tables.close(lambda: _photo_rows(journal), lambda: map(_without_rows, journal))
        count = journal.count
    if bad:
        print(f"{len(bad)} of {count} photos could not be read:", file=sys.stderr)
        for error in bad:
            say(f"  {error}", sys.stderr)
    return 1 if bad else 0


# -- videos ------------------------------------------------------------------------------------------------------------


def _is_video(source: str) -> bool:
    if os.path.isdir(source):
        return False
    is_camera = camera_number(source) is not None and not os.path.lexists(source)
    return is_camera or Path(source).suffix.lower() in VIDEO_SUFFIXES


def _recognize_video(options: argparse.Namespace, source: str) -> int:
    target = _video_target(source, options.output)
    recognizer = VideoRecognizer(
        options.model,
        options.detector or "quick",
        options.every,
        options.smoothing,
        options.minimum_score,
        options.action_units,
        options.flip,
        options.prior,
    )
    with open_video(source):
        pass
    journal = _journal(options, source, target)
    kept = recognizer.kept(journal.count)
    journal.keep(kept)
    recognizer.restore(map(FrameResult.from_json, journal))
    if kept:
        print(f"going on after {kept} frames that are done")
    people: dict[int, collections.Counter[str]] = {}
    tables = Tables(options, columns(["frame", "time", "person"], recognizer.labels, recognizer.units))
    began, done, last = time.monotonic(), False, 0.0
    with open_video(source, kept) as video:
        writer = VideoWriter(target, video.rate) if target else None
        try:
            for result in _frames(journal):
                tables.add(_video_rows([result]), _video_entry(result))
            for result in _all_frames(source, video, recognizer, journal, tables, writer, options.seconds):
                last = result.time
                for face in result.faces:
                    people.setdefault(face.person, collections.Counter())[face.prediction.expression] += 1
            done = True
        finally:
            count = journal.count
            with contextlib.ExitStack() as stack:
                stack.callback(journal.close, remove=done)
                stack.callback(tables.close, lambda: _video_rows(_frames(journal)), lambda: _entries(journal))
                if writer is not None:
                    stack.callback(writer.close)
    rate = (count - kept) / max(time.monotonic() - began, 1e-6)
    marked = f", marked in {target}" if target and count else ""
    crowd = "1 person" if len(people) == 1 else f"{len(people)} people"
    say(f"{video.name}: {count} frames, {last:.1f} s, {crowd}, {rate:.1f} frames/s{marked}")
    for number, counts in sorted(people.items()):
        shares = ", ".join(f"{label} {share / counts.total():.0%}" for label, share in counts.most_common(3))
        print(f"  {number}. in {counts.total()} frames: {shares}")
    if done and video.problem is not None and (options.seconds is None or last < options.seconds - 1):
        say(f"error: {video.problem}", sys.stderr)
        return 1
    return 0


def _video_target(source: str, output: str) -> Path | None:
    """Where the marked video goes; None if none is wanted."""
    if output == "none":
        return None
    if Path(output).suffix.lower() in VideoWriter.CODECS and not Path(output).is_dir():
        target = Path(output)
    else:
        target = Path(output) / f"{Path(source.replace(':', '_')).stem}_expressions.mp4"
    if target.resolve() == Path(source).resolve():
        raise VideoError(f"{target}: would overwrite the video; choose another --output")
    return target


def _journal(options: argparse.Namespace, source: str, target: Path | None) -> Journal:
    """What an earlier run of the same command did, if it was stopped; of a camera never."""
    files = [target, *(Path(path) for path in (options.csv, options.json, options.jsonl, options.parquet) if path)]
    beside = next((path for path in files if path is not None), None)
    if beside is None or camera_number(source) is not None:
        return Journal(None, {})
    state = Path(source).stat()
    asked = ("model", "detector", "every", "smoothing", "minimum_score", "action_units", "flip", "prior")
    header = {"kerasfer": __version__, "video": str(Path(source).resolve()), "size": state.st_size}
    header |= {"modified": state.st_mtime_ns, **{name: getattr(options, name) for name in asked}}
    return Journal(beside.with_name(f".{Path(source).name}.journal"), header)


def _all_frames(
    source: str,
    video: Video,
    recognizer: VideoRecognizer,
    journal: Journal,
    tables: Tables,
    writer: VideoWriter | None,
    seconds: float | None,
) -> Iterator[FrameResult]:
    """The results of every frame, those of an earlier run first; marks each in the video that is written."""
    from tqdm import tqdm

    kept = journal.count
    if kept and writer is not None:
        with open_video(source) as again:
            for frame, entry in zip(again, journal):
                result = FrameResult.from_json(entry)
                writer.write(mark(frame.image, result.faces))
                yield result
    else:
        yield from map(FrameResult.from_json, journal)
    results = recognizer.recognize(video)
    with (
        contextlib.closing(results),
        tqdm(results, total=video.count, initial=kept, unit="frame", disable=None) as shown,
    ):
        for result in shown:
            if seconds is not None and result.time >= seconds:
                return
            with undisturbed():
                journal.append(result.to_json())
                tables.add(_video_rows([result]), _video_entry(result))
            if writer is not None:
                writer.write(mark(result.image, result.faces))
            yield result


def _frames(journal: Journal) -> Iterator[FrameResult]:
    return map(FrameResult.from_json, journal)


def _video_rows(results: Iterable[FrameResult]) -> Iterator[Row]:
    """A row for each face in each frame, and for each frame without one: that of person 0."""
    for result in results:
        known = {"frame": result.number, "time": round(result.time, 4)}
        for face in result.faces:
            yield {**known, "person": face.person, **face_row(face.prediction)}
        if not result.faces:
            yield {**known, "person": 0}


def _video_entry(result: FrameResult) -> dict[str, Any]:
    faces = []
    for face in result.faces:
        plain = face.prediction.to_json()
        plain.pop("landmarks")
        faces.append({"person": face.person, **plain})
    return {"frame": result.number, "time": round(result.time, 4), "faces": faces}


def _entries(journal: Journal) -> Iterator[dict[str, Any]]:
    return map(_video_entry, _frames(journal))


# -- photos ------------------------------------------------------------------------------------------------------------


def _is_marked(photo: str, folder: str) -> bool:
    """Tells whether a photo is one that this app marked before, in the output folder."""
    return "_expressions" in Path(photo).stem and Path(folder).resolve() in Path(photo).resolve().parents


def _targets(photos: Sequence[str], output: str) -> dict[int, Path]:
    """Where each photo's marked copy goes, by the photo's number."""
    if output == "none":
        return {}
    if Path(output).suffix.lower() in PICTURES and not Path(output).is_dir():
        if len(photos) > 1:
            raise images.ImageError(f"{output}: one file cannot hold {len(photos)} photos; name a folder")
        targets = {0: Path(output)}
    else:
        targets, taken = {}, set()
        for number, photo in enumerate(photos):
            stem, copy = Path(photo).stem, 1
            while (name := f"{stem}_expressions{'' if copy == 1 else f'_{copy}'}.png") in taken:
                copy += 1
            taken.add(name)
            targets[number] = Path(output) / name
    sources = {Path(photo).resolve() for photo in photos}
    for target in targets.values():
        if target.resolve() in sources:
            raise images.ImageError(f"{target}: would overwrite a photo; choose another --output")
    return targets


def _shown(results, photos: Sequence[str]):
    """The results, with a progress bar if there are many photos and someone watches."""
    if len(photos) == 1:
        return results
    from tqdm import tqdm

    return tqdm(results, total=len(photos), unit="photo", disable=None)


def _say(text: str) -> None:
    from tqdm import tqdm

    tqdm.write(text)


def _described(result: PhotoResult, target: Path | None) -> str:
    if result.error is not None:
        return f"{printable(result.path)}: could not be read"
    count = len(result.predictions)
    faces = "no face found" if count == 0 else "1 face" if count == 1 else f"{count} faces"
    lines = [printable(f"{result.path}: {faces}" + (f", marked in {target}" if target else ""))]
    for number, prediction in enumerate(result.predictions, 1):
        box = prediction.box
        place = f"({box.left:.0f}, {box.top:.0f}) to ({box.right:.0f}, {box.bottom:.0f})"
        lines.append(f"  {number}. {prediction.expression} {prediction.confidence:.1%}, box {place}")
        lines.append("     " + ", ".join(f"{label} {value:.1%}" for label, value in prediction.probabilities.items()))
        if prediction.action_units is not None:
            lines.append("     " + ", ".join(f"AU{n} {value:.1%}" for n, value in prediction.action_units.items()))
    return "\n".join(lines)


def _photo_rows(entries: Iterable[dict[str, Any]]) -> Iterator[Row]:
    """A row for each face, for each photo without one, and for each that could not be read."""
    for entry in entries:
        known = {"path": entry["path"], "error": entry["error"]}
        for number, face in enumerate(entry["faces"], 1):
            yield {**known, "face": number, **face["row"]}
        if not entry["faces"]:
            yield known if entry["error"] else {**known, "face": 0}


def _without_rows(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "faces": [{key: face[key] for key in face if key != "row"} for face in entry["faces"]]}


if __name__ == "__main__":
    run_app(main)

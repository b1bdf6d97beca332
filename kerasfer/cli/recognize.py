"""Recognizes the expression of every face in photos, in videos or from a camera.

    kerasfer recognize photo.jpg
    kerasfer recognize holiday/ --output marked/ --csv expressions.csv
    kerasfer recognize photo.jpg --action-units
    kerasfer recognize clip.mp4 --csv expressions.csv
    kerasfer recognize camera --seconds 60 --jsonl expressions.jsonl
    kerasfer recognize rtsp://camera.example/live --seconds 60 --csv expressions.csv

Prints each face's bounding box, expression and class probabilities. Faces that are cut out already (crops) go to
`kerasfer.recognize_faces` instead. Nothing is written but what is asked for: marked pictures and
videos (--output), tables (--csv, --json, --jsonl, --parquet). Folders are searched with all their
subfolders, linked ones too; files that are neither photos nor videos are counted. A file's format is told by its
content, not its name. Several videos, or photos beside them, go into one table.

In a video, people keep their number over time. The detector looks at every fifth frame (--every), more closely at the
start, at cuts and every three seconds, and the face mesh follows the faces in between. A face that the detector finds
is the person whose box it overlaps most, by 0.3 or more, if seen within the last second; otherwise it is a new person.
Probabilities are averaged over time, with weights that fall by half in 0.3 s (--smoothing, 0 for none); blendshapes are
those of each frame, and double the time. If the model has a TFLite file, that is used. The same command resumes a
video that was stopped.

Exit code 0: all done; 1: some of several photos or videos could not be read, or a video ended early (the rest is done);
2: nothing could be done.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import importlib.util
import itertools
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kerasfer import folders, images, lite
from kerasfer.cli.common import add_recognition_options, say, undisturbed
from kerasfer.cli.opening import add_open_option, open_result
from kerasfer.cli.tables import Journal, Tables, add_options, require_writable, written
from kerasfer.detection import DETECTORS
from kerasfer.faces import BLENDSHAPES
from kerasfer.files import printable
from kerasfer.frames import Frame, is_stream_address
from kerasfer.models import DEFAULT_RECOGNIZER
from kerasfer.progress import Status, bar
from kerasfer.recognition import FaceClassifier, PhotoResult, annotate, find_photos, recognize_each
from kerasfer.rows import Row, columns, face_row, frame_rows, photo_rows
from kerasfer.version import __version__
from kerasfer.video import (
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
        help="image files, videos, folders of these, or patterns; a camera: 'camera', 'camera:1', or its number; or a "
        "stream's address, such as rtsp://..., http://...",
    )
    parser.add_argument(
        "--model",
        default=DEFAULT_RECOGNIZER,
        metavar="NAME|DIR|FILE",
        help="bundled model, saved model or .tflite file (default: %(default)s)",
    )
    parser.add_argument(
        "--detector", help=f"face detector: {', '.join(DETECTORS)} (default: mediapipe for photos, quick for videos)"
    )
    parser.add_argument(
        "--output",
        default="none",
        metavar="DIR|FILE",
        help="write photos and videos with their faces marked into this folder; or one photo to this PNG or JPEG "
        "file, a video to this MP4 (default: none)",
    )
    add_open_option(parser)
    add_recognition_options(parser)
    add_options(parser)
    video = parser.add_argument_group("videos and cameras")
    video.add_argument(
        "--every", type=int, default=5, metavar="N", help="detect in every N-th frame, track in between (default: 5)"
    )
    video.add_argument(
        "--smoothing",
        type=float,
        default=0.3,
        metavar="SECONDS",
        help="temporal smoothing: half-life of the moving average; 0: none (default: 0.3)",
    )
    video.add_argument("--seconds", type=float, help="stop after so many seconds of video (default: at its end)")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    options = parser().parse_args(arguments)
    require_writable(options)
    if options.open and options.output == "none" and not written(options):
        raise ValueError("--open shows what is written: name a file or a folder with --output, or a table with --csv")
    options.model = _answering(options.model)
    photos, videos = _sources(options)
    if not videos:
        return _recognize_photos(options, photos)
    if len(videos) == 1 and not photos:
        return _recognize_video(options, videos[0])
    return _recognize_all(options, photos, videos)


def _sources(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The photos, and the videos, cameras and streams, that the command line means."""
    photos: list[str] = []
    videos: list[str] = []
    live = []
    for source in options.photos:
        if _is_live(source):
            live.append(source)
            continue
        named: list[Any] = find_photos(source)
        for found in map(os.fsdecode, named):
            (videos if folders.kind_of(found) == "video" else photos).append(found)
    sources = [source for source in photos + videos if not _is_marked(source, options.output)] or photos + videos
    if live and options.seconds is None and len(live + sources) > 1:
        raise VideoError(f"{live[0]}: has no end; name it alone, or say after how many --seconds to go on")
    return [name for name in photos if name in sources], [name for name in videos if name in sources] + live


def _is_live(source: str) -> bool:
    """Whether this is a camera or a stream."""
    if camera_number(source) is not None:
        return source.startswith("/dev/") or not os.path.lexists(source)
    return is_stream_address(source) and Path(source).suffix.lower() not in images.IMAGE_SUFFIXES


def _answering(model: str) -> str:
    """The model, or where TensorFlow is not installed the TFLite file that is there of it."""
    if Path(model).suffix == ".tflite" or importlib.util.find_spec("tensorflow") is not None:
        return model
    file = lite.recognizer_file(model)
    say(f"TensorFlow is not installed: {model}'s {file.name} answers", sys.stderr)
    return str(file)


def _recognize_photos(options: argparse.Namespace, photos: Sequence[str]) -> int:
    classifier = _classifier(options)
    names = [*columns(["path", "face"], classifier.labels, classifier.units, _shapes(options)), "error"]
    journal, tables = Journal(None, {}), Tables(options, names)
    with contextlib.closing(journal):
        try:
            bad = _all_photos(options, photos, classifier, journal, tables)
        finally:
            tables.close(lambda: _photo_rows(journal), lambda: map(_without_rows, journal))
        count = journal.count
        if count > 1:
            say(f"{count} photos, {sum(len(entry['faces']) for entry in journal)} faces{_marked(options)}")
    targets = _targets(photos, options.output)
    _end(options, targets[0] if len(targets) == 1 else None)
    return _complain(bad, count, "photos")


def _classifier(options: argparse.Namespace) -> FaceClassifier:
    with Status() as status:
        status.tell(f"loading {options.model} ...")
        return FaceClassifier(options.model, TOGETHER, options.action_units, options.flip, options.prior)


def _marked(options: argparse.Namespace) -> str:
    """Where the marked copies of several photos and videos are, if anywhere."""
    return "" if options.output == "none" else f", marked in {options.output}"


def _end(options: argparse.Namespace, target: Path | None = None) -> None:
    """Says where the tables are, and opens what was written if that is asked for.

    Args:
        options: of the command line.
        target: the marked photo or video, if there is one alone.
    """
    tables = written(options)
    if tables:
        say(f"{'table' if len(tables) == 1 else 'tables'} in {', '.join(map(str, tables))}")
    shown = [] if options.output == "none" else [target or Path(options.output)]
    for path in [path for path in (*shown, *tables) if path.exists()][: int(options.open)]:
        open_result(path)


def _recognize_all(options: argparse.Namespace, photos: Sequence[str], videos: Sequence[str]) -> int:
    """Photos and videos into one table: the photos first."""
    if Path(options.output).suffix.lower() in (*PICTURES, *VideoWriter.CODECS) and not Path(options.output).is_dir():
        count = len(photos) + len(videos)
        raise VideoError(f"{options.output}: one file cannot hold {count} photos and videos; name a folder")
    classifier = _classifier(options)
    own = ["path", *(["face"] if photos else []), "frame", "time", "person"]
    tables = Tables(options, [*columns(own, classifier.labels, classifier.units, _shapes(options)), "error"])
    journal, journals, bad, done = Journal(None, {}), [], [], False
    names = _names(videos)
    try:
        if photos:
            bad += _all_photos(options, photos, classifier, journal, tables)
        for source, name in zip(videos, names):
            target = _video_target(source, name, options.output)
            try:
                recognizer = _video_recognizer(options)
                with open_video(source):
                    pass
                journals.append((source, _journal(options, source, name, target)))
                problem = _one_video(options, source, target, recognizer, journals[-1][1], tables, source)
                bad += [] if problem is None else [problem]
            except VideoError as error:
                bad.append(str(error))
                entry = {"path": source, "error": str(error), "faces": []}
                with undisturbed():
                    journal.append(entry)
                    tables.add(_photo_rows([entry]), entry)
                say(f"{source}: could not be read")
        done = True
    finally:
        with contextlib.ExitStack() as stack:
            stack.callback(journal.close)
            for _, kept in journals:
                stack.callback(kept.close, remove=done)
            stack.callback(
                tables.close,
                lambda: itertools.chain(
                    _photo_rows(journal), *(frame_rows(_frames(kept), source) for source, kept in journals)
                ),
                lambda: itertools.chain(
                    map(_without_rows, journal), *(_entries(kept, source) for source, kept in journals)
                ),
            )
    what = "photos and videos" if photos else "videos"
    say(f"{len(photos) + len(videos)} {what}{_marked(options)}")
    _end(options)
    return _complain(bad, len(photos) + len(videos), what)


def _shapes(options: argparse.Namespace) -> Sequence[str]:
    return BLENDSHAPES if options.blendshapes else ()


def _complain(bad: Sequence[str], count: int, what: str) -> int:
    """Lists what went wrong; gives the exit code."""
    if bad:
        far = " to the end" if what != "photos" else ""
        print(f"{len(bad)} of {count} {what} could not be read{far}:", file=sys.stderr)
        for error in bad:
            say(f"  {error}", sys.stderr)
    return 1 if bad else 0


def _all_photos(
    options: argparse.Namespace, photos: Sequence[str], classifier: FaceClassifier, journal: Journal, tables: Tables
) -> list[str]:
    """Recognizes photos one after the other; gives the errors of those that could not be read."""
    targets = _targets(photos, options.output)
    asked = {"minimum_score": options.minimum_score, "blendshapes": options.blendshapes}
    found = recognize_each(photos, classifier, options.detector or "mediapipe", **asked)
    bad = []
    for result in _watched(found, photos):
        if result.error is not None and len(photos) == 1 == len(options.photos):
            raise images.ImageError(result.error)
        target = targets.get(journal.count)
        if target is not None and result.error is None:
            image, reduced = images.read_reduced(result.path)
            images.write(target, annotate(image, [face.scaled(1 / reduced) for face in result.predictions]))
        bad += [result.error] if result.error is not None else []
        faces = [{**face.to_json(), "row": face_row(face)} for face in result.predictions]
        entry = {"path": result.path, "error": result.error, "faces": faces}
        with undisturbed():
            journal.append(entry)
            tables.add(_photo_rows([entry]), _without_rows(entry))
        _say(_described(result, target))
    return bad


# -- videos ------------------------------------------------------------------------------------------------------------


def _video_recognizer(options: argparse.Namespace) -> VideoRecognizer:
    with Status() as status:
        status.tell(f"loading {options.model} ...")
        return VideoRecognizer(
            options.model,
            options.detector or "quick",
            options.every,
            options.smoothing,
            options.minimum_score,
            options.action_units,
            options.flip,
            options.prior,
            options.blendshapes,
        )


def _recognize_video(options: argparse.Namespace, source: str) -> int:
    (name,) = _names([source])
    target = _video_target(source, name, options.output)
    recognizer = _video_recognizer(options)
    if not _is_live(source):
        with open_video(source):
            pass
    journal = _journal(options, source, name, target)
    tables = Tables(
        options, columns(["frame", "time", "person"], recognizer.labels, recognizer.units, _shapes(options))
    )
    done = False
    try:
        problem = _one_video(options, source, target, recognizer, journal, tables)
        done = True
        count = journal.count
    finally:
        with contextlib.ExitStack() as stack:
            stack.callback(journal.close, remove=done)
            stack.callback(tables.close, lambda: frame_rows(_frames(journal)), lambda: _entries(journal))
    if count:
        _end(options, target)
    if problem is not None:
        say(f"error: {problem}", sys.stderr)
        return 1 if count else 2
    return 0


def _one_video(
    options: argparse.Namespace,
    source: str,
    target: Path | None,
    recognizer: VideoRecognizer,
    journal: Journal,
    tables: Tables,
    path: str | None = None,
) -> str | None:
    """Recognizes a video, beginning with what the journal holds of an earlier run.

    Args:
        options: of the command line.
        source: the video, camera or stream.
        target: where the marked video goes; None if none is wanted.
        recognizer: a new one.
        journal: gets the results of every frame.
        tables: get the rows.
        path: what the rows call the video; None if they are of no other.

    Returns:
        What is wrong with the video, if anything is.
    """
    kept = recognizer.kept(journal.count)
    journal.keep(kept)
    recognizer.restore(_frames(journal))
    if kept:
        print(f"resuming after {kept} frames that are done")
    people: dict[int, collections.Counter[str]] = {}
    began, last = time.monotonic(), 0.0
    with open_video(source, kept) as video:
        writer = VideoWriter(target, video.rate) if target else None
        try:
            for result in _frames(journal):
                tables.add(frame_rows([result], path), _video_entry(result, path))
            for result in _all_frames(source, video, recognizer, journal, tables, writer, options.seconds, path):
                last = result.time
                for face in result.faces:
                    people.setdefault(face.person, collections.Counter())[face.prediction.expression] += 1
        finally:
            if writer is not None:
                writer.close()
    count = journal.count
    rate = (count - kept) / max(time.monotonic() - began, 1e-6)
    marked = f", marked in {target}" if target and count else ""
    crowd = "1 person" if len(people) == 1 else f"{len(people)} people"
    say(f"{video.name}: {count} frames, {last:.1f} s, {crowd}, {rate:.1f} frames/s{marked}")
    for number, counts in sorted(people.items()):
        shares = ", ".join(f"{label} {share / counts.total():.0%}" for label, share in counts.most_common(3))
        print(f"  {number}. in {counts.total()} frames: {shares}")
    return video.problem if options.seconds is None or last < options.seconds - 1 else None


def _names(sources: Sequence[str]) -> list[str]:
    """A name for what comes of each video, all different: that of the file without its ending."""
    names: list[str] = []
    for source in sources:
        stem = Path(source.replace(":", "_")).stem or "video"
        copies = (stem if copy == 1 else f"{stem}_{copy}" for copy in itertools.count(1))
        names.append(next(name for name in copies if name not in names))
    return names


def _video_target(source: str, name: str, output: str) -> Path | None:
    """Where the marked video goes; None if none is wanted."""
    if output == "none":
        return None
    if Path(output).suffix.lower() in VideoWriter.CODECS and not Path(output).is_dir():
        target = Path(output)
    else:
        target = Path(output) / f"{name}_expressions.mp4"
    if not _is_live(source) and target.resolve() == Path(source).resolve():
        raise VideoError(f"{target}: would overwrite the video; choose another --output")
    return target


def _journal(options: argparse.Namespace, source: str, name: str, target: Path | None) -> Journal:
    """What an earlier run of the same command did, if it was stopped; of a camera or a stream never."""
    files = [target, *(Path(path) for path in (options.csv, options.json, options.jsonl, options.parquet) if path)]
    beside = next((path for path in files if path is not None), None)
    if beside is None or _is_live(source):
        return Journal(None, {})
    state = Path(source).stat()
    asked = ("model", "detector", "every", "smoothing", "minimum_score", "action_units", "flip", "prior", "blendshapes")
    header = {"kerasfer": __version__, "video": str(Path(source).resolve()), "size": state.st_size}
    header |= {"modified": state.st_mtime_ns, **{name: getattr(options, name) for name in asked}}
    return Journal(beside.with_name(f".{name}{Path(source).suffix}.journal"), header)


def _all_frames(
    source: str,
    video: Video,
    recognizer: VideoRecognizer,
    journal: Journal,
    tables: Tables,
    writer: VideoWriter | None,
    seconds: float | None,
    path: str | None,
) -> Iterator[FrameResult]:
    """The results of every frame, those of an earlier run first; marks each in the video that is written."""
    kept = journal.count
    if kept and writer is not None:
        with open_video(source) as again:
            for frame, entry in zip(again, journal):
                result = FrameResult.from_json(entry)
                writer.write(dataclasses.replace(frame, image=mark(frame.image, result.faces)))
                yield result
    else:
        yield from map(FrameResult.from_json, journal)
    results = recognizer.recognize(video)
    with contextlib.closing(results), bar(results, video.count, "frame", kept) as shown:
        for result in shown:
            if seconds is not None and result.time >= seconds:
                return
            with undisturbed():
                journal.append(result.to_json())
                tables.add(frame_rows([result], path), _video_entry(result, path))
            if writer is not None:
                writer.write(Frame(result.number, result.time, mark(result.image, result.faces)))
            yield result


def _frames(journal: Journal) -> Iterator[FrameResult]:
    return map(FrameResult.from_json, journal)


def _video_entry(result: FrameResult, path: str | None = None) -> dict[str, Any]:
    faces = []
    for face in result.faces:
        plain = face.prediction.to_json()
        plain.pop("landmarks")
        faces.append({"person": face.person, **plain})
    known = {} if path is None else {"path": path}
    return {**known, "frame": result.number, "time": round(result.time, 4), "faces": faces}


def _entries(journal: Journal, path: str | None = None) -> Iterator[dict[str, Any]]:
    return (_video_entry(result, path) for result in _frames(journal))


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


def _watched(results: Iterable[PhotoResult], photos: Sequence[str]) -> Iterator[PhotoResult]:
    """The results, with a progress bar if there are many photos."""
    with contextlib.nullcontext(results) if len(photos) == 1 else bar(results, len(photos), "photo") as shown:
        yield from shown


def _say(text: str) -> None:
    """Prints a line, above the progress bar if there is one."""
    if sys.modules.get("tqdm") is not None:
        from tqdm import tqdm

        tqdm.write(text)
    else:
        print(text)


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
            if prediction.unit_details is not None:
                lines.append("     " + _detailed(prediction.action_units, prediction.unit_details))
        if prediction.blendshapes is not None:
            strong = sorted(prediction.blendshapes.items(), key=lambda pair: -pair[1])[:8]
            lines.append("     " + ", ".join(f"{name} {value:.2f}" for name, value in strong))
    return "\n".join(lines)


def _detailed(units: dict[int, float], details: dict[str, float]) -> str:
    """Intensities and sides of the units that are more likely than not."""
    shown = [f"AU{unit}" for unit, value in units.items() if value >= 0.5]
    graded = [f"{unit} {value:.1f}" for unit in shown if (value := details.get(f"{unit}_intensity")) is not None]
    sided = [
        f"{unit} {details[f'{unit}_left']:.0%}/{details[f'{unit}_right']:.0%}"
        for unit in shown
        if f"{unit}_left" in details
    ]
    return f"intensity of 5: {', '.join(graded) or 'none'}; left/right: {', '.join(sided) or 'none'}"


def _photo_rows(entries: Iterable[dict[str, Any]]) -> Iterator[Row]:
    """A row for each face, for each photo without one, and for each that could not be read."""
    for entry in entries:
        yield from photo_rows(entry["path"], entry["error"], [face["row"] for face in entry["faces"]])


def _without_rows(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "faces": [{key: face[key] for key in face if key != "row"} for face in entry["faces"]]}

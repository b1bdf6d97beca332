"""Takes what was recognized to people who correct it, and what they corrected back to be trained on.

    kerasfer recognize photos/ --csv found.csv
    kerasfer labels export label-studio found.csv --photos photos/ --output to_label/ --below 0.6
    kerasfer labels import label-studio project-1.json --photos photos/
    kerasfer train --start-from edge --dataset csv --data photos/labels.csv

The formats:

csv            for a spreadsheet: change the column expression; recognized keeps what the machine said
label-studio   import tasks.json, and labels.xml as labeling interface; export as JSON
fiftyone       fiftyone.types.FiftyOneImageDetectionDataset, with data_path="data.json"; export it so, too, with
               export_media="manifest" and rel_dir=PHOTOS: without rel_dir FiftyOne drops folders and endings of names,
               and of two photos of one name the labels of the first

--below takes photos with a face that the machine is less sure of, and leaves the others out.

Entries that are wrong or there twice are one error that names them, exit code 2, and nothing is written.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kerasfer import labeling
from kerasfer.cli.common import say


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    out = actions.add_parser("export", help="write faces for people to correct")
    out.add_argument("format", choices=labeling.FORMATS)
    out.add_argument("results", metavar="FILE", help="what kerasfer recognize wrote: CSV or Parquet")
    out.add_argument("--photos", metavar="DIR", required=True, help="the folder that all photos are in")
    out.add_argument("--output", metavar="DIR", required=True, help="the folder for the files")
    out.add_argument("--below", type=float, metavar="SHARE", help="photos with a face of less confidence only")
    out.add_argument("--expressions", metavar="NAME,NAME", help="the classes to choose from (default: the model's)")
    out.add_argument(
        "--url",
        default=labeling.formats.LOCAL_FILES,
        help="what stands before a photo's path in Label Studio (default: that of its local files)",
    )
    back = actions.add_parser("import", help="read what people corrected")
    back.add_argument("format", choices=labeling.FORMATS)
    back.add_argument("labels", metavar="FILE", help="what the tool exported; of FiftyOne the folder")
    back.add_argument("--photos", metavar="DIR", required=True, help="the folder that all photos are in")
    back.add_argument("--output", metavar="FILE", help="the CSV file to train on (default: labels.csv in --photos)")
    back.add_argument("--expressions", metavar="NAME,NAME", help="the classes there are, if others are a mistake")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    options = parser().parse_args(arguments)
    if not Path(options.photos).is_dir():
        raise ValueError(f"{options.photos}: no such folder of photos")
    classes = options.expressions.split(",") if options.expressions else None
    if options.action == "import":
        output = options.output or str(Path(options.photos) / "labels.csv")
        table = labeling.load(options.format, options.labels, options.photos, output, classes, say)
        counts = ", ".join(f"{name} {count}" for name, count in table.counts().items() if count)
        say(f"{output}: {len(table)} faces: {counts}")
        say(f"train on them: kerasfer train --start-from edge --dataset csv --data {output}")
        return 0
    if options.below is not None and not 0 < options.below <= 1:
        raise ValueError("--below lies between 0 and 1")
    faces, left_out = labeling.read_results(options.results, options.photos)
    if left_out:
        say(left_out)
    if options.below is not None:
        chosen = labeling.least_sure(faces, options.below)
        say(f"left out: {len(faces) - len(chosen)} faces of photos in which every face is at least {options.below:g}")
        faces = chosen
    written = labeling.export(options.format, faces, options.photos, options.output, classes or (), options.url)
    say(f"{len(faces)} faces of {len({face.path for face in faces})} photos: {', '.join(map(str, written))}")
    return 0

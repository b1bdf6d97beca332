"""Lists the data sets, tells how to get one and whether the one on the disk is complete; writes one as shards.

    kerasfer data list
    kerasfer data card ferplus
    kerasfer data check ferplus DIR
    kerasfer data check ck_plus ck.zip --sheet ck.png --json ck.json
    kerasfer data shard ferplus ferplus.zip --output shards/ferplus

`check` prints what was found and what is missing, counts by expression, split and person beside the papers' and the
owners' counts, and draws some faces of each expression. Exit code 0: all is there; 1: something is missing or damaged,
or a count differs; 2: nothing can be read.

`shard` writes the faces and all that is known of them to Parquet files of some thousand rows each, for workers on many
machines (`kerasfer train --dataset shards --data DIR`) and for sets of hundreds of thousands of faces. A training has
the same losses on them as on the files they were made of. If it is stopped, the same command resumes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from kerasfer import datasets
from kerasfer.cli.common import add_labels_of, locate, own_options, say
from kerasfer.datasets import shards
from kerasfer.files import atomic_write


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="list the data sets")
    card = actions.add_parser("card", help="print a data set's page: source, license, layout, labels, counts")
    card.add_argument("name", metavar="NAME", help="of the data set")
    check = actions.add_parser("check", help="read a data set and count it")
    check.add_argument("name", metavar="NAME", help="of the data set")
    check.add_argument("root", metavar="ROOT", help="its folder or zip, or the folder that holds NAME or NAME.zip")
    check.add_argument("--sheet", metavar="FILE", help="where the picture goes (default: none)")
    check.add_argument("--json", metavar="FILE", help="write the counts as JSON")
    add_labels_of(check)
    shard = actions.add_parser("shard", help="write a data set as shards (Parquet) to train on")
    shard.add_argument("name", metavar="NAME", help="of the data set")
    shard.add_argument("root", metavar="ROOT", help="its folder or zip, or the folder that holds NAME or NAME.zip")
    shard.add_argument("--output", metavar="DIR", required=True, help="the folder for the shards")
    shard.add_argument("--split", metavar="PART", help="only this part: train, valid or test (default: all there are)")
    shard.add_argument(
        "--rows", type=int, default=shards.ROWS, metavar="N", help=f"of a shard (default: {shards.ROWS})"
    )
    shard.add_argument(
        "--labels",
        default="majority",
        choices=("majority", "votes"),
        help="how they will be learned, as for kerasfer train; FERPlus leaves out other faces for votes",
    )
    shard.add_argument(
        "--leave-out", action="store_true", help="leave out files that are missing or damaged, and say so"
    )
    add_labels_of(shard)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    options = parser().parse_args(arguments)
    if options.action == "list":
        for name in datasets.names():
            print(f"{name:<16}{datasets.card(name).splitlines()[2]}")
        return 0
    if options.action == "card":
        print(datasets.card(options.name).rstrip())
        return 0
    from kerasfer import images
    from kerasfer.datasets.checking import contact_sheet

    datasets.reader(options.name)
    if not Path(options.root).exists():
        raise ValueError(f"{options.root}: no such folder or zip file")
    reading = own_options(options.name, options.labels_of)
    root = locate(options.name, options.root) or Path(options.root)
    if options.action == "shard":
        return write_shards(options, root, reading)
    report = datasets.check(options.name, root, **reading)
    for line in str(report).split("\n"):
        say(line)
    if options.sheet and options.sheet != "none" and len(report.table):
        images.write(options.sheet, contact_sheet(report.table))
        say(f"some faces of each expression: {options.sheet}")
    if options.json:
        atomic_write(options.json, (json.dumps(report.to_json(), indent=2) + "\n").encode())
    return 0 if report.complete else 1


def write_shards(options: argparse.Namespace, root: Path, reading: dict[str, Any]) -> int:
    """Reads a set and writes it as shards."""
    if options.rows < 1:
        raise ValueError("--rows is more than 0")
    if options.labels == "votes" and options.name == "ferplus":
        reading = {**reading, "labels": "probability"}
    table = datasets.load(options.name, root, options.split, not options.leave_out, **reading)
    for entry in table.rejected[:10]:
        say(f"left out: {entry.path}: {entry.reason}")
    written = shards.write(table, options.output, options.rows, say)
    left_out = f"; {len(table.rejected)} left out" if table.rejected else ""
    say(f"{options.output}: {len(table)} faces in {len(written)} shards{left_out}")
    say(f"train on them: kerasfer train --model MODEL --dataset shards --data {options.output}")
    return 0

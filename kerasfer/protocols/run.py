"""Runs the papers' protocols: trains every variant on every fold, tests it once, and sets the outcome beside the paper.

    outcome = Experiment("tdgan/table3", data, "runs/table3").run()
    print(outcome.text())

A fold that is done lies in a file of its own, so that a run that was stopped resumes, and several runs with different
`folds` share the work in one folder. The test part of a fold is read once, after its model has been chosen on a part of
the train side (`kerasfer.splits.seal`).
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasfer import splits
from kerasfer.datasets.base import DatasetError, FaceTable
from kerasfer.datasets.reading import prepare_faces
from kerasfer.evaluation.classification import Report, predict
from kerasfer.expressions import ACTION_UNITS, LabelSpace
from kerasfer.faces import ImageSpec
from kerasfer.files import atomic_write
from kerasfer.models import MODELS, model_class
from kerasfer.protocols.data import DataSource
from kerasfer.protocols.outcome import Cell, Outcome, cells_of
from kerasfer.protocols.schema import METRICS, YAW_CLASSES, Data, ProtocolError, Setting, Variant
from kerasfer.protocols.synthesis import MEASUREMENTS
from kerasfer.protocols.tables import protocol, published
from kerasfer.protocols.trained import BestEpoch, Trained, as_json

__all__ = ["Experiment"]

_FORMAT = 1
"""Number of the layout of fold.json; raised when it changes."""

_MODELS_KEPT = 3
"""Built models that are kept in memory, with what was traced of them."""

Say = Callable[[str], None]


class Experiment:
    """A protocol, its data and a folder to run it in.

    Args:
        name: of the protocol.
        data: where faces come from.
        folder: for every fold's file and the outcome. A run in it is resumed.
        size: "paper", "small" or "tiny".
        overrides: fields of the model's config to change.
        folds: numbers of the folds or runs to do here, from 0; None for all.
        settings: names of the settings to do; None for all.
        selection: share of the train side that the epoch is chosen on; 0 trains on all of it and takes the last epoch.
        say: is told what happens, a line at a time.
        verbose: of each training, as in `training.fit`.

    Raises:
        ProtocolError: the protocol, its model, a variant, a setting or a data set is not there.
    """

    def __init__(
        self,
        name: str,
        data: DataSource,
        folder: str | Path,
        *,
        size: str = "paper",
        overrides: dict[str, Any] | None = None,
        folds: Sequence[int] | None = None,
        settings: Sequence[str] | None = None,
        selection: float = 0.1,
        say: Say = print,
        verbose: int = 0,
    ) -> None:
        self.name = name
        self.protocol = protocol(name)
        self.published = published(name)
        self.settings = self.protocol.chosen(settings)
        self.data = data
        self.folder = Path(folder)
        self.size = size
        self.overrides = dict(overrides or {})
        self.folds = None if folds is None else frozenset(folds)
        self.selection = selection
        self.say = say
        self.verbose = verbose
        self._models: dict[str, Trained] = {}
        self._facts: dict[str, dict[str, Any]] = {}
        self._named: dict[tuple[int, ImageSpec], FaceTable] = {}
        if folds is not None and (not folds or min(folds) < 0):
            raise ProtocolError("folds are numbers from 0")
        if not 0 <= selection < 1:
            raise ProtocolError(f"the selection part lies between 0 and 1, not {selection:g}")
        self._check_model()
        self._check_data(skip=self.protocol.metric == "pose_counts" and settings is None)

    def _check_model(self) -> None:
        model = self.protocol.model
        if not model:
            return
        if model not in MODELS:
            raise ProtocolError(
                f"{self.name}: its model {model!r} is not in the project yet; there are: {', '.join(sorted(MODELS))}"
            )
        lacking = [need for need in self.protocol.needs if not hasattr(model_class(model), need)]
        if lacking:
            raise ProtocolError(f"{self.name}: {model} has no method {', '.join(lacking)}, which it is measured by")
        for setting in self.settings:
            for variant in self.protocol.variants:
                self.config(setting, variant)

    def _check_data(self, skip: bool) -> None:
        absent = {setting.name: self.data.missing(self.protocol.data_sets([setting])) for setting in self.settings}
        if skip and any(not names for names in absent.values()):
            for name in (name for name, names in absent.items() if names):
                self.say(f"{name}: left out, the set is not there")
            self.settings = tuple(setting for setting in self.settings if not absent[setting.name])
        elif any(absent.values()):
            names = list(dict.fromkeys(name for missing in absent.values() for name in missing))
            possible = [name for name, missing in absent.items() if not missing]
            others = f", or run what there is with --settings '{possible[0]}'" if possible else ""
            raise ProtocolError(
                f"{self.name} needs {', '.join(names)}: no folder or zip of that name there; their cards say where to "
                f"get them (python apps/data.py card {names[0]}){others}"
            )

    def config(self, setting: Setting, variant: Variant) -> Any:
        """The config of a variant in a setting.

        Raises:
            ProtocolError: the model has no such variant.
            ConfigError: an unknown field in `overrides`.
        """
        base = getattr(model_class(self.protocol.model).Config, self.size)()
        classes = self._space(setting).labels
        chosen = variant.of(base.replace(expressions=classes))
        return chosen.replace(**self.overrides)

    def _space(self, setting: Setting) -> LabelSpace:
        """The classes learned in a setting."""
        space = LabelSpace.of(setting.data.classes or "basic7")
        if setting.test is None or not setting.test.classes:
            return space
        other = LabelSpace.of(setting.test.classes)
        return LabelSpace.of(space.shared(other).labels)

    def run(self) -> Outcome:
        """Does what is left to do of the chosen settings and folds, and gathers all that is done.

        Returns:
            The outcome so far; also written to the folder as result.json, result.csv, and figures for each setting and
            variant: confusion matrix and ROC curves.

        Raises:
            DatasetError: a set is not as its layout says.
            ProtocolError: the folder holds folds of other settings.
            training.Interrupted: SIGINT or SIGTERM; the same run resumes.
        """
        for setting in self.settings:
            if self.protocol.metric == "pose_counts":
                self._count_poses(setting)
            else:
                self._run_setting(setting)
        return self.gather()

    # -- one setting ---------------------------------------------------------------------------------------------------

    def _run_setting(self, setting: Setting) -> None:
        spec = self._spec(setting)
        table = self._faces(setting.data, spec)
        test = self._faces(setting.test, spec) if setting.test else None
        runs = setting.rule.splits(table, test)
        images = len(table) + (len(test) if test else 0)
        todo = len(runs) * len(self.protocol.variants)
        self._facts[setting.name] = {"images": images, "folds": todo, "rule": str(setting.rule)}
        wanted = [number for number in range(len(runs)) if self.folds is None or number in self.folds]
        if self.folds is not None and not wanted:
            raise ProtocolError(f"{setting.name} has folds 0 to {len(runs) - 1}, none of those asked for")
        self.say(f"{setting.name}: {images} faces, {setting.rule}")
        for variant in self.protocol.variants:
            for number in wanted:
                split, seed = runs[number]
                self._run_fold(setting, variant, number, split, seed)

    def _spec(self, setting: Setting) -> ImageSpec:
        config = self.config(setting, self.protocol.variants[0])
        return ImageSpec(config.image_size, config.channels, config.pixel_range)

    def _faces(self, data: Data, spec: ImageSpec) -> FaceTable:
        """The faces of a set, aligned, with poses where the metric asks for them."""
        table = self.data.load(data, spec)
        table = self._aligned(table, data, spec)
        return table if self.protocol.metric not in _BY_POSE else self._posed(table)

    def _aligned(self, table: FaceTable, data: Data, spec: ImageSpec) -> FaceTable:
        """The faces cut out by their landmarks, a third larger than the model takes them; the set's own poses stay."""
        if data.cropped or self.data.synthetic:
            return table
        from kerasfer.detection import align_table

        self.say(f"{data.name}: aligning {len(table)} faces (once; kept in {self.folder / 'aligned'})")
        cache = self.folder / "aligned"
        aligned = align_table(table, spec.size * 4 // 3, spec.channels, cache=cache, progress=True)
        own = "pose" in table and len(aligned) == len(table)
        return aligned.with_columns(pose=table["pose"]) if own else aligned

    def _posed(self, table: FaceTable) -> FaceTable:
        """The table with head poses: its own, or estimated ones."""
        if "pose" in table and np.isfinite(table["pose"][:, 0]).any():
            return table
        from kerasfer.detection import estimate_poses

        self.say(f"{table.name}: estimating {len(table)} head poses (once; kept in {self.folder / 'poses'})")
        return estimate_poses(table, cache=self.folder / "poses", progress=self._progress(table.name))

    def _progress(self, what: str) -> Callable[[int, int], None]:
        def show(done: int, count: int) -> None:
            if done == count or done % 4096 == 0:
                self.say(f"{what}: {done} of {count}")

        return show

    # -- one fold ------------------------------------------------------------------------------------------------------

    def _fold_folder(self, setting: Setting, variant: Variant, number: int) -> Path:
        return self.folder / _slug(setting.name) / _slug(variant.name) / f"fold-{number:02d}"

    def _run_fold(self, setting: Setting, variant: Variant, number: int, split: splits.Split, seed: int) -> None:
        folder = self._fold_folder(setting, variant, number)
        config = self.config(setting, variant)
        recognition = self.protocol.metric in _RECOGNITION and not self.protocol.fits
        sealed = splits.seal(split, self.selection if recognition else 0.0, seed)
        key = {
            "format": _FORMAT,
            "protocol": self.name,
            "setting": setting.name,
            "variant": variant.name,
            "fold": number,
            "seed": seed,
            "faces": sealed.fingerprint,
            "selection": self.selection if recognition else 0.0,
            "synthetic": self.data.synthetic,
            "config": config.to_dict(),
        }
        if _read_fold(folder / "fold.json", key) is not None:
            return
        trained = self._model(config)
        trained.restart(seed)
        model = trained.model
        if setting.start is not None and setting.start.name != setting.data.name:
            from kerasfer.training import load_state

            load_state(model, self._started(setting, variant, trained, seed))
            trained.reset_counters()
        chosen: dict[str, Any] | None = None
        history: list[dict[str, float]] = []
        fitted = self.protocol.fits or self.protocol.metric == "unit_auc"
        if not (fitted and setting.start is not None and setting.start.name != setting.data.name):
            best = BestEpoch(folder, sealed.selection, trained.recognizes) if sealed.selection else None
            history = self._fit(trained, sealed.train, folder, seed, [best] if best else [])
            chosen = best.best() if best else None
        with self._chosen(model, folder if chosen else None):
            if self.protocol.fits:
                model.fit_classifier(*self._learned(model, sealed.train), seed=seed)
            test = sealed.release_test()
            measured = self._measure(setting, trained, sealed.train, test, history, seed)
        content = {**key, "name": split.name, "trained_on": len(sealed.train), "chosen": chosen, **measured}
        atomic_write(folder / "fold.json", as_json(content))
        for left in ("checkpoints", "logs"):
            shutil.rmtree(folder / left, ignore_errors=True)
        for left in ("best.safetensors", "config.json"):
            (folder / left).unlink(missing_ok=True)
        shown = ", ".join(f"{cell} {value:.4g}" for cell, value in list(measured["cells"].items())[:1])
        self.say(f"{setting.name}, {variant.name}, fold {number}: {shown}")

    def _chosen(self, model: Any, folder: Path | None) -> Any:
        """A context in which the model has the weights that were chosen."""
        if folder is None:
            return model.averaged_weights()
        from contextlib import nullcontext

        from kerasfer.training import load_state

        load_state(model, folder / "best.safetensors")
        return nullcontext()

    def _started(self, setting: Setting, variant: Variant, trained: Trained, seed: int) -> Path:
        """The state of a model trained on the set that the setting starts from."""
        from kerasfer.training import save_state

        folder = self.folder / _slug(setting.name) / _slug(variant.name) / f"start-{seed}"
        state = folder / "state.safetensors"
        if not state.is_file():
            table = self._faces(setting.start, self._spec(setting))
            if "split" in table and (table["split"] == "train").any():
                table = table.where(split="train")
            self.say(f"{setting.name}, {variant.name}: training on {len(table)} faces of {table.name} first")
            self._fit(trained, table, folder, seed, [])
            with trained.model.averaged_weights():
                save_state(trained.model, state)
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
            (folder / "config.json").unlink(missing_ok=True)
        return state

    def _model(self, config: Any) -> Trained:
        key = json.dumps(config.to_dict(), sort_keys=True)
        if key not in self._models:
            while len(self._models) >= _MODELS_KEPT:
                del self._models[next(iter(self._models))]
            self._models[key] = Trained(model_class(self.protocol.model), config)
        return self._models[key]

    def _fit(
        self, trained: Trained, table: FaceTable, folder: Path, seed: int, watchers: list
    ) -> list[dict[str, float]]:
        from kerasfer import trainer
        from kerasfer.data import Recipe, kind_of

        model = trained.model
        faces = [self._named_faces(table, model)] if kind_of(model, model.config).people(model.config) else []
        recipe = Recipe(table, 0, split="all", faces=faces, seed=seed, cache=self.folder)
        prepared = recipe.prepare(model, model.config, folder, self.say)
        size = min(model.config.batch_size, len(prepared.table))
        batches = prepared.batches(model.image_spec, model.label_space, size)
        trained.compile(batches.steps_per_epoch)
        run = trainer.train(model, batches, folder, on_epoch_end=watchers, verbose=self.verbose, say=lambda line: None)
        return run.history

    def _named_faces(self, table: FaceTable, model: Any) -> FaceTable:
        """The faces of the people that the model learns to tell apart: the first by name, as in TDGAN."""
        data, people, spec = self.protocol.faces, model.config.identities, model.image_spec
        if data is None:
            return splits.first_identities(table, people)
        if (people, spec) not in self._named:
            fewer = {"identities": people} if data.name == "casia_webface" else {}
            data = dataclasses.replace(data, options={**data.options, **fewer})
            chosen = splits.first_identities(self.data.load(data, spec), people)
            self._named[people, spec] = self._aligned(chosen, data, spec)
        return self._named[people, spec]

    def _learned(self, model: Any, table: FaceTable) -> tuple[np.ndarray, np.ndarray]:
        faces = model.image_spec.scale(prepare_faces(table, model.image_spec))
        return faces, table.encoded(model.label_space)

    # -- measuring -----------------------------------------------------------------------------------------------------

    def _measure(
        self,
        setting: Setting,
        trained: Trained,
        train: FaceTable,
        test: FaceTable,
        history: list[dict[str, float]],
        seed: int,
    ) -> dict[str, Any]:
        """The cells of one fold, and for recognition what they are computed from."""
        metric, model = self.protocol.metric, trained.model
        if metric == "hours":
            seconds = sum(row["seconds"] for row in history)
            return {"n": 0, "cells": {"hours": seconds / 3600}}
        if metric == "unit_auc":
            model.fit_units(model.image_spec.scale(prepare_faces(train, model.image_spec)), train["aus"], seed=seed)
            # A unit that the train part does not show scores the same for every face: an area of a half.
            scores = np.nan_to_num(model.detect_units(model.image_spec.scale(prepare_faces(test, model.image_spec))))
            labels = [f"AU{unit}" for unit in ACTION_UNITS]
            return self._scored(labels, test["aus"] > 0.5, scores, None)
        if metric in MEASUREMENTS:
            return MEASUREMENTS[metric](model, test, seed)
        if self.protocol.peak:
            test = _peaks(test, setting.data.peak)
        learned = model.label_space
        tested = LabelSpace.of(setting.tested) if setting.tested else learned
        test = splits.restricted(test, tested)
        if not len(test):
            raise DatasetError(f"{test.name}: no face of {', '.join(tested.labels)} to test")
        recognizes = trained.recognizes if not self.protocol.fits else model
        columns = [learned.index(label) for label in tested.labels]
        scores = predict(recognizes, test)[:, columns]
        poses = test["pose"][:, :2] if metric in _BY_POSE else None
        return self._scored(tested.labels, test.encoded(tested), scores, poses)

    def _scored(
        self, labels: Sequence[str], true: np.ndarray, scores: np.ndarray, poses: np.ndarray | None
    ) -> dict[str, Any]:
        return {
            "n": len(true),
            "cells": cells_of(self.protocol.metric, labels, true, scores, poses),
            "labels": list(labels),
            "true": np.asarray(true).astype(int).tolist(),
            "scores": np.round(scores.astype(np.float64), 6).tolist(),
        }

    def _count_poses(self, setting: Setting) -> None:
        """Numbers of faces in each class of yaw."""
        folder = self._fold_folder(setting, self.protocol.variants[0], 0)
        table = self._posed(self.data.load(setting.data, ImageSpec(64)))
        edges = [*YAW_CLASSES, 180]
        counts = [len(splits.turned_by(table, low, high)) for low, high in zip(edges, edges[1:])]
        names = [f"{low} to {high}" for low, high in zip(edges[:-2], edges[1:-1])] + [f"above {edges[-2]}"]
        cells = {**dict(zip(names, counts)), "no face found": int(np.isnan(table["pose"][:, 0]).sum())}
        self._facts[setting.name] = {"images": len(table), "folds": 1, "rule": "the train part"}
        key = {
            "format": _FORMAT,
            "protocol": self.name,
            "setting": setting.name,
            "variant": self.protocol.variants[0].name,
        }
        content = {**key, "fold": 0, "synthetic": self.data.synthetic, "n": len(table), "cells": cells}
        atomic_write(folder / "fold.json", as_json(content))

    # -- gathering -----------------------------------------------------------------------------------------------------

    def gather(self) -> Outcome:
        """All folds that are done, as means beside the paper's figures; writes the result files."""
        cells: list[Cell] = []
        facts: dict[str, Any] = {}
        for setting in self.settings:
            known = self._facts[setting.name]
            done = {variant.name: list(self._done(setting, variant)) for variant in self.protocol.variants}
            for variant in self.protocol.variants:
                cells += self._cells(setting, variant.name, done[variant.name])
                self._draw(setting, variant, done[variant.name])
            ours = {cell.method for cell in cells if cell.setting == setting.name}
            cells += [
                self._cell(setting.name, row["method"], row["cell"], [], 0)
                for row in self.published.rows
                if row["setting"] == setting.name and row["method"] not in ours
            ]
            paper_images = self.published.images.get(setting.name)
            facts[setting.name] = {**known, "done": sum(map(len, done.values())), "paper_images": paper_images}
        published = self.published
        about = {
            "protocol": self.name,
            "title": self.protocol.title,
            "paper": published.paper,
            "place": published.place,
            "section": published.section,
            "unit": published.unit,
            "note": published.note,
            "reading": self.protocol.notes,
            "model": self.protocol.model,
            "metric": METRICS[self.protocol.metric],
            "size": self.size,
            "overrides": self.overrides,
            "selection": self.selection,
            "synthetic": self.data.synthetic,
            "settings": facts,
        }
        outcome = Outcome(self.name, tuple(cells), about)
        atomic_write(self.folder / "result.json", as_json(outcome.to_json()))
        atomic_write(self.folder / "result.csv", outcome.to_csv().encode())
        return outcome

    def _done(self, setting: Setting, variant: Variant) -> Iterator[dict[str, Any]]:
        for path in sorted(self._fold_folder(setting, variant, 0).parent.glob("fold-*/fold.json")):
            content = json.loads(path.read_text(encoding="utf-8"))
            same = content["synthetic"] == self.data.synthetic
            if self.protocol.model:
                same = same and content["config"] == self.config(setting, variant).to_dict()
            if not same:
                raise ProtocolError(f"{path}: is of other faces or settings; choose another folder with --output")
            yield content

    def _cells(self, setting: Setting, method: str, done: list[dict[str, Any]]) -> list[Cell]:
        tested = sum(fold["n"] for fold in done)
        names = list(dict.fromkeys(name for fold in done for name in fold["cells"]))
        names += [
            row["cell"]
            for row in self.published.rows
            if (row["setting"], row["method"]) == (setting.name, method) and row["cell"] not in names
        ]
        return [
            self._cell(
                setting.name, method, name, [fold["cells"][name] for fold in done if name in fold["cells"]], tested
            )
            for name in names
        ]

    def _cell(self, setting: str, method: str, cell: str, values: Sequence[float], n: int) -> Cell:
        row = self.published.value(method, setting, cell) or {}
        return Cell(
            setting=setting,
            method=method,
            cell=cell,
            kind=row.get("kind", ""),
            paper=row.get("value"),
            paper_deviation=row.get("deviation"),
            paper_best=row.get("best"),
            ours=round(float(np.mean(values)), 6) if values else None,
            deviation=round(float(np.std(values, ddof=1)), 6) if len(values) > 1 else None,
            best=max(values) if values else None,
            folds=len(values),
            n=n,
        )

    def _draw(self, setting: Setting, variant: Variant, done: list[dict[str, Any]]) -> None:
        """Confusion matrix and ROC curves over all folds done."""
        scored = [fold for fold in done if "scores" in fold]
        if not scored:
            return
        from kerasfer import plots

        labels = scored[0]["labels"]
        true = np.concatenate([np.asarray(fold["true"]) for fold in scored])
        scores = np.concatenate([np.asarray(fold["scores"]) for fold in scored])
        stem = self.folder / f"{_slug(setting.name)}-{_slug(variant.name)}"
        plots.save(plots.roc_curves(true, scores, labels), stem.with_name(f"{stem.name}-roc.png"))
        if true.ndim == 1:
            size = len(labels)
            counts = np.bincount(true * size + scores.argmax(1), minlength=size * size).reshape(size, size)
            report = Report(tuple(labels), counts, dataset=setting.name, model=variant.name, protocol=self.name)
            plots.save(plots.confusion_matrix(report), stem.with_name(f"{stem.name}-confusion.png"))


_BY_POSE = ("pose_accuracy", "pose_recall", "view_recall", "yaw_subsets")
_RECOGNITION = ("accuracy", "recall", "auc", *_BY_POSE)


def _peaks(table: FaceTable, which: str) -> FaceTable:
    """Of each sequence the last frame, or the middle one."""
    rows: dict[str, list[int]] = {}
    for row in np.argsort(table["frame"], kind="stable").tolist():
        rows.setdefault(str(table["sequence"][row]), []).append(row)
    return table.select(sorted(found[-1 if which == "last" else len(found) // 2] for found in rows.values()))


def _slug(name: str) -> str:
    """A name as a folder."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", name)


def _read_fold(path: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    """A fold that is done; None if it is not.

    Raises:
        ProtocolError: it is damaged, or of a run with other settings.
    """
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ProtocolError(f"{path}: not readable ({error}); delete it to run the fold again") from error
    changed = [name for name, value in key.items() if content.get(name) != value]
    if changed:
        raise ProtocolError(
            f"{path}: is of a run with another {', '.join(changed)}; choose another folder with --output, or delete it"
        )
    return content

"""A run: plans it, lets Ray Data's actors do the shards that are missing, and counts.

Ray moves numbers of shards and what is counted in them, no photos: an actor reads its shard's photos, recognizes them
with the model that it keeps, and writes the shard's file. So nothing has to be kept in Ray's memory, and no more photos
are on their way than the actors have in hand.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import hashlib
import importlib.util
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasfer import lite
from kerasfer.detection import find_detector
from kerasfer.faces import BLENDSHAPES
from kerasfer.models import DEFAULT_RECOGNIZER
from kerasfer.priors import Prior
from kerasfer.ray.counts import Asked, Counts
from kerasfer.ray.places import BulkError, Folder, Refused, Unreachable, asked_of, is_remote, local_path, store_of
from kerasfer.ray.plan import Plan, is_shard_name, read_plan, shard_name, write_plan
from kerasfer.ray.segments import cut
from kerasfer.ray.shards import STOPS, Recognizer, counts_of, do_shard, named_photos, table_columns, text_of
from kerasfer.ray.sources import MANIFESTS, entries
from kerasfer.recognition import FaceClassifier
from kerasfer.rows import Row, face_row, photo_rows, schema
from kerasfer.version import __version__
from kerasfer.weights import bundled

if TYPE_CHECKING:
    import pyarrow
    import ray.data

__all__ = ["Progress", "Report", "recognize", "recognize_many"]

ROUND = 10_000
"""Shards that Ray is told of at a time."""

STORE = 100_000_000
"""Bytes of memory that Ray keeps for what is passed on, on a machine of its own: numbers of shards."""

STARTS = 5
"""How often a cluster is started before it is given up."""

READERS = 16
"""Threads that read what is counted in shards of earlier runs."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        shards, done: how many shards there are, and how many have their file.
        counts: what is in the shards of this run.
        seconds: since the first shard was begun.
    """

    shards: int
    done: int
    counts: Counts
    seconds: float
    earlier: int = 0

    @property
    def rate(self) -> float:
        """Photos and frames a second."""
        return (self.counts.photos + self.counts.frames) / max(self.seconds, 1e-9)

    @property
    def left(self) -> float:
        """Seconds that the rest will take, if its shards take as long as those of this run did; inf at its start."""
        done = self.done - self.earlier
        return self.seconds * (self.shards - self.done) / done if done else float("inf")


@dataclasses.dataclass(frozen=True)
class Report:
    """What a run leaves.

    Attributes:
        folder: where the Parquet files are.
        shards: how many.
        earlier: shards of these that earlier runs did.
        counts: what is in all of them.
        left_out: number of files that were left out, by their ending or by the reason.
        seconds: that this run took.
    """

    folder: str
    shards: int
    earlier: int
    counts: Counts
    left_out: dict[str, int]
    seconds: float


def recognize_many(
    sources: str | Sequence[str],
    folder: str,
    model: str = DEFAULT_RECOGNIZER,
    detector: str | None = None,
    batch_size: int = 32,
    minimum_score: float = 0.5,
    action_units: bool | str = False,
    flip: bool = False,
    blendshapes: bool = False,
    prior: Prior | None = None,
    use_lite: bool = False,
    shard_size: int = 1000,
    segment_seconds: float = 60.0,
    workers: int | None = None,
    gpus: float = 0.0,
    address: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    show: Callable[[Progress], None] | None = None,
) -> Report:
    """Recognizes the faces in many photos on one machine or on many, into a folder of Parquet files.

    Each file is one shard, with a row for each face, and one for each photo without a face or with an error; it is
    there when it is whole. Called again with the same arguments, whatever ended the call before, this does the shards
    that are missing: the files then hold each row once, as if nothing had happened. The list of photos is that of the
    first call.

    Args:
        sources: folders, patterns, photos, videos, manifests (.csv or .parquet, with a column "path") and WebDataset
            archives (.tar): paths that every machine sees, or addresses that fsspec reads (s3://, gs://, https://).
        folder: a path that every machine sees, or an address that fsspec writes.
        model: a name of `kerasfer.list_models()`, or the path of a folder or a .tflite file that every machine sees.
        detector: a key of `kerasfer.detection.DETECTORS`; None: "mediapipe" for photos, "quick" for videos.
        batch_size, minimum_score, action_units, flip, blendshapes, prior: as for `kerasfer.recognize`.
        use_lite: run the model's TFLite file, which takes a fraction of TensorFlow's memory.
        shard_size: photos (or frames of videos) in a shard; an archive is one.
        segment_seconds: least length of the parts that videos are cut into, at key frames.
        workers: actors, each on one processor; None: as many as the cluster has processors.
        gpus: GPUs for each actor, such as 0.25.
        address: of a Ray cluster, such as "auto"; None: the one that this process is connected to, or else one on this
            machine for this call.
        storage_options: for fsspec.
        show: is told how far the run is, after each shard.

    Returns:
        What was found in all shards.

    Raises:
        BulkError: an argument is wrong, a source cannot be read or lists a photo twice, an earlier call was another,
            credentials fail, or a file cannot be written. What was done stays.
        ValueError: the model, the detector or the prior is unknown.
        ImportError: Ray is not installed.
    """
    began = time.monotonic()
    require_ray()
    sources = [sources] if isinstance(sources, str) else list(sources)
    if shard_size < 1 or batch_size < 1 or segment_seconds <= 0 or workers is not None and workers < 1:
        raise BulkError("shard_size, batch_size, segment_seconds and workers are at least 1")
    options = dict(storage_options or {})
    find_detector(detector or "mediapipe")
    if use_lite:
        model = str(lite.recognizer_file(model))
    how = Asked(model, detector, batch_size, minimum_score, action_units, flip, blendshapes, prior)
    place = Folder(folder, options)
    asked = {"kerasfer": __version__, "sources": sources, **dataclasses.asdict(how), "model_digest": digest_of(model)}
    del asked["batch_size"]  # It decides nothing but how quick it is.
    asked |= {"shard_size": shard_size, "segment_seconds": segment_seconds}
    asked |= {"manifests": digests_of_manifests(sources, options)}
    with reported(), contextlib.ExitStack() as stack:
        plan = read_plan(place, asked)
        start = functools.cache(lambda: stack.enter_context(cluster(address, workers)))
        if plan is None:
            plan = _planned(place, sources, options, how, asked, start)
        place.sweep()
        names = place.names()
        missing = [shard for shard in range(plan.shards) if shard_name(shard) not in names]
        new, earlier = set(missing), plan.shards - len(missing)
        counts, started = Counts(), time.monotonic()
        if missing:
            job = Job(how, plan, place, options, gpus)
            start()
            started = time.monotonic()
            for number, found in enumerate(_done(job, missing, workers), 1):
                counts.add(found)
                if show is not None:
                    show(Progress(plan.shards, earlier + number, counts, time.monotonic() - started, earlier))
        for found in _counted(plan, place, [shard for shard in range(plan.shards) if shard not in new]):
            counts.add(found)
        left_out = collections.Counter(plan.left_out) + collections.Counter(counts.left_out)
    return Report(str(place), plan.shards, earlier, counts, dict(left_out), time.monotonic() - began)


def recognize(
    dataset: ray.data.Dataset,
    model: str = DEFAULT_RECOGNIZER,
    detector: str | None = None,
    batch_size: int = 32,
    minimum_score: float = 0.5,
    action_units: bool | str = False,
    flip: bool = False,
    blendshapes: bool = False,
    prior: Prior | None = None,
    use_lite: bool = False,
    workers: int | None = None,
    gpus: float = 0.0,
    storage_options: Mapping[str, Any] | None = None,
) -> ray.data.Dataset:
    """Recognizes the faces in the photos of a Ray dataset, as a further stage of whatever is built of it.

    Args:
        dataset: with a column "path" (paths and addresses of photos), a column "bytes" (contents of image files), or
            both, as `ray.data.read_binary_files(..., include_paths=True)` gives them: "path" is then only a name.
        model, detector, batch_size, minimum_score, action_units, flip, blendshapes, prior: as for `recognize_many`.
        use_lite, workers, gpus, storage_options: as for `recognize_many`.

    Returns:
        A dataset with the columns of `recognize_many`: a row for each face, and one for each photo without a face or
        with an error. Nothing is done before its rows are taken.

    Raises:
        ImportError: Ray is not installed.
        ValueError: the model, the detector or the prior is unknown.
    """
    require_ray()
    find_detector(detector or "mediapipe")
    if use_lite:
        model = str(lite.recognizer_file(model))
    how = Asked(model, detector, batch_size, minimum_score, action_units, flip, blendshapes, prior)
    names = _columns_of(how, False)
    return dataset.map_batches(
        _Photos,
        fn_constructor_args=(how, tuple(names), dict(storage_options or {})),
        batch_size=batch_size,
        batch_format="pyarrow",
        **_actors(workers, gpus),
    )


class _Photos:
    """An actor that turns batches of photos into rows."""

    def __init__(self, how: Asked, names: Sequence[str], options: Mapping[str, Any]) -> None:
        _alone()
        self._names = names
        self._recognizer = Recognizer(how, options)

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        import pyarrow

        if not {"path", "bytes"} & set(batch.column_names):
            raise BulkError(f"the dataset has no column path or bytes, but {', '.join(batch.column_names)}; name it so")
        photos = named_photos(batch)
        rows: list[Row] = []
        for result in self._recognizer.results(photos):
            rows += photo_rows(result.path, result.error, [face_row(face) for face in result.predictions])
        full = [{name: text_of(row.get(name)) for name in self._names} for row in rows]
        return pyarrow.Table.from_pylist(full, schema(self._names))


# -- what runs on the cluster ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Job:
    """What an actor must know to do shards."""

    how: Asked
    plan: Plan
    folder: Folder
    options: dict[str, Any]
    gpus: float


class _Shards:
    """An actor that does shards, one after the other, with the model that it loads for the first."""

    def __init__(self, job: Job) -> None:
        _alone()
        self._job = job
        self._recognizer: Recognizer | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        told = [self._do(int(shard)) for shard in batch["shard"]]
        return {"counts": [counts for counts, _ in told], "failure": [failure for _, failure in told]}

    def _do(self, shard: int) -> tuple[str, str]:
        """What is counted in the shard, as JSON, and why it could not be done, or ""."""
        job = self._job
        try:
            if job.plan.asked["kerasfer"] != __version__:
                raise BulkError(
                    f"a worker has kerasfer {__version__}, the run kerasfer {job.plan.asked['kerasfer']}; "
                    "install the same on all machines"
                )
            if self._recognizer is None:
                if digest_of(job.how.model) != job.plan.asked["model_digest"]:
                    raise BulkError(f"{job.how.model}: is another model on a worker; copy the same to all machines")
                self._recognizer = Recognizer(job.how, job.options)
            counts = do_shard(self._recognizer, job.plan, job.folder, shard)
        except (*STOPS, ValueError) as error:
            return "", " ".join(str(error).split()) or type(error).__name__
        return json.dumps(dataclasses.asdict(counts)), ""


def _alone() -> None:
    """Keeps an actor to the one processor that it has; an actor's GPU is shared with others."""
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = "1"
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if importlib.util.find_spec("cv2") is not None:
        import cv2

        cv2.setNumThreads(1)


def _actors(workers: int | None, gpus: float) -> dict[str, Any]:
    """Arguments of `map_batches`: how many actors, and on what."""
    import ray
    import ray.data

    there = max(1, int(ray.cluster_resources().get("CPU", 1)))
    most = workers
    if gpus:
        there = max(1, int(ray.cluster_resources().get("GPU", 0) / gpus))
    pool = ray.data.ActorPoolStrategy(
        min_size=1, max_size=most, initial_size=min(there, most or there), max_tasks_in_flight_per_actor=2
    )
    return {"compute": pool, "num_cpus": 1, **({"num_gpus": gpus} if gpus else {})}


def _done(job: Job, missing: Sequence[int], workers: int | None) -> Iterator[Counts]:
    """Lets actors do shards; gives what is in each as it is done.

    Raises:
        BulkError: a shard cannot be done; the others that are on their way are given up.
    """
    import ray.data

    with quiet():
        for begin in range(0, len(missing), ROUND):
            numbers = [{"shard": shard} for shard in missing[begin : begin + ROUND]]
            dataset = ray.data.from_items(numbers, override_num_blocks=len(numbers)).map_batches(
                _Shards,
                fn_constructor_args=(job,),
                batch_size=1,
                batch_format="numpy",
                **_actors(min(workers or len(numbers), len(numbers)), job.gpus),
            )
            for batch in dataset.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
                for counts, failure in zip(batch["counts"], batch["failure"], strict=True):
                    if failure:
                        raise BulkError(str(failure))
                    yield Counts(**json.loads(str(counts)))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Ray Data without bars and remarks of its own."""
    import ray.data

    context, log = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    before, level = context.enable_progress_bars, log.level
    context.enable_progress_bars = False
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars = before
        log.setLevel(level)


@contextlib.contextmanager
def cluster(address: str | None, workers: int | None) -> Iterator[None]:
    """A connection to a Ray cluster: the one that there is, that of an address, or a new one on this machine."""
    import ray

    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    told: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is not None:
        told |= {"address": address}
    else:
        # "local": a new one, whatever other runs on this machine. What Ray says of actors' arguments is for developers.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        told |= {"address": "local", "num_cpus": workers or processors()}
        told |= {"include_dashboard": False, "object_store_memory": STORE}
    for attempt in range(STARTS):
        try:
            ray.init(**told)
            break
        except Exception as error:
            ray.shutdown()
            reason = " ".join(str(error).split())
            if "timed out" in reason and attempt + 1 < STARTS:
                continue  # Ray gives a new node half a minute, which a busy machine may take.
            where = address or "this machine"
            raise BulkError(f"{where}: no Ray cluster can be reached ({reason}); start one") from error
    try:
        yield
    finally:
        ray.shutdown()


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Turns what a store or Ray says into one line."""
    try:
        yield
    except (Refused, Unreachable) as error:
        raise BulkError(str(error)) from error
    except Exception as error:
        if not type(error).__module__.startswith("ray."):
            raise
        lines = [line for line in str(error).splitlines() if line.strip()]
        told = f"{type(error).__name__}: {lines[-1].strip() if lines else ''}"
        raise BulkError(f"Ray gave up ({told}); what is done stays: run the same command again") from error


# -- planning and counting ---------------------------------------------------------------------------------------------


def _columns_of(how: Asked, videos: bool) -> list[str]:
    classifier = FaceClassifier(how.model, how.batch_size, how.action_units, how.flip, how.prior)
    return table_columns(classifier, BLENDSHAPES if how.blendshapes else (), videos)


def _planned(
    place: Folder,
    sources: Sequence[str],
    options: Mapping[str, Any],
    how: Asked,
    asked: Mapping[str, Any],
    start: Callable[[], None],
) -> Plan:
    """Looks through the sources and writes down the shards."""
    if any(is_shard_name(name) for name in place.names()):
        raise BulkError(f"{place}: holds shards but no plan of them (_plan/plan.json); choose another folder")
    left_out: collections.Counter[str] = collections.Counter()
    names = {videos: _columns_of(how, videos) for videos in (False, True)}
    found = cut(entries(sources, options, left_out), asked["segment_seconds"], options, start)
    return write_plan(place, found, asked["shard_size"], asked, names.__getitem__, left_out)


def _counted(plan: Plan, place: Folder, shards: Sequence[int]) -> Iterator[Counts]:
    """What is in shards that are done."""
    with ThreadPoolExecutor(READERS) as executor:
        for begin in range(0, len(shards), ROUND):
            for found in executor.map(lambda shard: counts_of(plan, place, shard), shards[begin : begin + ROUND]):
                if found is None:
                    raise BulkError(f"{place}: a shard vanished while it was counted; run the same command again")
                yield found


def digest_of(model: str) -> str:
    """SHA-256 of a model's files: those that decide what it answers."""
    path = Path(model)
    if not path.exists() and model in bundled():
        path = bundled()[model]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in (".safetensors", ".tflite"))
        files += [path / "config.json"]
    else:
        files = [path]
    digest = hashlib.sha256()
    for file in files:
        try:
            digest.update(file.read_bytes())
        except OSError as error:
            raise BulkError(f"{file}: cannot be read ({error.strerror}); name a model that is there") from error
    return digest.hexdigest()


def digests_of_manifests(sources: Sequence[str], options: Mapping[str, Any]) -> dict[str, str]:
    """What tells whether a manifest is the one of an earlier run."""
    found = {}
    for source in sources:
        if not source.lower().endswith(MANIFESTS):
            continue
        try:
            if is_remote(source):
                found[source] = str(asked_of(functools.partial(store_of(source, options).ukey, source), source))
            else:
                with open(local_path(source), "rb") as file:
                    digest = hashlib.sha256()
                    while part := file.read(1 << 20):
                        digest.update(part)
                found[source] = digest.hexdigest()
        except (OSError, Refused, Unreachable) as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else " ".join(str(error).split())
            raise BulkError(f"{source}: cannot be read ({reason}); check the path") from error
    return found


def require_ray() -> None:
    """Raises `ImportError` if Ray Data, or what it needs, is not installed."""
    try:
        import pyarrow  # noqa: F401
        import ray.data  # noqa: F401
    except ImportError as error:
        message = f"Ray Data is not installed ({error}): pip install 'kerasfer[ray]'"
        raise ImportError(message, name=error.name) from error

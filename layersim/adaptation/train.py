"""The train stage: every method, every seed, scored on the target's test speakers.

`train_pair` works on two corpora's features, `train` on a workspace. Each (method, seed) has a folder::

    METHOD/seed-K/model.safetensors  metrics.json  predictions.csv  curves.csv
                  curves.png, .svg   confusion.png, .svg   run.json

``run.json`` is written last and marks the folder as finished; a later training with the same settings and
inputs keeps it. While a network is trained, ``epochs`` in its folder keeps what the next epoch needs
(`layersim.adaptation.checkpoint`): a training that is killed and asked for again goes on from there, and ends
with the same bytes. What was begun with other settings or inputs and not finished is given up, with a notice.
``summary.json`` and ``summary.csv`` beside the methods' folders hold what `TrainResult` has.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from layersim.adaptation.anchors import Anchors
from layersim.adaptation.distributed import ALONE, Processes
from layersim.adaptation.evaluate import uar_interval
from layersim.adaptation.method import Method, OwnSettings, define_method, preset_notes
from layersim.adaptation.methods import Inputs, MethodRequest, parse_method
from layersim.adaptation.notes import anchor_notes, data_notes
from layersim.adaptation.opening import (
    anchor_chooser,
    open_features,
    own_settings,
    read_method,
    same_encoder,
    shared_classes,
)
from layersim.adaptation.result import MethodResult, TrainResult
from layersim.adaptation.run import METRICS, Run, read_predictions, remove_unfinished
from layersim.adaptation.settings import TrainConfig
from layersim.documents import require_form
from layersim.errors import LayersimError, UsageError
from layersim.settings import FLAG, Settings
from layersim.workspace import Progress, Workspace, no_progress, read_json, write_json, write_text

if TYPE_CHECKING:
    from layersim.features.dataset import CorpusFeatures

__all__ = ["TrainConfig", "train", "train_pair"]

logger = logging.getLogger(__name__)


OpenPair = Callable[[Inputs], tuple["CorpusFeatures", "CorpusFeatures"]]


def train(
    workspace: Workspace,
    settings: Settings[TrainConfig],
    source: str,
    target: str,
    *,
    own: OwnSettings | None = None,
    progress: Progress = no_progress,
    force: bool = False,
    processes: Processes = ALONE,
) -> TrainResult:
    """Train all methods on one pair of a workspace's corpora.

    Parameters
    ----------
    source, target : str
        The labelled corpus, and the one to transfer to.
    own : OwnSettings, optional
        Methods' own settings; default: what ``layersim.toml`` says in tables ``[train.NAME]``.
    force : bool
        Train again also what is finished.
    processes : Processes
        Those that call this alike, with one disk for all (`layersim.adaptation.distributed`).

    Raises
    ------
    StageMissingError
        If features or the ranking that the anchors need are missing.
    LayersimError
        If the corpora do not fit each other or a setting does not fit them, or a model stands there that
        was trained differently, and ``force`` is not set.
    """

    @functools.cache
    def open_pair(inputs: Inputs) -> tuple[CorpusFeatures, CorpusFeatures]:
        return open_features(workspace, source, inputs), open_features(workspace, target, inputs)

    choose = anchor_chooser(workspace, source, target, lambda: open_pair("encoder"))
    folder = workspace.train_folder(source, target)
    inputs = [one.definition.inputs for one in requests_of(settings)]
    first, second = open_pair("encoder" if "encoder" in inputs else inputs[0])
    own = own or own_settings(workspace)
    return train_pair(
        first, second, settings, choose, folder, open_pair=open_pair, own=own, progress=progress, force=force,
        processes=processes,
    )  # fmt: skip


def requests_of(settings: Settings[TrainConfig]) -> list[MethodRequest]:
    """Read the methods asked for; a wrong flag is a usage error."""
    try:
        requests = [parse_method(word) for word in settings.config.methods]
        if others := [one for one in requests if one.finetune]:
            raise LayersimError(
                f"methods: {others[0].word} is a word of layersim compare; here it is --methods "
                f"{others[0].word.removesuffix(others[0].suffix)} --finetune {others[0].finetune}."
            )
        return requests
    except LayersimError as error:
        if settings.origins["methods"] == FLAG:
            raise UsageError(f"flag: {error}") from None
        raise


def train_pair(
    source: CorpusFeatures,
    target: CorpusFeatures,
    settings: Settings[TrainConfig],
    anchors: Anchors | Callable[[str], Anchors] | None,
    folder: Path,
    *,
    open_pair: OpenPair | None = None,
    own: OwnSettings | None = None,
    progress: Progress = no_progress,
    force: bool = False,
    processes: Processes = ALONE,
) -> TrainResult:
    """Train all methods on two corpora's features and write everything into ``folder``.

    Parameters
    ----------
    anchors : Anchors or callable, optional
        Needed by ``la``; a callable turns a word such as ``auto`` into anchors.
    open_pair : callable, optional
        Gives source and target with acoustic features of one kind, for methods that read such.
    processes : Processes
        As `train`.

    Raises
    ------
    LayersimError
        If the features are of different encoders, fewer than two classes are shared, a split or class is
        empty, or a speaker is in two splits.
    """
    config = settings.config
    requests = requests_of(settings)
    corpora: dict[Inputs, tuple[CorpusFeatures, CorpusFeatures]] = {"encoder": (source, target)}
    for inputs in {one.definition.inputs for one in requests} - {"encoder"}:
        if open_pair is None:
            raise ValueError(f"open_pair: a method reads {inputs!r}, got None")
        corpora[inputs] = open_pair(inputs)
    encoders = {inputs: same_encoder(*pair) for inputs, pair in corpora.items()}
    fixed = anchors if isinstance(anchors, Anchors) else None
    choose = (lambda _: fixed) if fixed else cast("Callable[[str], Anchors] | None", anchors)
    classes = shared_classes(source, target, config.emotions)
    methods = [
        define_method(one.word, corpora[one.definition.inputs][0].cache.layers, settings, choose, own)
        for one in requests
    ]
    left_out = dict.fromkeys(note for pair in corpora.values() for corpus in pair for note in corpus.notes)
    notes = [*left_out, *anchor_notes(methods, classes)]
    notes += preset_notes([method.word for method in methods], own.preset if own else None)
    results: list[MethodResult] = []
    counts: dict[str, Any] = {}
    runs = len(methods) * config.seeds
    for place, method in enumerate(methods):
        first, second = corpora[method.definition.inputs]
        if method.definition.supervised:
            first = second
        data = read_method(method, (first, second), classes)
        asked = getattr(method.settings.config, "batch", len(data.source_train))
        batch = min(asked, len(data.source_train), len(data.target_train))
        if not counts and not method.definition.supervised:
            notes += data_notes(
                data.source_validation, data.target_test, source.name, target.name, classes, batch, asked
            )
            counts = {
                "source_train": data.source_train.counts(classes),
                "source_validation": data.source_validation.counts(classes),
                "target_train": len(data.target_train),
                "target_test": data.target_test.counts(classes),
            }
        notes += [note for note in data.notes if note not in notes]
        hashes = data.hashes()
        if method.anchors and method.anchors.ranking:
            hashes["ranking"] = method.anchors.ranking["sha256"]
        for number in range(config.seeds):
            run = Run(
                method, config.seed + number, classes, batch, config.bootstraps, hashes, source.name,
                target.name, encoders[method.definition.inputs],
                folder / method.folder / f"seed-{config.seed + number}",
            )  # fmt: skip
            if processes.lead(functools.partial(run.is_wanted, force)):
                run.train(data, _part_of(progress, place * config.seeds + number, runs), processes)
            processes.lead(run.forget_epochs)
            progress("training", place * config.seeds + number + 1, runs)
        results.append(collect(method, folder, config, classes))
    encoder = next(iter(encoders.values()))
    return summarise(source.name, target.name, encoder, classes, results, counts, notes, folder, processes)


def summarise(
    source: str,
    target: str,
    encoder: Mapping[str, Any],
    classes: tuple[str, ...],
    results: Sequence[MethodResult],
    counts: dict[str, Any],
    notes: Sequence[str],
    folder: Path,
    processes: Processes = ALONE,
) -> TrainResult:
    """Put the methods' results together, say the notes, and write both summaries.

    Parameters
    ----------
    encoder : mapping
        Its description.
    counts : dict
        See `TrainResult`.
    """
    for note in notes:
        logger.warning("%s", note)
    shown = next((one.method.anchors for one in results if one.method.anchors), None)
    result = TrainResult(
        source, target, str(encoder["checkpoint"]), classes, shown, tuple(results), counts, tuple(notes),
        folder,
    )  # fmt: skip

    def write() -> None:
        remove_unfinished(folder)
        write_text(folder / "summary.csv", result.to_frame().to_csv(index=False, lineterminator="\n"))
        write_json(folder / "summary.json", _with_earlier(result.to_json(), folder / "summary.json"))

    processes.lead(write)
    return result


def _with_earlier(document: dict[str, Any], file: Path) -> dict[str, Any]:
    """Add the methods of the last summary that this call did not train, if they are of the same data."""
    if not file.is_file():
        return document
    earlier = read_json(file)
    form = {"methods": ([{"folder": str}], ...), "anchors": (dict, None, ...)}
    require_form(earlier, form, str(file), "Delete it: it says again what the runs' folders hold.")
    if any(earlier.get(key) != document[key] for key in ("encoder", "emotions", "counts")):
        return document
    present = {method["folder"] for method in document["methods"]}
    kept = [method for method in earlier["methods"] if method["folder"] not in present]
    return {
        **document,
        "anchors": document["anchors"] or earlier["anchors"],
        "methods": [*kept, *document["methods"]],
    }


def _part_of(progress: Progress, done: int, runs: int) -> Progress:
    """Show one run's epochs as its share of all runs."""

    def show(label: str, epoch: float, epochs: float) -> None:
        progress(label, done + epoch / epochs, runs)

    return show


def collect(method: Method, folder: Path, config: TrainConfig, classes: Sequence[str]) -> MethodResult:
    """Read back a method's runs, kept and new alike."""
    folders = [folder / method.folder / f"seed-{config.seed + number}" for number in range(config.seeds)]
    return MethodResult(
        method,
        tuple(map(_read_metrics, folders)),
        uar_interval([read_predictions(one) for one in folders], classes, config.bootstraps),
    )


_METRICS = {
    "seed": int,
    "target_test": {
        "uar": float, "wa": float, "macro_f1": float, "speakers": int, "utterances": int,
        "chance": {"uar": float}, "recalls": {...: (float, None)},
        "uar_interval": ({"low": float, "high": float}, None),
    },
    "source_validation": {"uar": float},
    "domain": ({"domain_accuracy": (float, None)}, None),
    "best_epoch": (int, None),
    "epochs": (int, None),
}  # fmt: skip
"""Form of what is read back of a run's metrics; see `layersim.documents`."""


def _read_metrics(folder: Path) -> dict[str, Any]:
    metrics = read_json(folder / METRICS)
    require_form(metrics, _METRICS, str(folder / METRICS), "Train again with --force.")
    return metrics

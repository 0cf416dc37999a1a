"""The train stage: every method, every seed, scored on the target's test speakers.

`train_pair` works on two corpora's features, `train` on a workspace. Each (method, seed) has a folder::

    METHOD/seed-K/model.safetensors  metrics.json  predictions.csv  curves.csv
                  curves.png, .svg   confusion.png, .svg   run.json

``run.json`` is written last and marks the folder as finished; a later training with the same settings and
inputs keeps it, so an interrupted one goes on where it stopped. ``summary.json`` and ``summary.csv`` beside
the methods' folders hold what `TrainResult` has.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersim.adaptation.anchors import Anchors, choose_anchors
from layersim.adaptation.data import PairData, read_pair
from layersim.adaptation.evaluate import uar_interval
from layersim.adaptation.method import Method, define_method
from layersim.adaptation.result import MethodResult, TrainResult
from layersim.adaptation.run import METRICS, Run, read_predictions
from layersim.adaptation.settings import TrainConfig
from layersim.errors import LayersimError, StageMissingError
from layersim.metrics import FEW_SPEAKERS
from layersim.settings import Settings
from layersim.similarity.inputs import fingerprint
from layersim.workspace import Progress, Workspace, no_progress, read_json, write_json, write_text

if TYPE_CHECKING:
    from layersim.features.dataset import CorpusFeatures

__all__ = ["TrainConfig", "train", "train_pair"]

logger = logging.getLogger(__name__)


def train(
    workspace: Workspace,
    settings: Settings[TrainConfig],
    source: str,
    target: str,
    *,
    progress: Progress = no_progress,
    force: bool = False,
) -> TrainResult:
    """Train all methods on one pair of a workspace's corpora.

    Parameters
    ----------
    source, target : str
        The labelled corpus, and the one to transfer to.
    force : bool
        Train again also what is finished.

    Raises
    ------
    StageMissingError
        If features or the ranking that the anchors need are missing.
    LayersimError
        If the corpora do not fit each other or a setting does not fit them, or a model stands there that
        was trained differently, and ``force`` is not set.
    """
    from layersim.features.dataset import open_corpus

    first, second = open_corpus(workspace, source), open_corpus(workspace, target)
    anchors = None
    if "la" in settings.config.methods:
        anchors = choose_anchors(
            settings.config.anchors,
            first.cache.layers,
            lambda level: workspace.rank_folder(source, target, level) / "ranking.json",
        )
        _refuse_stale(anchors, (first, second))
    folder = workspace.train_folder(source, target)
    return train_pair(first, second, settings, anchors, folder, progress=progress, force=force)


def _refuse_stale(anchors: Anchors, corpora: tuple[CorpusFeatures, CorpusFeatures]) -> None:
    """Refuse a ranking that was made from other features or labels than those at hand."""
    run = Path(anchors.ranking["file"]).with_name("run.json") if anchors.ranking else None
    if run is None:
        return
    if not run.is_file():
        raise StageMissingError(f"{run.parent}: the ranking was not finished. Run layersim rank again.")
    made_from = read_json(run)["inputs"]
    label_free = bool(anchors.ranking and anchors.ranking["label_free"])
    changed = [
        corpus.name for corpus in corpora if made_from.get(corpus.name) != fingerprint(corpus, label_free)
    ]
    if changed:
        raise LayersimError(
            f"{run.parent}: the ranking was made from other features or labels of {' and '.join(changed)} "
            "than there are now. Rank again: layersim rank --force (same source, target and level)."
        )


def train_pair(
    source: CorpusFeatures,
    target: CorpusFeatures,
    settings: Settings[TrainConfig],
    anchors: Anchors | None,
    folder: Path,
    *,
    progress: Progress = no_progress,
    force: bool = False,
) -> TrainResult:
    """Train all methods on two corpora's features and write everything into ``folder``.

    Parameters
    ----------
    anchors : Anchors, optional
        Needed by ``la``.

    Raises
    ------
    LayersimError
        If the features are of different encoders, fewer than two classes are shared, a split or class is
        empty, or a speaker is in two splits.
    """
    config = settings.config
    encoder = _same_encoder(source, target)
    classes = _classes(source, target, config.emotions)
    methods = [define_method(name, source.cache.layers, config, anchors) for name in config.methods]
    notes = list(anchors.notes) if anchors else []
    if anchors and anchors.ranking and set(anchors.ranking["emotions"] or classes) != set(classes):
        notes.append(
            f"the ranking compares {', '.join(anchors.ranking['emotions'])}; the classes here are "
            f"{', '.join(classes)}"
        )
    results, counts, runs = [], {}, len(methods) * config.seeds
    for place, method in enumerate(methods):
        data = read_pair(source, target, method.layers, classes, method.standardise)
        batch = min(config.batch, len(data.source_train), len(data.target_train))
        if not place:
            notes += _data_notes(data, source.name, target.name, classes, batch, config.batch)
            counts = {
                "source_train": data.source_train.counts(classes),
                "source_validation": data.source_validation.counts(classes),
                "target_train": len(data.target_train),
                "target_test": data.target_test.counts(classes),
            }
        inputs = data.hashes()
        if anchors and anchors.ranking and method.coral:
            inputs["ranking"] = anchors.ranking["sha256"]
        for number in range(config.seeds):
            run = Run(
                method, config.seed + number, classes, batch, settings, inputs, source.name, target.name,
                encoder, folder / method.folder / f"seed-{config.seed + number}",
            )  # fmt: skip
            changed = run.what_changed()
            if changed and not force:
                raise LayersimError(
                    f"{run.folder}: holds a model that was trained differently ({changed}). Replace it, and "
                    "all like it, with --force."
                )
            if force or changed is not None:
                run.train(data, _part_of(progress, place * config.seeds + number, runs))
            progress("training", place * config.seeds + number + 1, runs)
        results.append(_collect(method, folder, config, classes))
    for note in notes:
        logger.warning("%s", note)
    result = TrainResult(
        source.name, target.name, str(encoder["checkpoint"]), classes, anchors, tuple(results), counts,
        tuple(notes), folder,
    )  # fmt: skip
    write_text(folder / "summary.csv", result.to_frame().to_csv(index=False, lineterminator="\n"))
    write_json(folder / "summary.json", _with_earlier(result.to_json(), folder / "summary.json"))
    return result


def _with_earlier(document: dict[str, Any], file: Path) -> dict[str, Any]:
    """Add the methods of the last summary that this call did not train, if they are of the same data."""
    if not file.is_file():
        return document
    earlier = read_json(file)
    if any(earlier.get(key) != document[key] for key in ("encoder", "emotions", "counts")):
        return document
    present = {method["folder"] for method in document["methods"]}
    kept = [method for method in earlier["methods"] if method["folder"] not in present]
    return {
        **document,
        "anchors": document["anchors"] or earlier["anchors"],
        "methods": [*kept, *document["methods"]],
    }


def _same_encoder(source: CorpusFeatures, target: CorpusFeatures) -> dict[str, Any]:
    """Return the description of the encoder that both caches were made with."""
    first, second = (dict(corpus.cache.provenance["encoder"]) for corpus in (source, target))
    differing = [
        f"{name}: {first.get(name)!r} and {second.get(name)!r}"
        for name in sorted(first.keys() | second.keys())
        if first.get(name) != second.get(name)
    ]
    if differing:
        raise LayersimError(
            f"{source.name} and {target.name} have features of different encoders ({'; '.join(differing)}). "
            "Extract both with one: layersim extract --force."
        )
    return first


def _classes(
    source: CorpusFeatures, target: CorpusFeatures, emotions: Sequence[str] | None
) -> tuple[str, ...]:
    """Return the class list: as asked for, else what both corpora have, in alphabetical order."""
    first, second = (set(corpus.restrict("train").table["emotion"]) for corpus in (source, target))
    if emotions is not None:
        for corpus, found in ((source, first), (target, second)):
            if unknown := [name for name in emotions if name not in found]:
                raise LayersimError(
                    f"emotions: {corpus.name} has no {', '.join(unknown)}; it has {', '.join(sorted(found))}."
                )
    classes = tuple(sorted(emotions if emotions is not None else first & second))
    if len(classes) < 2:
        raise LayersimError(
            f"{source.name} and {target.name}: two emotions at least are needed, got "
            f"{', '.join(classes) or 'none'} ({source.name}: {', '.join(sorted(first))}; {target.name}: "
            f"{', '.join(sorted(second))}). Check the label maps, or name others with --emotions."
        )
    return classes


def _data_notes(
    data: PairData, source: str, target: str, classes: Sequence[str], batch: int, asked: int
) -> list[str]:
    """Say what a reader of the scores should know of the data."""
    notes = []
    absent = [name for name, count in data.source_validation.counts(classes).items() if not count]
    if absent:
        notes.append(
            f"{source} has no validation utterance of {', '.join(absent)}: epochs are chosen by the UAR of "
            "the other classes"
        )
    if batch < asked:
        notes.append(
            f"batches have {batch} utterances a side, not {asked}: the smaller train split has no more"
        )
    speakers = len(set(data.target_test.speakers))
    if speakers < FEW_SPEAKERS:
        notes.append(
            f"{target}'s test split has {speakers} speaker{'s' * (speakers != 1)}: "
            + ("no interval over speakers" if speakers == 1 else "intervals over so few come out too narrow")
        )
    return notes


def _part_of(progress: Progress, done: int, runs: int) -> Progress:
    """Show one run's epochs as its share of all runs."""

    def show(label: str, epoch: float, epochs: float) -> None:
        progress(label, done + epoch / epochs, runs)

    return show


def _collect(method: Method, folder: Path, config: TrainConfig, classes: Sequence[str]) -> MethodResult:
    """Read back a method's runs, kept and new alike."""
    folders = [folder / method.folder / f"seed-{config.seed + number}" for number in range(config.seeds)]
    return MethodResult(
        method,
        tuple(read_json(one / METRICS) for one in folders),
        uar_interval([read_predictions(one) for one in folders], classes, config.bootstraps),
    )

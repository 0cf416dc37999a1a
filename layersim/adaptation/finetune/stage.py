"""``layersim train --finetune``: the encoder itself is trained, tested on the target's test speakers, kept.

What is written is what the train stage writes (`layersim.adaptation.train`), and the encoder::

    METHOD-finetune-MODE/seed-K/encoder/config.json  model.safetensors ...
                                metrics.json  predictions.csv  curves.csv
                                curves.png, .svg   confusion.png, .svg   run.json
                                model.safetensors     (layer anchoring: what layersim predict needs)
                                epochs/               (while it is trained)

Conventions
-----------
- The utterances are those with cached features, so that all methods of a pair are trained and tested on the
  same ones; the sound is read again from the corpora's audio.
- ``encoder`` is a checkpoint with the adapters added in, which ``--encoder`` takes wherever it stands.
- A killed training goes on after its last epoch. What was begun with other settings or inputs is refused, as
  what was finished with others is, unless ``force`` is set.
- Headers of all recordings are read first; a test recording's sound is read after training only.
"""

from __future__ import annotations

import copy
import functools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from layersim.adaptation.distributed import ALONE, Processes
from layersim.adaptation.evaluate import prediction_table
from layersim.adaptation.finetune.anchored_network import AnchoredEncoder
from layersim.adaptation.finetune.export import write_encoder
from layersim.adaptation.finetune.learn import encoder_loader, learn_from_audio
from layersim.adaptation.finetune.method import finetune_method, refuse_others
from layersim.adaptation.finetune.pair import PairAudio, corpus_recordings, pair_audio
from layersim.adaptation.finetune.settings import FinetuneConfig
from layersim.adaptation.finetune.wccn import WccnEncoder
from layersim.adaptation.method import Method, OwnSettings, define_method
from layersim.adaptation.model_file import FILE_NAME, ModelDescription, TrainedModel, save_model
from layersim.adaptation.notes import anchor_notes, data_notes
from layersim.adaptation.opening import (
    anchor_chooser,
    open_features,
    own_settings,
    same_encoder,
    shared_classes,
)
from layersim.adaptation.run import Run
from layersim.adaptation.settings import TrainConfig
from layersim.adaptation.standardise import Statistics
from layersim.adaptation.train import collect, requests_of, summarise
from layersim.encoders.checkpoint import find_checkpoint
from layersim.errors import LayersimError
from layersim.settings import Settings
from layersim.workspace import Progress, Workspace, no_progress

if TYPE_CHECKING:
    from layersim.adaptation.finetune.audio import LearnedFromAudio
    from layersim.adaptation.result import TrainResult
    from layersim.encoders.encoder import Encoder

ENCODER = "encoder"


def finetune(
    workspace: Workspace,
    settings: Settings[TrainConfig],
    source: str,
    target: str,
    mode: str,
    *,
    own: OwnSettings | None = None,
    device: str = "auto",
    progress: Progress = no_progress,
    force: bool = False,
    processes: Processes = ALONE,
) -> TrainResult:
    """Train the workspace's encoder with every method and seed on one pair of its corpora.

    Parameters
    ----------
    settings : Settings
        Methods (those that train the encoder alone), seeds, emotions, anchors.
    source, target : str
        The labelled corpus, and the one to transfer to.
    mode : "full" or "lora"
        All weights, or low-rank adapters.
    own : OwnSettings, optional
        Methods' own settings; default: what ``layersim.toml`` says in tables ``[train.NAME]``.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``; what was begun on one may go on on the other.
    force : bool
        Train again also what is finished, and replace what was begun otherwise.
    processes : Processes
        Those that call this alike, with one disk for all (`layersim.adaptation.distributed`). They share the
        batches of layer anchoring; Deep-WCCN is trained by the first alone.

    Raises
    ------
    UsageError
        If a method cannot train the encoder, or a flag's value is not allowed.
    StageMissingError
        If features or the ranking that the anchors need are missing.
    LayersimError
        If the corpora or the encoder do not fit, a recording cannot be used, peft is missing for ``lora``, or
        a training with other settings stands there and ``force`` is not set.
    """
    config = settings.config
    requests = requests_of(settings)
    refuse_others(requests, mode)
    own = own or own_settings(workspace)
    corpora = open_features(workspace, source, "encoder"), open_features(workspace, target, "encoder")
    described = same_encoder(*corpora)
    classes = shared_classes(*corpora, config.emotions)
    choose = anchor_chooser(workspace, source, target, lambda: corpora)
    methods = [
        finetune_method(
            define_method(one.word, corpora[0].cache.layers, settings, choose, own), settings, own, mode
        )
        for one in requests
    ]
    first, second = corpora
    ours = corpus_recordings(workspace, first, ("train", "validation"), (), classes, progress)
    theirs = corpus_recordings(workspace, second, ("test",), ("train",), classes, progress)
    audio = pair_audio(*corpora, (ours, theirs), classes)
    folder = workspace.train_folder(source, target)
    seeds = range(config.seed, config.seed + config.seeds)
    runs = [
        _plan(method, seed, audio, classes, config.bootstraps, (source, target), described, folder)
        for method in methods
        for seed in seeds
    ]
    wanted = processes.lead(lambda: [run.is_wanted(force) for run in runs])
    for run in runs:
        processes.lead(functools.partial(_refuse_begun_otherwise, run, force))
    load = encoder_loader(workspace.encoder, described, device, processes)
    for run, needed in zip(runs, wanted, strict=True):
        if needed:
            _train(run, audio, workspace.encoder, load, _by_epochs(progress, run), processes)
        processes.lead(run.forget_epochs)
    counts = {
        "source_train": audio.task.source.labels().counts(classes),
        "source_validation": audio.task.validation.labels().counts(classes),
        "target_train": len(audio.task.target),
        "target_test": audio.test.labels().counts(classes),
    }
    asked = methods[0].settings.config.batch
    notes = anchor_notes(methods, classes) + data_notes(
        audio.task.validation.labels(), audio.test.labels(), source, target, classes, runs[0].batch, asked
    )
    results = [collect(method, folder, config, classes) for method in methods]
    return summarise(source, target, described, classes, results, counts, notes, folder, processes)


def _plan(
    method: Method,
    seed: int,
    audio: PairAudio,
    classes: tuple[str, ...],
    bootstraps: int,
    names: tuple[str, str],
    described: dict[str, Any],
    folder: Path,
) -> Run:
    config = method.settings.config
    both = getattr(config, "gamma", 0.0) > 0  # else no step reads the target
    batch = min(config.batch, len(audio.task.source), *([len(audio.task.target)] if both else []))
    hashes = audio.hashes()
    if method.anchors and method.anchors.ranking:
        hashes["ranking"] = method.anchors.ranking["sha256"]
    return Run(
        method, seed, classes, batch, bootstraps, hashes, *names, described,
        folder / method.folder / f"seed-{seed}",
    )  # fmt: skip


def _refuse_begun_otherwise(run: Run, force: bool) -> None:
    """Refuse a training that was killed and had been asked for otherwise; with ``force`` it goes."""
    if changed := run.begun_otherwise():
        if not force:
            raise LayersimError(
                f"{run.folder}: holds a training that was begun differently and not finished ({changed}). "
                "Finish it with those settings, or replace it, and all like it, with --force."
            )
        run.forget_epochs()


def _by_epochs(progress: Progress, run: Run) -> Progress:
    """Show each run's epochs by themselves: one may take minutes."""
    return lambda label, epoch, epochs: progress(
        f"{label} {run.method.folder}, seed {run.seed}", epoch, epochs
    )


def _train(
    run: Run,
    audio: PairAudio,
    checkpoint: str,
    load: Callable[[], Encoder],
    progress: Progress,
    processes: Processes,
) -> None:
    """Train, score, and write the folder."""
    if processes.size > 1 and not isinstance(run.settings.config, FinetuneConfig):
        processes.lead(lambda: _train(run, audio, checkpoint, load, progress, ALONE))
        return
    encoder = load()
    processes.lead(run.begin)
    learned = learn_from_audio(
        run.method, audio.task, run.seed, encoder, checkpoint, progress, run.epochs, processes
    )
    shares = learned.probabilities(audio.test.waveforms)

    def write() -> None:
        tested = prediction_table(shares, audio.test.labels(), run.classes)
        validation = {
            "uar": learned.validation_uar,
            "counts": audio.task.validation.labels().counts(run.classes),
        }
        files = _export(run, learned, checkpoint, encoder)
        details = {**learned.details, "device": str(encoder.device)}
        run.write(replace(learned, details=details), tested, validation, files)

    processes.lead(write)


def _export(run: Run, learned: LearnedFromAudio, checkpoint: str, encoder: Encoder) -> Sequence[str]:
    """Write the trained encoder, and for layer anchoring the classifier on it; return the files' names."""
    network = cast("AnchoredEncoder | WccnEncoder", learned.network)
    folder = run.folder / ENCODER
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed here, or is replaced
    write_encoder(network.encoder, checkpoint, folder)
    files = sorted(f"{ENCODER}/{file.name}" for file in folder.iterdir())
    if not isinstance(network, AnchoredEncoder):
        return files
    written = find_checkpoint(str(folder))
    described = {
        **encoder.describe(),
        "checkpoint": written.name,
        "revision": None,
        "weights_sha256": written.weights_sha256,
    }
    description = ModelDescription(
        method=run.method.name,
        classes=run.classes,
        layers=run.method.layers,
        width=network.encoder.width,
        projection=run.settings.config.projection,
        source=run.source,
        target=run.target,
        encoder=described,
    )
    statistics = Statistics(*(network.get_buffer(f"target_{name}").cpu() for name in ("mean", "scale")))
    save_model(
        run.folder / FILE_NAME, TrainedModel(description, copy.deepcopy(network.head).cpu(), statistics)
    )
    return [*files, FILE_NAME]

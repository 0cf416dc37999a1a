"""The tune stage: a search for one method's settings on one pair of corpora, without a target label.

`tune_pair` works on two corpora's features, `tune` on a workspace. A search has a folder
``tune/ENCODER/SOURCE-to-TARGET/METHOD``::

    request.json       what is asked: method, space, objective, inputs, seeds
    study.log          the trials (`layersim.comparison.search`)
    best.toml  .json   the best settings
    trials.csv         every finished trial
    history.png  .svg  what they came to, one after the other
    run.json           written last: the search is finished

Of the target only the train split is read, its emotions removed before: there is no test utterance and no
target label in what a trial trains on or is scored by. Two things that come of labels are there before it
begins: the class list (what both train splits have, unless it is named) and, for layer anchoring, a ranking
that was made from them. The source's validation speakers choose the epochs, as always, and may choose the
settings too.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersim.adaptation.anchors import Anchors
from layersim.adaptation.method import Method, OwnSettings, define_method
from layersim.adaptation.methods import MethodRequest, parse_method
from layersim.adaptation.opening import (
    anchor_chooser,
    open_features,
    own_settings,
    same_encoder,
    shared_classes,
)
from layersim.adaptation.settings import TrainConfig
from layersim.comparison.locking import alone
from layersim.comparison.search import Search, import_optuna
from layersim.comparison.search_spaces import Space, search_space
from layersim.comparison.settings import TuneConfig
from layersim.comparison.trying import read_for_search, run_trials
from layersim.comparison.tuned import Tuned, draw_history, search_notes
from layersim.errors import LayersimError, UsageError
from layersim.provenance import RUN, write_run
from layersim.settings import FILE_NAME, FLAG, Settings
from layersim.workspace import Progress, Workspace, no_progress, read_json, write_json, write_text

if TYPE_CHECKING:
    from layersim.features.dataset import CorpusFeatures

REQUEST = "request.json"

# Settings of [train] that no trial's scores depend on, or that the request names otherwise.
_ELSEWHERE = {"methods", "seeds", "seed", "emotions", "bootstraps", "anchors"}


def tune(
    workspace: Workspace,
    word: str,
    settings: Settings[TuneConfig],
    train: Settings[TrainConfig],
    source: str,
    target: str,
    own: OwnSettings | None = None,
    *,
    progress: Progress = no_progress,
    force: bool = False,
) -> Tuned:
    """Search for a method's settings on one pair of a workspace's corpora.

    Parameters
    ----------
    word : str
        The method, as in `layersim.adaptation.methods`.
    train : Settings
        Of ``[train]``: the settings as they stand.
    own : OwnSettings, optional
        Methods' own settings as they stand; default: what ``layersim.toml`` says in tables ``[train.NAME]``.
    force : bool
        Begin anew, whatever stands there.

    Raises
    ------
    UsageError
        If the method is unknown.
    StageMissingError
        If features or the ranking that anchors need are missing.
    LayersimError
        As `tune_pair`.
    """
    import_optuna()
    inputs = _read_word(word).definition.inputs
    corpora = open_features(workspace, source, inputs), open_features(workspace, target, inputs)

    choose = anchor_chooser(workspace, source, target, lambda: corpora)
    return tune_pair(
        *corpora, word, settings, train, choose, workspace.tune_folder(source, target),
        own=own or own_settings(workspace), progress=progress, force=force,
    )  # fmt: skip


def tune_pair(
    source: CorpusFeatures,
    target: CorpusFeatures,
    word: str,
    settings: Settings[TuneConfig],
    train: Settings[TrainConfig],
    choose: Callable[[str], Anchors] | None,
    folder: Path,
    *,
    own: OwnSettings | None = None,
    progress: Progress = no_progress,
    force: bool = False,
) -> Tuned:
    """Search for a method's settings on two corpora's features and write everything below ``folder``.

    Parameters
    ----------
    choose : callable, optional
        Turns a word such as ``auto`` into anchors; needed by ``la``.

    Raises
    ------
    UsageError
        If the method is unknown, learns from target labels, or a flag's search space is wrong.
    LayersimError
        If optuna is not installed; if the corpora do not fit each other; if a search stands there that was
        asked for otherwise, and ``force`` is not set; if the first trials all fail to train.
    """
    config, request = settings.config, _read_word(word)
    encoder = same_encoder(source, target)
    classes = shared_classes(source, target, train.config.emotions)
    method = define_method(request.word, source.cache.layers, train, choose, own)
    space = _space(method, settings)
    if not method.definition.seeded:
        config = config.model_copy(update={"seeds": 1})  # every run would be the same
    data = read_for_search(method, source, target, classes)
    inputs = {name: found for name, found in data.hashes().items() if name != "target_test"}
    if method.anchors and method.anchors.ranking:
        inputs["ranking"] = method.anchors.ranking["sha256"]
    place = folder / method.folder
    start = {name: getattr(method.settings.config, name) for name in space}
    with alone(place, "layersim tune"):
        _prepare(place, _request(method, config, space, start, classes, encoder, inputs), force)
        search = Search(place, space, start, config.startup, config.seed)
        notes = [*data.notes, *_anchor_notes(method)]
        notes += run_trials(search, method, data, classes, config, progress)
        tuned = Tuned(
            method, source.name, target.name, str(encoder["checkpoint"]), classes, config, space,
            tuple(search.tried), search.interrupted, (), place,
        )  # fmt: skip
        if not tuned.scored:
            raise LayersimError(f"{place}: no trial has been finished with scores yet. Run it again.")
        tuned = replace(tuned, notes=(*notes, *search_notes(tuned)))
        _write(tuned, settings, inputs)
    return tuned


def _read_word(word: str) -> MethodRequest:
    try:
        request = parse_method(word)
    except LayersimError as error:
        raise UsageError(str(error)) from None
    if request.finetune:
        raise UsageError(f"{word}: trains the encoder itself, which tune does not. Tune it on features.")
    if request.definition.supervised:
        raise UsageError(
            f"{word}: learns from the target's labels, which tune does not read. Tune a method that does not "
            "(layersim methods lists them)."
        )
    return request


def _space(method: Method, settings: Settings[TuneConfig]) -> Space:
    try:
        return search_space(method, settings.config.space)
    except LayersimError as error:
        if settings.origins["space"] == FLAG:
            raise UsageError(f"flag: {error}") from None
        where = f"{FILE_NAME}, table [tune]: " if settings.config.space else ""
        raise LayersimError(f"{where}{error}") from None


def _request(
    method: Method,
    config: TuneConfig,
    space: Space,
    start: Mapping[str, Any],
    classes: tuple[str, ...],
    encoder: Mapping[str, Any],
    inputs: Mapping[str, str],
) -> dict[str, Any]:
    """Everything that the trials depend on; how many there are does not count."""
    exclude = (_ELSEWHERE if isinstance(method.settings.config, TrainConfig) else set()) | set(space)
    self_training = method.self_training and method.self_training.config.model_dump(mode="json")
    document = {
        "method": method.word,
        "layers": list(method.layers),
        "standardise": method.standardise,
        "emotions": list(classes),
        "objective": config.objective,
        "space": {name: asdict(dimension) for name, dimension in space.items()},
        "start": dict(start),
        "settings": method.settings.config.model_dump(mode="json", exclude=exclude),
        "self_training": self_training,
        "seeds": config.seeds,
        "seed": config.seed,
        "startup": config.startup,
        "encoder": dict(encoder),
        "inputs": dict(inputs),
    }
    found: dict[str, Any] = json.loads(json.dumps(document))
    return found


def _prepare(folder: Path, request: Mapping[str, Any], force: bool) -> None:
    """Leave a search of the same request to be gone on with; make room for another one."""
    file = folder / REQUEST
    if file.is_file() and not force:
        if changed := _changes(read_json(file), request):
            raise LayersimError(
                f"{folder}: holds a search that was asked for otherwise ({'; '.join(changed[:5])}). Begin "
                "anew with --force."
            )
        (folder / RUN).unlink(missing_ok=True)  # from here on it is not finished
        return
    if folder.exists():
        shutil.rmtree(folder)
    write_json(file, request)


def _changes(before: Any, now: Any, name: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            change
            for key in sorted(before.keys() | now.keys())
            for change in _changes(before.get(key), now.get(key), f"{name}.{key}" if name else key)
        ]
    return [] if before == now else [f"{name} was {before!r}, is {now!r}"]


def _anchor_notes(method: Method) -> list[str]:
    anchors = method.anchors
    if anchors is None:
        return []
    notes = list(anchors.notes)
    if anchors.ranking and not anchors.ranking["label_free"]:
        notes.append(
            f"the anchors ({', '.join(anchors.layers)}) are of a ranking that read the emotions of the "
            "target's train split; the search did not"
        )
    return notes


def _write(tuned: Tuned, settings: Settings[TuneConfig], inputs: Mapping[str, str]) -> None:
    from layersim.figures.save import save

    folder = tuned.folder
    write_text(folder / "trials.csv", tuned.to_frame().to_csv(index=False, lineterminator="\n"))
    save(draw_history(tuned), folder / "history")
    write_text(folder / "best.toml", tuned.snippet())
    document = tuned.to_json()
    write_json(folder / "best.json", document)
    write_run(
        folder,
        f"tune {tuned.method.word}",
        {"encoder": tuned.encoder, "source": tuned.source, "target": tuned.target},
        settings,
        inputs,
        {key: document[key] for key in ("value", "trial", "settings", "trials")},
        tuned.notes,
    )

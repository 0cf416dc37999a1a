"""What a training opens: features, rankings that fit them, methods' own settings, a method's view of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersim.adaptation.anchors import Anchors, choose_anchors
from layersim.adaptation.method import Method, OwnSettings
from layersim.adaptation.methods import Inputs
from layersim.adaptation.pair import PairData, read_pair
from layersim.adaptation.settings import TrainConfig
from layersim.documents import require_form
from layersim.errors import LayersimError, StageMissingError
from layersim.features.provenance import disagreements
from layersim.similarity.inputs import fingerprint
from layersim.workspace import Workspace, read_json

if TYPE_CHECKING:
    from layersim.features.dataset import CorpusFeatures


def open_features(workspace: Workspace, corpus: str, inputs: Inputs) -> CorpusFeatures:
    """Open a corpus's features of one kind: an encoder's cache, or a set of acoustic features."""
    from layersim.features.acoustic.store import open_acoustic
    from layersim.features.dataset import open_corpus

    return open_corpus(workspace, corpus) if inputs == "encoder" else open_acoustic(workspace, corpus, inputs)


def own_settings(workspace: Workspace) -> OwnSettings:
    """Return the tables ``[train.NAME]`` of a workspace."""
    table = workspace.tables.get(TrainConfig.section, {})
    return OwnSettings({name: value for name, value in table.items() if isinstance(value, dict)})


def anchor_chooser(
    workspace: Workspace,
    source: str,
    target: str,
    corpora: Callable[[], tuple[CorpusFeatures, CorpusFeatures]],
) -> Callable[[str], Anchors]:
    """Return what turns a word such as ``auto`` into anchors, by the pair's rankings; stale ones are refused.

    Parameters
    ----------
    corpora : callable
        Opens source and target with the encoder's features.
    """

    def choose(word: str) -> Anchors:
        opened = corpora()
        found = choose_anchors(
            word,
            opened[0].cache.layers,
            lambda level: workspace.rank_folder(source, target, level) / "ranking.json",
        )
        refuse_stale(found, opened)
        return found

    return choose


def refuse_stale(anchors: Anchors, corpora: tuple[CorpusFeatures, CorpusFeatures]) -> None:
    """Refuse a ranking that was made from other features or labels than those at hand."""
    run = Path(anchors.ranking["file"]).with_name("run.json") if anchors.ranking else None
    if run is None:
        return
    if not run.is_file():
        raise StageMissingError(f"{run.parent}: the ranking was not finished. Run layersim rank again.")
    document = read_json(run)
    require_form(document, {"inputs": {...: str}}, str(run), "Run 'layersim rank' again.")
    made_from = document["inputs"]
    label_free = bool(anchors.ranking and anchors.ranking["label_free"])
    changed = [
        corpus.name for corpus in corpora if made_from.get(corpus.name) != fingerprint(corpus, label_free)
    ]
    if changed:
        raise LayersimError(
            f"{run.parent}: the ranking was made from other features or labels of {' and '.join(changed)} "
            "than there are now. Rank again: layersim rank --force (same source, target and level)."
        )


def read_method(
    method: Method,
    corpora: tuple[CorpusFeatures, CorpusFeatures],
    classes: Sequence[str],
    test: CorpusFeatures | None = None,
) -> PairData:
    """Read what one method is given of two corpora; see `read_pair`."""
    source, target = corpora
    if method.standardise is None:
        raise ValueError(f"method: {method.name} learns from sound, not from features")
    return read_pair(
        source,
        target,
        method.layers,
        classes,
        method.standardise,
        test=test,
        with_vowels=method.definition.vowels,
        whole_rows=method.definition.inputs == "sequences",
    )


def same_encoder(source: CorpusFeatures, target: CorpusFeatures) -> dict[str, Any]:
    """Return the description of the encoder that both caches were made with."""
    first, second = (dict(corpus.cache.provenance["encoder"]) for corpus in (source, target))
    if differing := disagreements(first, second):
        raise LayersimError(
            f"{source.name} and {target.name} have features of different encoders ({'; '.join(differing)}). "
            "Extract both with one: layersim extract --force."
        )
    return first


def shared_classes(
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

"""The rank stage: score every layer by cross-corpus similarity, pick Group, Best and Worst.

`rank_layers` works on two corpora's features, `rank` on a workspace, where it writes what it finds.
Conventions are those of `selection` (which rows), `moments` (how vectors are prepared and weighted), `cosine`
(values, null, baseline, spread), `estimate` (intervals), `ranking` (sets), `agreement` and `probe`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from layersim.errors import LayersimError
from layersim.settings import Settings
from layersim.similarity.agreement import paired_agreement
from layersim.similarity.cosine import Cells, LayerSimilarity, Side, compare, usable_cells
from layersim.similarity.definition import definition
from layersim.similarity.draws import Draws, draw
from layersim.similarity.inputs import fingerprint, same_encoder
from layersim.similarity.moments import gather, group_rows
from layersim.similarity.notes import ranking_notes, unit
from layersim.similarity.probe import agreement as probe_agreement
from layersim.similarity.probe import probe_layer, probe_sample
from layersim.similarity.ranking import (
    LayerScore,
    Ranking,
    cut_is_resolved,
    group_shares,
    pick_layers,
    selectable,
)
from layersim.similarity.selection import Selection, select_pair
from layersim.similarity.settings import RankConfig, effective_settings
from layersim.similarity.tables import Axes, cell_table, count_table, similarity_table, spread_table
from layersim.similarity.write import refuse_other_run, write_ranking
from layersim.workspace import Progress, Workspace, no_progress

if TYPE_CHECKING:
    from layersim.features.dataset import CorpusFeatures

__all__ = ["RankConfig", "rank", "rank_layers"]

Corpora = tuple["CorpusFeatures", "CorpusFeatures"]

logger = logging.getLogger(__name__)


def rank_layers(
    source: CorpusFeatures,
    target: CorpusFeatures,
    settings: RankConfig | None = None,
    progress: Progress = no_progress,
) -> Ranking:
    """Rank an encoder's layers by how alike two corpora's emotions (label-free: vowels) are in them.

    Reads the train split of both corpora, emotion labels included unless ``label_free`` is set; no other row.

    Parameters
    ----------
    source, target : CorpusFeatures
        Features of the same encoder.
    settings : RankConfig, optional
        Default: `RankConfig()`.

    Raises
    ------
    LayersimError
        If the caches are of different encoders, no emotion or vowel is shared, or every cell is too small.
    """
    config = (settings or RankConfig()).effective()
    corpora = source, target
    if config.label_free:
        corpora = source.without_labels(), target.without_labels()
    encoder = same_encoder(*corpora)
    layers = list(source.cache.layers if config.level == "utterance" else source.cache.frame_layers)
    pickable = selectable(layers, config.include_layer_zero)
    if not pickable:
        raise LayersimError(f"{encoder}: no layer to pick from at {config.level} level; found {layers}.")
    first, second, notes = select_pair(*corpora, config)
    if not config.label_free:  # they count by emotion
        notes += [note for corpus in corpora for note in corpus.notes]
    axes = Axes.of(config)
    cells = usable_cells(first, second, config.minimum_cell)
    counts = count_table(first, second, cells, axes, config.cap)
    if not cells.labels.any():
        raise LayersimError(
            f"{source.name} and {target.name}: no cell has {config.minimum_cell} or more "
            f"{unit(config.level)} in both train splits:\n{counts.to_string(index=False)}\n"
            "Extract more utterances, or lower minimum_cell (layersim.toml, table [rank])."
        )
    seeds = np.random.SeedSequence(config.seed).spawn(3)
    draws = tuple(
        draw(side, corpus.cache.width, config.bootstraps, config.permutations, np.random.default_rng(seed))
        for corpus, side, seed in zip(corpora, (first, second), seeds, strict=False)
    )
    comparison = _compare_layers(
        corpora, (first, second), (draws[0], draws[1]), cells, layers, config, progress
    )
    picked_from = comparison.of(pickable)
    scores = _scores(picked_from)
    sets = pick_layers(pickable, scores)
    by_layer = dict(zip(pickable, picked_from, strict=True))
    in_group = _group_shares(picked_from)
    compared = [name for name, used in zip(first.labels, cells.labels, strict=True) if used]
    probe: dict[str, Any] = {"reason": "it needs emotion labels, and none was read."}
    uars: dict[str, tuple[float, float]] = {}
    agreement = None
    if not config.label_free:
        utterances = first, second
        if config.level == "phoneme":
            plain = config.model_copy(update={"level": "utterance"})
            utterances = select_pair(*corpora, plain)[:2]
            agreement = _agreement(corpora, utterances, comparison, pickable, plain, progress)
        probe, uars = _probe(corpora, utterances, compared, layers, config, seeds[2], progress)
    if uars:
        own, source_form = ([uars[name][form] for name in pickable] for form in (0, 1))
        probe |= probe_agreement(scores, own, source_form) | {"layers": len(pickable)}
    notes += ranking_notes(comparison.sides, cells, config, comparison.zero_vectors, len(pickable))
    if probe.get("not_converged"):
        notes.append(
            f"the probe's classifier did not converge on layers {', '.join(probe['not_converged'])}."
        )
    spread_names = first.labels if axes.stratum else ("",)
    return Ranking(
        source=source.name,
        target=target.name,
        encoder=encoder,
        config=config,
        definition=definition(config),
        labels=tuple(compared),
        refused=tuple(name for name in first.labels if name not in compared),
        layers=tuple(
            LayerScore(
                layer.layer,
                layer.score,
                in_group.get(layer.layer),
                dict(zip(first.labels, layer.labels, strict=True)),
                dict(zip(spread_names, layer.spread, strict=True)) if layer.spread else {},
                *uars.get(layer.layer, (None, None)),
            )
            for layer in comparison.layers
        ),
        sets=sets,
        resolved=sets.cut is not None
        and cut_is_resolved(*(by_layer[name].score.interval for name in sets.cut)),
        probe=probe,
        agreement=agreement,
        axes=axes,
        counts=counts,
        similarity=similarity_table(comparison.layers, first, second, cells, axes, config.cap),
        cells=cell_table(comparison.layers, first, counts, axes),
        spread=spread_table(comparison.layers, first, axes),
        notes=tuple(notes),
    )


def rank(
    workspace: Workspace,
    settings: Settings[RankConfig],
    source: str,
    target: str,
    progress: Progress = no_progress,
    force: bool = False,
) -> Ranking:
    """Rank the layers of a workspace's encoder for one pair, and write the ranking into its folder.

    Writes what `write` lists, ``run.json`` last. A ranking made with the same settings from the same inputs
    is made anew.

    Raises
    ------
    UsageError
        If settings contradict each other.
    LayersimError
        As `rank_layers`; if a corpus is not extracted yet; if another ranking stands there and ``force`` is
        not set.
    """
    from layersim.features.dataset import open_corpus

    settings = effective_settings(settings)
    config = settings.config
    folder = workspace.rank_folder(source, target, config.folder)
    corpora = open_corpus(workspace, source), open_corpus(workspace, target)
    inputs = {corpus.name: fingerprint(corpus, config.label_free) for corpus in corpora}
    # A wrong name is said before --force is advised.
    select_pair(*corpora, config)
    refuse_other_run(folder, settings, inputs, force)
    ranking = rank_layers(*corpora, config, progress)
    for note in ranking.notes:
        logger.info("%s", note)
    write_ranking(folder, ranking, settings, inputs)
    return ranking


@dataclass(frozen=True)
class _Comparison:
    """Every layer's values, and what they were computed from."""

    sides: tuple[Side, Side]
    layers: list[LayerSimilarity]
    zero_vectors: int

    def of(self, names: list[str]) -> list[LayerSimilarity]:
        """Return some layers."""
        by_name = {layer.layer: layer for layer in self.layers}
        return [by_name[name] for name in names]


def _compare_layers(
    corpora: Corpora,
    selections: tuple[Selection, Selection],
    draws: tuple[Draws, Draws],
    cells: Cells,
    layers: list[str],
    config: RankConfig,
    progress: Progress,
    doing: str = "comparing layers",
) -> _Comparison:
    equal = cells.labels if config.label_free else None
    first, second = (
        Side(selection, group_rows(selection, drawn, config.cap, equal), drawn)
        for selection, drawn in zip(selections, draws, strict=True)
    )
    found, zero_vectors = [], 0
    for done, layer in enumerate(layers):
        progress(doing, done, len(layers))
        moments = [
            gather(corpus.cache, side.selection, side.grouping, layer, config.metric, config.features)
            for corpus, side in zip(corpora, (first, second), strict=True)
        ]
        zero_vectors += sum(sums.zero_vectors for sums in moments)
        found.append(compare(layer, (first, second), (moments[0], moments[1]), cells, config.metric))
    progress(doing, len(layers), len(layers))
    return _Comparison((first, second), found, zero_vectors)


def _agreement(
    corpora: Corpora,
    utterances: tuple[Selection, Selection],
    comparison: _Comparison,
    pickable: list[str],
    config: RankConfig,
    progress: Progress,
) -> dict[str, Any]:
    """Order of the layers at this level against that at utterance level, on the same speaker draws."""
    cells = usable_cells(*utterances, config.minimum_cell)
    if not cells.labels.any():
        return {"reason": f"no emotion has {config.minimum_cell} utterances in both corpora."}
    first, second = (
        replace(
            side.draws,
            unit_of_item=np.zeros(len(selection.label), np.int64),
            labels=np.zeros((0, 0), np.int16),
            bucket=1,
        )
        for side, selection in zip(comparison.sides, utterances, strict=True)
    )
    plain = _compare_layers(
        corpora, utterances, (first, second), cells, pickable, config, progress, "comparing utterances"
    )
    found = comparison.of(pickable), plain.layers
    agreement = paired_agreement(
        pickable,
        (_scores(found[0]), _scores(found[1])),
        (_replicates(found[0]), _replicates(found[1])),
    )
    emotions = [name for name, used in zip(utterances[0].labels, cells.labels, strict=True) if used]
    return {"with": "utterance", "emotions": emotions, **agreement, "scores": _scores(found[1])}


def _scores(layers: list[LayerSimilarity]) -> list[float]:
    return [layer.score.value for layer in layers if layer.score.value is not None]


def _replicates(layers: list[LayerSimilarity]) -> NDArray[np.float64]:
    return np.array([layer.score_replicates for layer in layers])


def _group_shares(layers: list[LayerSimilarity]) -> dict[str, float]:
    """Share of the speaker draws in which each layer is in Group; empty where intervals are refused."""
    if any(layer.score.interval is None for layer in layers):
        return {}
    shares = group_shares(_replicates(layers))
    return (
        {}
        if shares is None
        else {layer.layer: float(share) for layer, share in zip(layers, shares, strict=True)}
    )


def _probe(
    corpora: Corpora,
    utterances: tuple[Selection, Selection],
    emotions: list[str],
    layers: list[str],
    config: RankConfig,
    seed: np.random.SeedSequence,
    progress: Progress,
) -> tuple[dict[str, Any], dict[str, tuple[float, float]]]:
    """The probe's UARs per layer (own statistics, source statistics), or the reason why there are none."""
    if not config.probe_limit:
        return {"reason": "probe_limit = 0."}, {}
    if len(emotions) < 2:
        return {"reason": f"it needs two emotions, and only {emotions[0]} has a value."}, {}
    rng = np.random.default_rng(seed)
    first, second = (probe_sample(side, emotions, config.probe_limit, rng) for side in utterances)
    uars, stuck = {}, []
    for done, layer in enumerate(layers):
        progress("probing layers", done, len(layers))
        own, plain, converged = probe_layer(corpora[0].cache, corpora[1].cache, (first, second), layer)
        uars[layer] = own, plain
        stuck += [] if converged else [layer]
    progress("probing layers", len(layers), len(layers))
    described: dict[str, Any] = {
        "source_utterances": len(first.rows),
        "target_utterances": len(second.rows),
        "chance": 1 / len(emotions),
        "not_converged": stuck,
    }
    return described, uars

"""The rank stage: score every layer by emotion-specific similarity, pick Group, Best and Worst.

`rank_layers` works on two corpora's features, `rank` on a workspace, where it writes what it finds.
Conventions are those of `selection` (which rows), `moments` (how vectors are prepared), `cosine` (values,
intervals, null, baseline), `ranking` (sets) and `probe`.
"""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from layersim.errors import LayersimError, UsageError
from layersim.features.provenance import differences
from layersim.settings import FLAG, Settings, StageConfig, setting
from layersim.similarity.cosine import Cells, LayerSimilarity, Side, compare, definition, usable_cells
from layersim.similarity.draws import draw
from layersim.similarity.moments import Features, Metric, gather, group_rows
from layersim.similarity.notes import ranking_notes, unit
from layersim.similarity.probe import agreement, probe_layer, probe_sample
from layersim.similarity.ranking import (
    LayerScore,
    Ranking,
    cut_is_resolved,
    group_shares,
    pick_layers,
    selectable,
)
from layersim.similarity.selection import Level, Selection, select_pair
from layersim.similarity.tables import count_table, similarity_table, vowel_table
from layersim.similarity.write import refuse_other_run, write_ranking
from layersim.workspace import Progress, Workspace, no_progress

if TYPE_CHECKING:
    from layersim.features.dataset import CorpusFeatures

PAPER = "Upadhyay, Busso & Lee, Interspeech 2024"

logger = logging.getLogger(__name__)


class RankConfig(StageConfig):
    """Settings of ``layersim rank``."""

    section: ClassVar[str] = "rank"

    level: Level = setting("utterance", "Compare whole utterances, or vowel segments (phoneme).")
    metric: Metric = setting(
        "pairwise", "pairwise: mean cosine over all cross pairs; centroid: cosine of the means.", paper=PAPER
    )
    features: Features = setting(
        "centred",
        "raw; centred: each corpus's mean removed; zscored: each corpus standardised (phoneme: per vowel).",
    )
    paper: bool = setting(False, "The paper's plain form: pairwise cosine of raw features.")
    emotions: tuple[str, ...] | None = setting(
        None, "Emotions to compare; default: all that both train splits have.", min_length=1
    )
    bootstraps: int = setting(1000, "Speaker bootstrap replicates; 0 for no intervals.", ge=0)
    permutations: int = setting(200, "Label permutations of the null; 0 for no null.", ge=0)
    minimum_cell: int = setting(
        3,
        "Utterances (phoneme level: segments) that a cell needs in each corpus; smaller cells are refused.",
        ge=1,
    )
    include_layer_zero: bool = setting(False, "Let layer 0, the input of the first block, be picked too.")
    probe_limit: int = setting(
        2000, "Utterances a side that the linear probe reads at most; 0 for no probe.", ge=0
    )
    seed: int = setting(0, "Seed of speaker draws, permutations and the probe's sample.", ge=0)

    def effective(self) -> RankConfig:
        """Return the settings with what ``paper`` implies: pairwise, raw."""
        if not self.paper:
            return self
        return self.model_copy(update={"metric": "pairwise", "features": "raw"})


def effective_settings(settings: Settings[RankConfig]) -> Settings[RankConfig]:
    """Apply ``paper`` to a stage's settings, and name it as the origin of what it sets."""
    if not settings.config.paper:
        return settings
    for name in ("metric", "features"):
        if settings.origins[name] == FLAG:
            raise UsageError(f"paper is set and fixes the {name}: leave --{name} out, or set paper = false.")
    origins = {**settings.origins, "metric": f"paper: {PAPER}", "features": f"paper: {PAPER}"}
    return Settings(settings.config.effective(), origins)


def rank_layers(
    source: CorpusFeatures,
    target: CorpusFeatures,
    settings: RankConfig | None = None,
    progress: Progress = no_progress,
) -> Ranking:
    """Rank an encoder's layers by how alike two corpora's emotions are in them.

    Reads the train split of both corpora, labels included; no other row.

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
    encoder = _same_encoder(source, target)
    layers = list(source.cache.layers if config.level == "utterance" else source.cache.frame_layers)
    pickable = selectable(layers, config.include_layer_zero)
    if not pickable:
        raise LayersimError(f"{encoder}: no layer to pick from at {config.level} level; found {layers}.")
    first, second, notes = select_pair(source, target, config.level, config.emotions)
    cells = usable_cells(first, second, config.minimum_cell)
    counts = count_table(first, second, cells)
    if not cells.emotions.any():
        raise LayersimError(
            f"{source.name} and {target.name}: no cell has {config.minimum_cell} or more "
            f"{unit(config.level)} in both train splits:\n{counts.to_string(index=False)}\n"
            "Extract more utterances, or lower minimum_cell."
        )
    seeds = np.random.SeedSequence(config.seed).spawn(3)
    sides = _side(source, first, config, seeds[0]), _side(target, second, config, seeds[1])
    found, zero_vectors = _compare_layers((source, target), sides, cells, layers, config, progress)
    by_layer = {layer.layer: layer for layer in found}
    picked_from = [by_layer[name] for name in pickable]
    scores = [layer.score.value for layer in picked_from if layer.score.value is not None]
    sets = pick_layers(pickable, scores)
    in_group = _group_shares(picked_from)
    compared = [name for name, used in zip(first.emotions, cells.emotions, strict=True) if used]
    probe, uars = _probe((source, target), sides, compared, layers, config, seeds[2], progress)
    if uars:
        own, plain = ([uars[name][form] for name in pickable] for form in (0, 1))
        probe |= agreement(scores, own, plain) | {"layers": len(pickable)}
    notes += ranking_notes(
        sides, cells, config.level, config.features, config.minimum_cell, zero_vectors, len(pickable)
    )
    if probe.get("not_converged"):
        notes.append(
            f"the probe's classifier did not converge on layers {', '.join(probe['not_converged'])}."
        )
    return Ranking(
        source=source.name,
        target=target.name,
        encoder=encoder,
        level=config.level,
        metric=config.metric,
        features=config.features,
        definition=definition(config.metric, config.features, config.level),
        emotions=tuple(compared),
        refused=tuple(name for name in first.emotions if name not in compared),
        layers=tuple(
            LayerScore(
                layer.layer,
                layer.score,
                in_group.get(layer.layer),
                dict(zip(first.emotions, layer.emotions, strict=True)),
                *uars.get(layer.layer, (None, None)),
            )
            for layer in found
        ),
        sets=sets,
        resolved=sets.cut is not None
        and cut_is_resolved(*(by_layer[name].score.interval for name in sets.cut)),
        probe=probe,
        counts=counts,
        similarity=similarity_table(found, first, second, cells),
        vowels=vowel_table(found, first, counts) if config.level == "phoneme" else None,
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

    Writes ``ranking.json``, ``similarity.csv``, ``layers.csv``, at phoneme level ``vowels.csv``, heatmaps as
    PNG and SVG, and ``run.json`` last. A ranking made with the same settings from the same inputs is made
    anew.

    Raises
    ------
    LayersimError
        As `rank_layers`; if a corpus is not extracted yet; if another ranking stands there and ``force`` is
        not set.
    """
    from layersim.features.dataset import open_corpus

    settings = effective_settings(settings)
    folder = workspace.rank_folder(source, target, settings.config.level)
    corpora = open_corpus(workspace, source), open_corpus(workspace, target)
    inputs = {corpus.name: fingerprint(corpus) for corpus in corpora}
    # A wrong name is said before --force is advised.
    select_pair(*corpora, settings.config.level, settings.config.emotions)
    refuse_other_run(folder, settings, inputs, force)
    ranking = rank_layers(*corpora, settings.config, progress)
    for note in ranking.notes:
        logger.info("%s", note)
    write_ranking(folder, ranking, settings, inputs)
    return ranking


def _compare_layers(
    corpora: tuple[CorpusFeatures, CorpusFeatures],
    sides: tuple[Side, Side],
    cells: Cells,
    layers: list[str],
    config: RankConfig,
    progress: Progress,
) -> tuple[list[LayerSimilarity], int]:
    """Every layer's values, and how many vectors had no direction."""
    found, zero_vectors = [], 0
    for done, layer in enumerate(layers):
        progress("comparing layers", done, len(layers))
        first, second = (
            gather(corpus.cache, side.selection, side.grouping, layer, config.metric, config.features)
            for corpus, side in zip(corpora, sides, strict=True)
        )
        zero_vectors += first.zero_vectors + second.zero_vectors
        found.append(compare(layer, sides, (first, second), cells, config.metric))
    progress("comparing layers", len(layers), len(layers))
    return found, zero_vectors


def _group_shares(layers: list[LayerSimilarity]) -> dict[str, float]:
    """Share of the speaker draws in which each layer is in Group; empty where intervals are refused."""
    if any(layer.score.interval is None for layer in layers):
        return {}
    shares = group_shares(np.array([layer.score_replicates for layer in layers]))
    return (
        {}
        if shares is None
        else {layer.layer: float(share) for layer, share in zip(layers, shares, strict=True)}
    )


def _side(
    corpus: CorpusFeatures, selection: Selection, config: RankConfig, seed: np.random.SeedSequence
) -> Side:
    draws = draw(
        selection, corpus.cache.width, config.bootstraps, config.permutations, np.random.default_rng(seed)
    )
    return Side(selection, group_rows(selection, draws.unit_of_utterance, draws.units), draws)


def _probe(
    corpora: tuple[CorpusFeatures, CorpusFeatures],
    sides: tuple[Side, Side],
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
    first, second = (probe_sample(side.selection, emotions, config.probe_limit, rng) for side in sides)
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


def _same_encoder(source: CorpusFeatures, target: CorpusFeatures) -> str:
    """Name the encoder of both caches.

    Raises
    ------
    LayersimError
        If their layers, widths or weights differ.
    """
    differing = [
        difference
        for key in ("layers", "width", "encoder")
        for difference in differences(target.cache.provenance[key], source.cache.provenance[key], key)
    ]
    if differing:
        raise LayersimError(
            f"{source.name} and {target.name} were extracted differently; for {target.name} "
            f"{'; '.join(differing)}. Extract both with the same encoder and settings."
        )
    return str(source.cache.provenance["encoder"]["checkpoint"])


def fingerprint(corpus: CorpusFeatures) -> str:
    """Hash what rank reads: what the cache was made from, its vowel classes, the train split's labels."""
    read = corpus.restrict("train").table[["corpus", "utterance_id", "speaker", "emotion"]]
    vowels = None
    if corpus.phone_set is not None:
        from layersim.alignment.vowels import load_phone_set

        vowels = sorted(load_phone_set(corpus.phone_set).classes.items())
    text = json.dumps(
        [dict(corpus.cache.provenance), vowels, sorted(read.astype(str).to_numpy().tolist())],
        sort_keys=True, ensure_ascii=False,
    )  # fmt: skip
    return hashlib.sha256(text.encode()).hexdigest()

"""The ranking as plain text: layers by labels, sets marked, each number with what it is held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersim.metrics import p_value
from layersim.similarity.phones import class_kind

if TYPE_CHECKING:
    from layersim.similarity.estimate import Estimate
    from layersim.similarity.ranking import LayerScore, Ranking

REFUSED = "few"
MOST_LABELS = 8  # more columns than that do not fit a terminal: their values stand in similarity.csv
_NOTHING = "-"


def ranking_table(ranking: Ranking) -> str:
    """Lay a ranking out as text: heading, definition, one line a layer, counts, sets, agreement, notes."""
    names = [*ranking.labels, *ranking.refused]
    shown = names if len(names) <= MOST_LABELS else []
    head = ["layer", *shown, "score", "interval", "null", "other", "probe", "sets"]
    decimals = _decimals(ranking)
    rows = [_layer_row(ranking, layer, shown, decimals) for layer in ranking.layers]
    footer = _totals(ranking, shown) if shown else []
    widths = [max(len(row[column]) for row in [head, *rows, *footer]) for column in range(len(head))]
    label = ranking.axes.label
    lines = [
        f"{ranking.source} -> {ranking.target}   {ranking.encoder}   {ranking.name}",
        f"similarity: {ranking.definition}",
        f"score: mean over {label}s, with its 95 % interval over speakers; null: its middle 95 % under",
        f"permuted labels; other: similarity to the other {label}s; probe: UAR % of a linear probe",
        "",
        _line(head, widths),
        *(_line(row, widths) for row in rows),
        *([f"{_unit(ranking)} per {label}, train splits"] if footer else []),
        *(_line(row, widths) for row in footer),
        "",
        *_cells(ranking),
        f"Group {_layers(ranking.sets.group)}   Best {ranking.sets.best}   "
        f"Worst {_layers(ranking.sets.worst)}",
        _cut_line(ranking, decimals),
        *_spread_lines(ranking),
        *_agreement_line(ranking),
        _probe_line(ranking),
        *(f"note: {note}" for note in ranking.notes),
    ]
    return "\n".join(line.rstrip() for line in lines)


def _unit(ranking: Ranking) -> str:
    return "utterances" if ranking.level == "utterance" else "segments"


def _decimals(ranking: Ranking) -> int:
    """Three, and more where the scores lie so close (raw features) that three would show them as equal."""
    scores = [layer.score.value for layer in ranking.layers if layer.score.value is not None]
    spread = max(scores) - min(scores)
    return next((decimals for decimals in (3, 4, 5) if spread >= 20 * 10**-decimals), 6) if spread else 3


def _layer_row(ranking: Ranking, layer: LayerScore, names: list[str], decimals: int) -> list[str]:
    score = layer.score
    sets = ranking.sets
    marks = [
        name
        for name, member in (
            ("Group", layer.layer in sets.group),
            ("Best", layer.layer == sets.best),
            ("Worst", layer.layer in sets.worst),
        )
        if member
    ]
    return [
        layer.layer,
        *(
            REFUSED if (value := layer.labels[name].value) is None else _number(value, decimals)
            for name in names
        ),
        _number(score.value, decimals),
        _span(score.low, score.high, decimals),
        _span(score.null_low, score.null_high, decimals),
        _number(score.different, decimals),
        _NOTHING if layer.probe_uar is None else f"{100 * layer.probe_uar:.1f}",
        " ".join(marks),
    ]


def _totals(ranking: Ranking, names: list[str]) -> list[list[str]]:
    """Rows per label in each corpus; at phoneme level also what is left of them under the speaker cap."""
    columns = {"source": "source", "target": "target"}
    if ranking.config.cap:
        columns |= {"source, capped": "source_effective", "target, capped": "target_effective"}
    totals = ranking.counts.groupby(ranking.axes.label, sort=False)[list(columns.values())].sum()
    return [
        [said, *(str(totals.loc[name, column]) for name in names), *[""] * 6]
        for said, column in columns.items()
    ]


def _cells(ranking: Ranking) -> list[str]:
    """Segments of every vowel in both corpora, emotions in columns where there are any."""
    if ranking.level == "utterance":
        return []
    label, stratum = ranking.axes.label, ranking.axes.stratum
    head = f"segments in {ranking.source}/{ranking.target}, in brackets where refused as too few"
    pairs = [
        (f"{row['source']}/{row['target']}", row["refused"]) for row in ranking.counts.to_dict("records")
    ]
    said = [f"({text})" if refused else text for text, refused in pairs]
    if stratum is None:
        listed = [f"{name} {text}" for name, text in zip(ranking.counts[label], said, strict=True)]
        return [f"{head}: {', '.join(listed)}", ""]
    table = ranking.counts.assign(said=said).pivot_table(
        index=stratum, columns=label, values="said", aggfunc="first", sort=False
    )
    rows = [
        [stratum, *table.columns],
        *([name, *row] for name, row in zip(table.index, table.values, strict=True)),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        head,
        *("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows),
        "",
    ]


def _cut_line(ranking: Ranking, decimals: int) -> str:
    if ranking.sets.cut is None:
        return "cut: there is no layer beside the Group."
    inside, outside = ranking.sets.cut
    scores: dict[str, Estimate] = {layer.layer: layer.score for layer in ranking.layers}
    spans = [_span(scores[name].low, scores[name].high, decimals) for name in (inside, outside)]
    if ranking.resolved:
        return f"cut: resolved (layer {inside} {spans[0]}, layer {outside} {spans[1]})."
    if _NOTHING in spans:
        return f"cut: NOT resolved: no intervals for layers {inside} and {outside}."
    return (
        f"cut: NOT resolved: the intervals of layer {inside} {spans[0]} and layer {outside} {spans[1]} "
        "overlap; other speakers could give another Group."
    )


def _spread_lines(ranking: Ranking) -> list[str]:
    """Name where the vowels differ least and most: one line an emotion."""
    lines = []
    for name in ranking.layers[0].spread:
        found = [(layer.spread[name], layer.layer) for layer in ranking.layers]
        there = [(spread.value, spread, layer) for spread, layer in found if spread.value is not None]
        if not there:
            continue
        ends = [min(there, key=lambda part: part[0]), max(there, key=lambda part: part[0])]
        said = " to ".join(
            f"{value:.3f} {_span(spread.low, spread.high, 3)} (layer {layer})"
            for value, spread, layer in ends
        )
        lines.append(f"  {name}: {said}" if name else f"  {said}")
    noun = class_kind(ranking.config)
    head = f"spread over {noun}s (standard deviation of their similarities), lowest to highest layer:"
    return [head, *lines] if lines else []


def _agreement_line(ranking: Ranking) -> list[str]:
    found = ranking.agreement
    if found is None:
        return []
    if "reason" in found:
        return [f"agreement with the utterance level: not computed: {found['reason']}"]
    if found["tau"] is None:
        return ["agreement with the utterance level: no order to compare."]
    return [
        f"agreement with the utterance level: Kendall's tau-b {found['tau']:+.2f} "
        f"{_span(found['low'], found['high'], 2)} over {len(found['layers'])} layers ({found['blind_to']})."
    ]


def _probe_line(ranking: Ranking) -> str:
    probe = ranking.probe
    if "reason" in probe:
        return f"probe: not run: {probe['reason']}"
    parts = []
    for key, form in (("spearman", "own"), ("spearman_source_statistics", "source")):
        rho, p = probe[key]["rho"], probe[key]["p"]
        said = "no order to compare" if rho is None else f"rho {rho:+.2f} ({p_value(p)})"
        parts.append(f"{said}, {form} statistics")
    return f"probe: layer score against transfer UAR over {probe['layers']} layers: {'; '.join(parts)}."


def _layers(layers: tuple[str, ...]) -> str:
    return ", ".join(layers) or "none"


def _number(value: float | None, decimals: int) -> str:
    return _NOTHING if value is None else f"{value:.{decimals}f}"


def _span(low: float | None, high: float | None, decimals: int) -> str:
    if low is None or high is None:
        return _NOTHING
    return f"[{low:.{decimals}f}, {high:.{decimals}f}]"


def _line(cells: list[str], widths: list[int]) -> str:
    return "  ".join(
        cell.ljust(width) if column in (0, len(cells) - 1) else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )

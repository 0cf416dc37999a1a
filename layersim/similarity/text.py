"""The ranking as plain text: layers by emotions, sets marked, each number with what it is held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layersim.similarity.cosine import Estimate
    from layersim.similarity.ranking import LayerScore, Ranking

REFUSED = "few"
_NOTHING = "-"


def ranking_table(ranking: Ranking) -> str:
    """Lay a ranking out as text: heading, definition, one line a layer, sets, probe, notes."""
    unit = "segments" if ranking.level == "phoneme" else "utterances"
    names = [*ranking.emotions, *ranking.refused]
    head = ["layer", *names, "score", "interval", "null", "other", "probe", "sets"]
    decimals = _decimals(ranking)
    rows = [_layer_row(ranking, layer, names, decimals) for layer in ranking.layers]
    totals = ranking.counts.groupby("emotion", sort=False)[["source", "target"]].sum()
    footer = [
        [side, *(str(totals.loc[name, side]) for name in names), *[""] * 6] for side in ("source", "target")
    ]
    widths = [max(len(row[column]) for row in [head, *rows, *footer]) for column in range(len(head))]
    lines = [
        f"{ranking.source} -> {ranking.target}   {ranking.encoder}   {ranking.level} level",
        f"similarity: {ranking.definition}",
        "score: mean over emotions, with its 95 % interval over speakers; null: its middle 95 % under",
        "permuted labels; other: similarity to the other emotions; probe: UAR % of a linear probe",
        "",
        _line(head, widths),
        *(_line(row, widths) for row in rows),
        f"{unit} per emotion, train splits",
        *(_line(row, widths) for row in footer),
        "",
        f"Group {_layers(ranking.sets.group)}   Best {ranking.sets.best}   "
        f"Worst {_layers(ranking.sets.worst)}",
        _cut_line(ranking, decimals),
        _probe_line(ranking),
        *(f"note: {note}" for note in ranking.notes),
    ]
    return "\n".join(line.rstrip() for line in lines)


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
            REFUSED if (value := layer.emotions[name].value) is None else _number(value, decimals)
            for name in names
        ),
        _number(score.value, decimals),
        _span(score.low, score.high, decimals),
        _span(score.null_low, score.null_high, decimals),
        _number(score.different, decimals),
        _NOTHING if layer.probe_uar is None else f"{100 * layer.probe_uar:.1f}",
        " ".join(marks),
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


def _probe_line(ranking: Ranking) -> str:
    probe = ranking.probe
    if "reason" in probe:
        return f"probe: not run: {probe['reason']}"
    parts = []
    for key, form in (("spearman", "own"), ("spearman_source_statistics", "source")):
        rho, p = probe[key]["rho"], probe[key]["p"]
        said = "no order to compare" if rho is None else f"rho {rho:+.2f} (p {p:.3f})"
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

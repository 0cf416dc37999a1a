"""A pair's rankings on the page: scores, figures, counts, and how the levels agree.

Everything is read from what rank wrote. The label-free ranking never met the others before: it must not read
the labels that they read, so they are compared here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from layersim.report.outputs import RankingOutputs
from layersim.report.show import NOTHING, image, number, per_cent, span
from layersim.similarity.agreement import kendall_tau

MOST_LABELS = 8  # columns of one table


def ranking_section(outputs: RankingOutputs, folder: Path) -> dict[str, Any]:
    """Collect what the page shows of one ranking; draw what only the page has into ``folder``."""
    ranking = outputs.ranking
    kind = ranking["compared"]  # emotions; label-free: vowels or consonants
    shown = ranking[kind] if len(ranking[kind]) <= MOST_LABELS else []
    columns = [
        "layer", "score", "95 % interval", "null 95 %", "p", f"other {kind}", *shown,
        "in Group %", "probe UAR %",
    ]  # fmt: skip
    return {
        **{key: ranking[key] for key in ("group", "worst", "definition", "resolved", "notes")},
        "name": outputs.name,
        "best": [ranking["best"]],
        "columns": columns,
        "rows": [_layer_row(layer, ranking, shown) for layer in ranking["layers"]],
        "probe": _probe_sentence(ranking["probe"]),
        "agreement": _agreement_sentence(ranking["agreement"]),
        "figures": [
            image(outputs.folder / "heatmap.svg", f"Similarity per layer of {kind}; the sets are marked."),
            _layer_curve(ranking, outputs, folder),
        ],
        "cell_figures": _cell_figures(outputs.folder),
        "spread": [
            image(
                file,
                "Inter-vowel spread: standard deviation over vowels of their similarities, with its 95 % "
                "interval over speakers, mirrored at the value because noise adds to a spread.",
            )
            for file in outputs.folder.glob("spread.svg")
        ],
        "counts": _counts(ranking) if ranking["level"] == "phoneme" else None,
    }


def comparison(rankings: list[RankingOutputs]) -> dict[str, Any] | None:
    """Hold a pair's rankings against each other: their sets, and Kendall's tau between their layer scores.

    Returns
    -------
    dict or None
        None for fewer than two rankings.
    """
    if len(rankings) < 2:
        return None
    names = [outputs.name for outputs in rankings]
    scores = [
        {layer["layer"]: layer["score"] for layer in outputs.ranking["layers"] if layer["layer"] != "0"}
        for outputs in rankings
    ]
    rows = []
    for outputs, own in zip(rankings, scores, strict=True):
        ranking = outputs.ranking
        taus = [NOTHING if own is other else _tau(own, other) for other in scores]
        sets = (ranking["group"], [ranking["best"]], ranking["worst"])
        rows.append([outputs.name, *(", ".join(layers) for layers in sets), *taus])
    return {
        "columns": ["ranking", "Group", "Best", "Worst", *(f"tau with {name}" for name in names)],
        "rows": rows,
    }


def _cell_figures(folder: Path) -> list[dict[str, str]]:
    found = []
    for kind in ("vowel", "consonant"):
        for file in sorted(folder.glob(f"{kind}s-*.svg")):
            emotion = file.stem.removeprefix(f"{kind}s-")
            found.append(image(file, f"{emotion}: similarity per layer and {kind}."))
    return found


def _tau(first: dict[str, float], second: dict[str, float]) -> str:
    shared = [layer for layer in first if layer in second]
    if len(shared) < 2:
        return NOTHING
    tau = float(kendall_tau([first[layer] for layer in shared], [second[layer] for layer in shared]))
    return NOTHING if np.isnan(tau) else f"{tau:+.2f}"


def _layer_row(layer: dict[str, Any], ranking: dict[str, Any], shown: list[str]) -> dict[str, Any]:
    name = layer["layer"]
    kind = "best" if name == ranking["best"] else "group" if name in ranking["group"] else ""
    kind = "worst" if name in ranking["worst"] else kind
    cells = [
        name,
        number(layer["score"]),
        span(layer["low"], layer["high"]),
        span(layer["null_low"], layer["null_high"]),
        number(layer["p"]),
        number(layer["different"]),
        *(number(layer[ranking["compared"]][label]["similarity"]) for label in shown),
        per_cent(layer["in_group"]),
        per_cent(layer["probe_uar"]),
    ]
    return {"kind": kind, "cells": cells}


def _counts(ranking: dict[str, Any]) -> dict[str, Any]:
    """Segments of every cell, vowels in rows, emotions in columns; label-free: one column.

    A cell is ``{"text", "refused"}``.
    """
    counts = ranking["counts"]
    label = ranking["compared"].removesuffix("s")
    stratum = next((name for name in ("vowel", "consonant") if name in counts[0]), label)
    columns = list(dict.fromkeys(row[label] for row in counts)) if stratum != label else ["segments"]
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in counts:
        text = f"{row['source']} / {row['target']}"
        if (row["source_effective"], row["target_effective"]) != (row["source"], row["target"]):
            text += f" ({row['source_effective']} / {row['target_effective']})"
        rows.setdefault(row[stratum], []).append({"text": text, "refused": row["refused"]})
    return {
        "columns": [stratum, *columns],
        "rows": list(rows.items()),
        "refused": sum(row["refused"] for row in counts),
        "of": len(counts),
        "corpora": f"{ranking['source']} / {ranking['target']}",
    }


def _probe_sentence(probe: dict[str, Any]) -> str:
    if "reason" in probe:
        return f"The linear probe was not run: {probe['reason']}"
    found = probe["spearman"]
    if found["rho"] is None:
        return "The linear probe gives no order to compare with."
    return (
        f"Does the ranking predict transfer? A linear probe trained on {probe['source_utterances']} source "
        f"utterances, each corpus standardised by itself, was tried on {probe['target_utterances']} of the "
        f"target's train split in every layer: Spearman's rho between layer score and its UAR is "
        f"{found['rho']:+.2f} (p = {found['p']:.3f}, {probe['layers']} layers)."
    )


def _agreement_sentence(agreement: dict[str, Any] | None) -> str:
    if agreement is None:
        return ""
    if "reason" in agreement:
        return f"The order of the layers was not compared with the utterance level: {agreement['reason']}"
    if agreement["tau"] is None:
        return "The utterance level gives no order to compare with."
    low, high = agreement["low"], agreement["high"]
    interval = "no interval" if low is None else f"95 % interval {low:+.2f} to {high:+.2f}"
    return (
        f"Agreement with the utterance level, on the same speaker draws: Kendall's tau-b "
        f"{agreement['tau']:+.2f} ({interval}, {len(agreement['layers'])} layers). Mind: "
        f"{agreement['blind_to']}."
    )


def _layer_curve(ranking: dict[str, Any], outputs: RankingOutputs, folder: Path) -> dict[str, str]:
    from layersim.figures.curves import layer_curve
    from layersim.figures.save import save

    layers, kind = ranking["layers"], ranking["compared"]
    columns = {
        key: np.array([np.nan if layer[key] is None else layer[key] for layer in layers])
        for key in ("score", "low", "high", "null_low", "null_high", "different", "probe_uar")
    }
    others = {f"other {kind}": columns["different"]}
    figure = layer_curve(
        [layer["layer"] for layer in layers],
        columns["score"], columns["low"], columns["high"], columns["null_low"], columns["null_high"],
        {"Group": ranking["group"], "Best": [ranking["best"]], "Worst": ranking["worst"]},
        title=f"{ranking['source']} and {ranking['target']}: similarity by layer, {outputs.name}",
        value_label=f"{ranking['metric']} cosine, {ranking['features']}",
        score_label=f"same {kind.removesuffix('s')}",
        null_label=f"{kind.removesuffix('s')} labels permuted (null), 95 %",
        others={name: values for name, values in others.items() if np.isfinite(values).any()},
    )  # fmt: skip
    name = f"layers-{ranking['source']}-to-{ranking['target']}-{outputs.folder.name}"
    _, svg = save(figure, folder / name)
    return image(svg, f"Score by layer with its interval over speakers, the null, and other {kind}.")

"""The evidence as Markdown tables."""

from __future__ import annotations

from typing import Any

from mini_probes.evidence import CEPSTRA, ENCODER, RANDOM, best_layer
from mini_probes.tasks import ALL, CHOSEN, MEAN

_NAMES = {"english": "synthetic English", "mandarin": "synthetic Mandarin", "emodb": "Emo-DB",
          "ravdess": "RAVDESS", "casia": "CASIA"}  # fmt: skip


def to_markdown(document: dict[str, Any]) -> str:
    """Write one table of every task's main scores, then one table per layer."""
    encoder = document["encoder"]
    parts = [
        f"Weights `{encoder['weights_sha256'][:16]}`, {document['parameters'] / 1e6:.2f} M parameters; "
        f"{document['twins']} networks with random weights (mean, and range over them); "
        "95 % intervals over test speakers. Numbers are per cent.",
        _main_table(document["results"]),
    ]
    for task in dict.fromkeys(result["task"] for result in document["results"]):
        parts.append(_layer_table([result for result in document["results"] if result["task"] == task]))
    return "\n\n".join(parts) + "\n"


def _main_table(results: list[dict[str, Any]]) -> str:
    rows = [["task", "speech", "chance", "layersim-mini, layer", "random weights", "MFCC statistics"]]
    for result in results:
        name = f"{result['task']} ({result['measure']})"
        speech = _NAMES.get(result["speech"], result["speech"])
        chance = f"{100 * result['chance']:.1f}"
        plain = _cell(result[CEPSTRA].get("mfcc"))
        if CHOSEN in result[ENCODER]:
            chosen = ", ".join(dict.fromkeys(result["chosen"]))
            own = f"{_cell(result[ENCODER][CHOSEN])}, layer {chosen}, chosen in training"
            rows.append([name, speech, chance, own, _cell(result[RANDOM].get(CHOSEN)), plain])
            for label in (MEAN, ALL):
                own, other = _cell(result[ENCODER][label]), _cell(result[RANDOM].get(label))
                rows.append(["", "", "", f"{own}, {label}", other, ""])
            name = speech = chance = plain = ""
        best, other_best = best_layer(result, ENCODER), result[RANDOM] and best_layer(result, RANDOM)
        own = f"{_cell(result[ENCODER][best])}, layer {best}, the best on the test"
        other = f"{_cell(result[RANDOM][other_best])}, layer {other_best}" if other_best else "–"
        rows.append([name, speech, chance, own, other, plain])
    return _table(rows)


def _layer_table(results: list[dict[str, Any]]) -> str:
    """One row a layer; the encoder with its interval, random weights with their range."""
    heading, layers = [], list(results[0]["layers"])
    for result in results:
        name = _NAMES.get(result["speech"], result["speech"])
        heading += [name, f"{name}, random weights"]
    rows = [["layer", *heading]]
    for layer in layers:
        cells = []
        for result in results:
            cells += [_cell(result[ENCODER][layer]), _cell(result[RANDOM].get(layer))]
        rows.append([layer, *cells])
    rows.append(["MFCC", *(cell for result in results for cell in (_cell(result[CEPSTRA].get("mfcc")), ""))])
    return f"{results[0]['task'].capitalize()}, {results[0]['measure']} by layer:\n\n{_table(rows)}"


def _cell(score: dict[str, Any] | None) -> str:
    """Write a score and its two ends.

    >>> _cell({"uar": 0.7125, "low": 0.65, "high": None}), _cell({"uar": 0.5, "low": 0.45, "high": 0.552})
    ('71.2', '50.0 (45.0 to 55.2)')
    """
    if score is None:
        return "–"
    value = f"{100 * score['uar']:.1f}"
    if score["low"] is None or score["high"] is None:
        return value
    return f"{value} ({100 * score['low']:.1f} to {100 * score['high']:.1f})"


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])

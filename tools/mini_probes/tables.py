"""The evidence as Markdown tables."""

from __future__ import annotations

from typing import Any

from mini_probes.evidence import CEPSTRA, ENCODER, RANDOM
from mini_probes.tasks import ALL, BEST, CHOSEN, MEAN

SPEECH = {"english": "synthetic English", "mandarin": "synthetic Mandarin", "emodb": "Emo-DB",
          "ravdess": "RAVDESS", "casia": "CASIA"}  # fmt: skip


def to_markdown(document: dict[str, Any]) -> str:
    """Write how it was measured, one table of the main scores, and one table of layers per task."""
    parts = [_preface(document), _main_table(document)]
    for task in dict.fromkeys(result["task"] for result in document["results"]):
        parts.append(_layer_table([result for result in document["results"] if result["task"] == task]))
    return "\n\n".join(parts) + "\n"


def _preface(document: dict[str, Any]) -> str:
    encoder, penalties = document["encoder"], document["penalties"]
    grid = ", ".join(f"{penalty:g}" for penalty in penalties["emotions"])
    lines = [
        f"{encoder['checkpoint']}, weights `{encoder['weights_sha256'][:16]}`, "
        f"{document['parameters'] / 1e6:.2f} M parameters. Linear probes (multinomial logistic regression on "
        "standardised features: a phone's mean frame; an utterance's mean and standard deviation). C is "
        f"{penalties['phones and speakers']:g} for phones and speakers; for emotions it is chosen among "
        f"{grid} on inner folds of the training speakers. Numbers are per cent; in brackets 95 % intervals "
        "over the test speakers, too narrow where these are few, or the range over the "
        f"{document['random networks']} networks with random weights. Phones and the synthetic emotions are "
        "spoken by espeak-ng, as is the speech of pretraining, in sentences that pretraining does not have.",
        "",
    ]
    for result in document["results"]:
        about = result["about"]
        extra = f", {about['trained on']} for training" if "trained on" in about else ""
        speech = SPEECH.get(result["speech"], result["speech"])
        lines.append(
            f"- {result['task']}, {speech}: {about['classes']} classes, "
            f"{about['tested on']} tested{extra}, {about['test speakers']} test speakers; {about['split']}."
        )
    return "\n".join(lines)


def _main_table(document: dict[str, Any]) -> str:
    name = document["encoder"]["checkpoint"]
    rows = [
        ["task", "speech", "from", name, "random weights", "gain over random", "MFCC statistics", "chance"]
    ]
    for result in document["results"]:
        about = [f"{result['task']}, {result['measure']}", SPEECH.get(result["speech"], result["speech"])]
        ends = [_cell(result[CEPSTRA]), f"{100 * result['chance']:.1f}"]
        for kind in (CHOSEN, MEAN, ALL, BEST):
            if kind not in result[ENCODER]:
                continue
            label = kind
            if kind == BEST:
                label = f"{kind} ({result['best']})"
            elif kind == CHOSEN:
                label = f"{kind} ({', '.join(dict.fromkeys(result['chosen']))})"
            own, other = _cell(result[ENCODER][kind]), _cell(result[RANDOM].get(kind))
            gain = result["gain"][kind][RANDOM]
            more = (
                f"{100 * gain['value']:+.1f} ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})"
                if gain
                else "–"
            )
            rows.append([*about, label, own, other, more, *ends])
            about, ends = ["", ""], ["", ""]
    return table(rows)


def _layer_table(results: list[dict[str, Any]]) -> str:
    """One row a layer: the encoder, and the mean of the random networks."""
    rows = [["layer"]]
    for result in results:
        rows[0] += [SPEECH.get(result["speech"], result["speech"]), "random"]
    for layer in results[0]["layers"]:
        cells = [layer]
        for result in results:
            cells += [_number(result[ENCODER][layer]), _number(result[RANDOM].get(layer))]
        rows.append(cells)
    rows.append(["MFCC", *(cell for result in results for cell in (_number(result[CEPSTRA]), ""))])
    task = results[0]["task"]
    return f"{task[0].upper()}{task[1:]}, {results[0]['measure']} by layer:\n\n{table(rows)}"


def _number(score: dict[str, Any] | None) -> str:
    return "–" if score is None else f"{100 * score['uar']:.1f}"


def _cell(score: dict[str, Any] | None) -> str:
    """Write a score and its two ends.

    >>> _cell({"uar": 0.7125, "low": None, "high": None}), _cell({"uar": 0.5, "low": 0.45, "high": 0.552})
    ('71.2', '50.0 (45.0 to 55.2)')
    """
    if score is None or score["low"] is None or score["high"] is None:
        return _number(score)
    return f"{_number(score)} ({100 * score['low']:.1f} to {100 * score['high']:.1f})"


def table(rows: list[list[str]]) -> str:
    """Write rows, the first being the heading, as a Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])

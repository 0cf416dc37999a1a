"""What a pair's outputs come to, in sentences: which layers, how sure, what anchoring bought.

Every sentence is made from what rank and train wrote. A difference counts as one only if its 95 % interval
over speakers leaves zero out, and with a caution where the speakers are few.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from layersim.metrics import FEW_SPEAKERS, p_value
from layersim.report.gain import Gain, read_runs, uar_gain
from layersim.report.outputs import PairOutputs, RankingOutputs, TrainingOutputs

_BASELINES = {
    "cc-std": "the top layer, each corpus standardised by itself",
    "cc": "the top layer, both standardised by the source",
}  # what la is held against
_DECIMALS = 3


@dataclass(frozen=True)
class Chapter:
    """A heading and its sentences."""

    title: str
    sentences: tuple[str, ...]


def tell(pair: PairOutputs) -> list[Chapter]:
    """Tell one pair's story; a chapter without sentences is left out.

    Raises
    ------
    LayersimError
        If predictions that the summary speaks of are gone.
    """
    chapters = [
        Chapter("Which layers", tuple(_which(ranking) for ranking in pair.rankings)),
        Chapter("How sure", tuple(_how_sure(ranking) for ranking in pair.rankings)),
        Chapter("What anchoring bought", tuple(_what_it_bought(pair.training)) if pair.training else ()),
    ]
    return [chapter for chapter in chapters if chapter.sentences]


def _which(outputs: RankingOutputs) -> str:
    ranking = outputs.ranking
    layers = {layer["layer"]: layer for layer in ranking["layers"]}
    return (
        f"{_capital(outputs.name)}: the {ranking['compared']} of the two corpora are most alike in layers "
        f"{_listed(ranking['group'])} (Group), most of all in layer {ranking['best']} "
        f"({_score(layers[ranking['best']])}), and least alike in {_listed(ranking['worst'])} (Worst; the "
        f"lowest score is {_score(min((layers[name] for name in ranking['worst']), key=_value))})."
    )


def _how_sure(outputs: RankingOutputs) -> str:
    ranking = outputs.ranking
    pickable = [layer for layer in ranking["layers"] if layer["layer"] != "0"]
    label = ranking["compared"].removesuffix("s")
    said = []
    tested = [layer for layer in pickable if layer["null_high"] is not None]
    if tested:
        above = sum(layer["score"] > layer["null_high"] for layer in tested)
        clause = f"{above} of {len(tested)} layers score above the 95 % range of permuted {label} labels"
        lows = [(layer["low"], layer["null_high"]) for layer in tested if layer["low"] is not None]
        if lows:
            clause += f", {sum(low > null for low, null in lows)} with their whole interval over speakers"
        said.append(clause)
    best, lowest = max(pickable, key=_value), min(pickable, key=_value)
    if best["low"] is not None and lowest["high"] is not None:
        apart = best["low"] > lowest["high"]
        said.append(
            f"the intervals of the highest and the lowest layer {'lie apart' if apart else 'overlap'}"
        )
    said.append(f"the Group's cut is {'' if ranking['resolved'] else 'not '}resolved")
    shares = [layer for layer in pickable if layer["in_group"] is not None]
    if shares:
        likely = sorted(shares, key=lambda layer: -layer["in_group"])[: len(ranking["group"]) + 1]
        draws = ", ".join(f"layer {layer['layer']} in {100 * layer['in_group']:.0f} %" for layer in likely)
        said.append(f"with the speakers drawn anew, the Group has {draws} of the draws")
    return f"{_capital(outputs.name)}: {'; '.join(said)}.{_probe(ranking['probe'])}"


def _probe(probe: dict[str, Any]) -> str:
    found = probe.get("spearman")
    if not found or found["rho"] is None:
        return ""
    verdict = (
        "no relation of the ranking to transfer is shown"
        if found["p"] >= 0.05
        else "the more alike a layer, the better it transfers"
        if found["rho"] > 0
        else "the more alike a layer, the worse it transfers"
    )
    return (
        f" Against a linear probe trained on the one corpus and tried on the other, layer by layer, "
        f"Spearman's rho is {found['rho']:+.2f} ({p_value(found['p'])} if layers were independent): "
        f"{verdict}."
    )


def _what_it_bought(training: TrainingOutputs) -> Iterator[str]:
    summary = training.summary
    yield (
        f"UAR on {summary['test_speakers']} test speakers that neither ranking nor training has seen (mean "
        f"of {_seeds(summary)} seeds, in brackets 95 % over speakers; guessing gives "
        f"{100 * summary['chance']['uar']:.0f} %): {'; '.join(map(_method, summary['methods']))}."
    )
    methods = {method["folder"]: method for method in summary["methods"]}
    anchored = [method for method in summary["methods"] if method["name"] == "la"]
    baselines = [name for name in _BASELINES if name in methods]
    for method in anchored:
        for name in baselines:
            gain = _gain(training, method, methods[name])
            yield f"{method['folder']} against {name} ({_BASELINES[name]}): {describe_gain(gain)}."
    if "cc-std" in methods and "cc" in methods:
        gain = _gain(training, methods["cc-std"], methods["cc"])
        yield f"Standardising alone, cc-std against cc: {describe_gain(gain)}."
    if any(method["uar_interval"] for method in summary["methods"]):
        yield "The intervals are over test speakers; how results vary over seeds is not in them."


def _gain(training: TrainingOutputs, first: dict[str, Any], second: dict[str, Any]) -> Gain:
    one, other = (
        read_runs([training.folder / method["folder"] / f"seed-{seed}" for seed in method["seeds"]])
        for method in (first, second)
    )
    return uar_gain(one, other, training.summary["emotions"])


def describe_gain(gain: Gain) -> str:
    """Say a difference in points, and whether it is one.

    >>> from layersim.metrics import Interval
    >>> describe_gain(Gain(0.0512, Interval(-0.01, 0.1), 12))
    '+5.1 points (-1.0 to +10.0), not told from zero with these speakers'
    >>> describe_gain(Gain(0.0512, Interval(0.01, 0.1), 12))
    '+5.1 points (+1.0 to +10.0), a gain'
    >>> describe_gain(Gain(0.0512, Interval(0.01, 0.1), 4))
    '+5.1 points (+1.0 to +10.0), a gain if 4 speakers could show one: the interval is too narrow'
    """
    points = f"{100 * gain.value:+.1f} points"
    if gain.interval is None:
        return f"{points}, without an interval, since the test speakers are too few"
    ends = f"({100 * gain.interval.low:+.1f} to {100 * gain.interval.high:+.1f})"
    if not gain.is_apart_from_zero:
        return f"{points} {ends}, not told from zero with these speakers"
    verdict = f"{points} {ends}, a {'gain' if gain.value > 0 else 'loss'}"
    if gain.speakers < FEW_SPEAKERS:
        return f"{verdict} if {gain.speakers} speakers could show one: the interval is too narrow"
    return verdict


def _method(method: dict[str, Any]) -> str:
    interval = method["uar_interval"]
    ends = f" ({100 * interval['low']:.1f} to {100 * interval['high']:.1f})" if interval else ""
    layers = method["layers"]
    return (
        f"{method['folder']}, layer{'s' * (len(layers) != 1)} {_listed(layers)}, "
        f"{100 * method['uar']['mean']:.1f} %{ends}"
    )


def _seeds(summary: dict[str, Any]) -> str:
    counts = sorted({len(method["seeds"]) for method in summary["methods"]})
    return " or ".join(map(str, counts))


def _value(layer: dict[str, Any]) -> float:
    return float(layer["score"])


def _score(layer: dict[str, Any]) -> str:
    score = f"{layer['score']:.{_DECIMALS}f}"
    if layer["low"] is None:
        return score
    return f"{score}, 95 % over speakers {layer['low']:.{_DECIMALS}f} to {layer['high']:.{_DECIMALS}f}"


def _listed(layers: list[str]) -> str:
    return ", ".join(layers)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

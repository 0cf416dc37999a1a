"""The report: one HTML page that opens from disk, with every figure, result and setting in it.

Figures are embedded as images (``data:`` addresses), the style is in the page, nothing is fetched.
"""

from __future__ import annotations

import base64
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from layersim import __version__
from layersim.errors import StageMissingError
from layersim.provenance import library_versions
from layersim.report.outputs import (
    CorpusOutputs,
    PairOutputs,
    RankingOutputs,
    TrainingOutputs,
    corpus_outputs,
    other_encoders,
    pair_outputs,
)
from layersim.workspace import Workspace, encoder_slug, read_json, write_text

NOTHING = "–"


def write_report(workspace: Workspace) -> Path:
    """Write ``report/index.html`` of a workspace and the figures that only the report has; return the page.

    Raises
    ------
    StageMissingError
        If nothing was ranked or trained yet.
    """
    pairs = pair_outputs(workspace)
    if not pairs:
        raise StageMissingError(
            f"{workspace.root}: nothing to report with encoder {encoder_slug(workspace.encoder)}. "
            "Run first: layersim extract, layersim rank, layersim train."
        )
    corpora = corpus_outputs(workspace)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    here = resources.files("layersim.report")
    template = environment.from_string(here.joinpath("page.html").read_text(encoding="utf-8"))
    style = Markup(here.joinpath("page.css").read_text(encoding="utf-8"))
    page = template.render(
        title=workspace.root.name,
        style=style,
        encoder=encoder_slug(workspace.encoder).replace("--", "/"),
        version=__version__,
        warnings=_warnings(workspace, corpora, pairs),
        emotions=sorted({emotion for corpus in corpora for emotion in corpus.manifest["emotion"]}),
        corpora=[_corpus_section(corpus) for corpus in corpora],
        pairs=[_pair_section(pair, workspace.report_folder) for pair in pairs],
        stages=_stages(corpora, pairs),
        versions=list(library_versions().items()),
    )
    file = workspace.report_folder / "index.html"
    write_text(file, page)
    return file


def _warnings(workspace: Workspace, corpora: list[CorpusOutputs], pairs: list[PairOutputs]) -> list[str]:
    """Collect what bears on the whole page."""
    found = []
    if "random" in encoder_slug(workspace.encoder):
        found.append(
            "The encoder has random weights: this page shows what layersim does and nothing about speech."
        )
    for corpus in corpora:
        results = corpus.extraction["results"] if corpus.extraction else {}
        if results.get("limit"):
            found.append(
                f"{corpus.name}: a quick try on {results['utterances']} of {results['of']} utterances."
            )
    unresolved = [
        f"{pair.source} → {pair.target} ({ranking.ranking['level']})"
        for pair in pairs
        for ranking in pair.rankings
        if not ranking.ranking["resolved"]
    ]
    if unresolved:
        found.append(f"The Group's cut is not resolved for {', '.join(unresolved)}.")
    found += [
        f"{pair.source} → {pair.target}: the models stand on another ranking than is shown: train again."
        for pair in pairs
        if pair.training is not None and pair.training.is_of_other_ranking()
    ]
    if others := other_encoders(workspace):
        found.append(f"Results of other encoders stand in this workspace and not here: {', '.join(others)}.")
    return found


def _corpus_section(corpus: CorpusOutputs) -> dict[str, Any]:
    table = corpus.manifest
    splits = []
    for split in ("train", "validation", "test", ""):
        part = table[table["split"] == split]
        if len(part):
            counts = part["emotion"].value_counts()
            splits.append({
                "split": split or "(none)",
                "speakers": int(part["speaker"].nunique()),
                "counts": {str(emotion): int(count) for emotion, count in counts.items()},
            })  # fmt: skip
    results = corpus.extraction["results"] if corpus.extraction else {}
    shown = []
    if results:
        shown.append(
            ("utterances", f"{results['utterances']:,} of {results['of']:,}, {results['hours']:.2f} h")
        )
        shown.append(
            ("layers", f"{results['layers'][0]} to {results['layers'][-1]}, width {results['width']}")
        )
        if results["phones"]:
            phones = results["phones"]
            shown.append((
                "phones",
                f"{phones['phones']:,} aligned ({phones['vowels']:,} vowels), {phones['pooled']:,} pooled, "
                f"phone set {results['phone_set']}",
            ))  # fmt: skip
    return {
        "name": corpus.name,
        "language": ", ".join(sorted(set(table["language"]))),
        "utterances": len(table),
        "speakers": int(table["speaker"].nunique()),
        "splits": splits,
        "extraction": shown,
        "notes": corpus.extraction["notes"] if corpus.extraction else [],
    }


def _pair_section(pair: PairOutputs, folder: Path) -> dict[str, Any]:
    section: dict[str, Any] = {
        "source": pair.source,
        "target": pair.target,
        "anchor": f"{pair.source}-to-{pair.target}",
        "rankings": [_ranking_section(ranking, folder) for ranking in pair.rankings],
        "methods": [],
    }
    if pair.training is not None:
        summary = pair.training.summary
        section |= {
            "emotions": summary["emotions"],
            "methods": [_method_row(pair.training, method) for method in summary["methods"]],
            "bars": _bars(pair.training, folder),
            "training_notes": _training_notes(summary),
        }
    return section


def _ranking_section(outputs: RankingOutputs, folder: Path) -> dict[str, Any]:
    ranking = outputs.ranking
    vowel_figures = sorted(outputs.folder.glob("heatmap-vowels-*.svg"))
    columns = [
        "layer", "score", "95 % interval", "null 95 %", "p", "other emotions", *ranking["emotions"],
        "in Group %", "probe UAR %",
    ]  # fmt: skip
    return {
        **{key: ranking[key] for key in ("level", "group", "worst", "definition", "resolved", "notes")},
        "best": [ranking["best"]],
        "columns": columns,
        "rows": [_layer_row(layer, ranking) for layer in ranking["layers"]],
        "probe": _probe_sentence(ranking["probe"]),
        "figures": [
            _image(outputs.folder / "heatmap.svg", "Similarity per layer and emotion; the sets are marked."),
            _layer_curve(ranking, folder),
        ],
        "vowel_figures": [
            _image(file, f"{file.stem.removeprefix('heatmap-vowels-')}: similarity per layer and vowel.")
            for file in vowel_figures
        ],
    }


def _layer_row(layer: dict[str, Any], ranking: dict[str, Any]) -> dict[str, Any]:
    name = layer["layer"]
    kind = "best" if name == ranking["best"] else "group" if name in ranking["group"] else ""
    kind = "worst" if name in ranking["worst"] else kind
    cells = [
        name,
        _number(layer["score"]),
        _span(layer["low"], layer["high"]),
        _span(layer["null_low"], layer["null_high"]),
        _number(layer["p"]),
        _number(layer["different"]),
        *(_number(layer["emotions"][emotion]["similarity"]) for emotion in ranking["emotions"]),
        _per_cent(layer["in_group"]),
        _per_cent(layer["probe_uar"]),
    ]
    return {"kind": kind, "cells": cells}


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


def _layer_curve(ranking: dict[str, Any], folder: Path) -> dict[str, str]:
    from layersim.figures.curves import layer_curve
    from layersim.figures.save import save

    layers = ranking["layers"]
    columns = {
        key: np.array([np.nan if layer[key] is None else layer[key] for layer in layers])
        for key in ("score", "low", "high", "null_low", "null_high", "different", "probe_uar")
    }
    others = {"other emotions": columns["different"]}
    figure = layer_curve(
        [layer["layer"] for layer in layers],
        columns["score"], columns["low"], columns["high"], columns["null_low"], columns["null_high"],
        {"Group": ranking["group"], "Best": [ranking["best"]], "Worst": ranking["worst"]},
        title=f"{ranking['source']} and {ranking['target']}: similarity by layer, {ranking['level']} level",
        value_label=f"{ranking['metric']} cosine, {ranking['features']}",
        score_label="same emotion",
        others={name: values for name, values in others.items() if np.isfinite(values).any()},
    )  # fmt: skip
    name = f"layers-{ranking['source']}-to-{ranking['target']}-{ranking['level']}"
    _, svg = save(figure, folder / name)
    return _image(svg, "Score by layer with its interval over speakers, the null, and other emotions.")


def _method_row(training: TrainingOutputs, method: dict[str, Any]) -> dict[str, Any]:
    run = training.first_run(method)
    metrics = read_json(run / "metrics.json")
    names = {"curves.png": "Training curves.", "confusion.png": "Confusion on the target's test speakers."}
    deviation = method["uar"]["sd"]
    return {
        "name": method["folder"],
        "layers": ", ".join(method["layers"]),
        "uar": _per_cent(method["uar"]["mean"]),
        "sd": NOTHING if deviation is None else _per_cent(deviation),
        "wa": _per_cent(method["wa"]["mean"]),
        "f1": _per_cent(method["macro_f1"]["mean"]),
        "recalls": [
            _per_cent(method["recalls"][emotion]["mean"]) for emotion in training.summary["emotions"]
        ],
        "runs": len(method["seeds"]),
        "figures": [
            _image(run / name, f"{method['folder']}, seed {metrics['seed']}: {caption}")
            for name, caption in names.items()
            if (run / name).is_file()
        ],
    }


def _bars(training: TrainingOutputs, folder: Path) -> dict[str, str]:
    from layersim.figures.bars import bars_with_intervals
    from layersim.figures.save import save

    summary = training.summary
    methods = summary["methods"]
    intervals = [method["uar_interval"] or {"low": np.nan, "high": np.nan} for method in methods]
    figure = bars_with_intervals(
        [[method["uar"]["mean"] for method in methods]],
        [[interval["low"] for interval in intervals]],
        [[interval["high"] for interval in intervals]],
        [f"{summary['source']} → {summary['target']}"],
        [method["folder"] for method in methods],
        title="UAR on the target's test speakers",
        chance=summary["chance"]["uar"],
    )
    _, svg = save(figure, folder / f"methods-{summary['source']}-to-{summary['target']}")
    return _image(svg, "Mean UAR over seeds; lines are 95 % intervals over the target's test speakers.")


def _training_notes(summary: dict[str, Any]) -> list[str]:
    counts = summary["counts"]
    notes = [
        f"Trained on {sum(counts['source_train'].values())} labelled source and {counts['target_train']} "
        f"unlabelled target utterances, stopped on {sum(counts['source_validation'].values())} source "
        f"validation utterances, tested on {sum(counts['target_test'].values())} target utterances of "
        f"{summary['test_speakers']} unseen speakers."
    ]
    if summary["anchors"]:
        anchors = summary["anchors"]
        notes.append(f"Anchors {anchors['asked']}: layers {', '.join(anchors['layers'])}.")
    return [*notes, *summary["notes"]]


def _stages(corpora: list[CorpusOutputs], pairs: list[PairOutputs]) -> list[dict[str, Any]]:
    """List every run.json that stands behind the page."""
    runs = [(f"extract: {corpus.name}", corpus.extraction) for corpus in corpora if corpus.extraction]
    for pair in pairs:
        name = f"{pair.source} → {pair.target}"
        runs += [(f"rank: {name}, {ranking.ranking['level']}", ranking.run) for ranking in pair.rankings]
        for method in pair.training.summary["methods"] if pair.training else []:
            folder = pair.training.first_run(method) if pair.training else Path()
            runs.append((f"train: {name}, {method['folder']}, first seed", read_json(folder / "run.json")))
    return [
        {
            "title": title,
            "when": run["when"],
            "settings": run["settings"],
            "inputs": [(name, str(value)[:16]) for name, value in run["inputs"].items()],
        }
        for title, run in runs
    ]


def _image(file: Path, caption: str) -> dict[str, str]:
    kind = "image/svg+xml" if file.suffix == ".svg" else "image/png"
    data = base64.b64encode(file.read_bytes()).decode("ascii")
    return {"data": f"data:{kind};base64,{data}", "alt": caption, "caption": caption}


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _per_cent(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.1f}"


def _span(low: float | None, high: float | None) -> str:
    return NOTHING if low is None or high is None else f"{low:.3f} to {high:.3f}"

"""The report: one HTML page that opens from disk, with every figure, result and setting in it.

Figures are embedded as images (``data:`` addresses), the style is in the page, nothing is fetched. A file
``about.txt`` in the workspace, paragraphs of plain text, is shown at the top.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from layersim import __version__
from layersim.encoders.checkpoint import EMBEDDED
from layersim.errors import LayersimError, StageMissingError
from layersim.provenance import library_versions
from layersim.report.alignments import alignment_section
from layersim.report.comparisons import comparison_sections
from layersim.report.outputs import (
    CorpusOutputs,
    PairOutputs,
    TrainingOutputs,
    corpus_outputs,
    other_encoders,
    pair_outputs,
)
from layersim.report.rankings import comparison, ranking_section
from layersim.report.show import NOTHING, image, per_cent
from layersim.report.story import tell
from layersim.workspace import Workspace, encoder_slug, read_json, write_text

ABOUT = "about.txt"


def write_report(workspace: Workspace) -> Path:
    """Write ``report/index.html`` of a workspace and the figures that only the report has; return the page.

    Raises
    ------
    StageMissingError
        If nothing was ranked, trained or compared yet.
    LayersimError
        If what a stage has written is gone or cannot be read.
    """
    pairs, comparisons = pair_outputs(workspace), comparison_sections(workspace)
    if not pairs and not comparisons:
        raise StageMissingError(
            f"{workspace.root}: nothing to report with encoder {encoder_slug(workspace.encoder)}. "
            "Run first: layersim extract, layersim rank, layersim train; or layersim compare."
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
        about=_about(workspace),
        warnings=_warnings(workspace, corpora, pairs),
        emotions=sorted({emotion for corpus in corpora for emotion in corpus.manifest["emotion"]}),
        corpora=[_corpus_section(corpus) for corpus in corpora],
        pairs=[_pair_section(pair, workspace.report_folder) for pair in pairs],
        comparisons=comparisons,
        stages=_stages(corpora, pairs, comparisons),
        versions=list(library_versions().items()),
    )
    file = workspace.report_folder / "index.html"
    write_text(file, page)
    return file


def _about(workspace: Workspace) -> list[str]:
    """Read what the study's owner says of it, in paragraphs."""
    file = workspace.root / ABOUT
    if not file.is_file():
        return []
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LayersimError(f"{file}: cannot be read as UTF-8 text: {error}.") from None
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip()]


def _warnings(workspace: Workspace, corpora: list[CorpusOutputs], pairs: list[PairOutputs]) -> list[str]:
    """Collect what bears on the whole page."""
    found = []
    if encoder_slug(workspace.encoder) == EMBEDDED:
        found.append(
            f"{EMBEDDED} is a small demonstration encoder, pretrained on synthetic speech. "
            "For research name another in layersim.toml, such as microsoft/wavlm-base-plus, and extract, "
            "rank and train again."
        )
    for corpus in corpora:
        results = corpus.extraction["results"] if corpus.extraction else {}
        if results.get("limit"):
            found.append(
                f"{corpus.name}: a quick try on {results['utterances']} of {results['of']} utterances."
            )
    unresolved = [
        f"{pair.source} → {pair.target} ({ranking.name})"
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
        "alignment": alignment_section(corpus.alignment) if corpus.alignment else None,
        "extraction": shown,
        "notes": corpus.extraction["notes"] if corpus.extraction else [],
    }


def _pair_section(pair: PairOutputs, folder: Path) -> dict[str, Any]:
    section: dict[str, Any] = {
        "source": pair.source,
        "target": pair.target,
        "anchor": f"{pair.source}-to-{pair.target}",
        "story": tell(pair),
        "rankings": [ranking_section(ranking, folder) for ranking in pair.rankings],
        "comparison": comparison(pair.rankings),
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


def _method_row(training: TrainingOutputs, method: dict[str, Any]) -> dict[str, Any]:
    run = training.first_run(method)
    metrics = read_json(run / "metrics.json")
    names = {"curves.png": "Training curves.", "confusion.png": "Confusion on the target's test speakers."}
    deviation = method["uar"]["sd"]
    return {
        "name": method["folder"],
        "layers": ", ".join(method["layers"]),
        "uar": per_cent(method["uar"]["mean"]),
        "sd": NOTHING if deviation is None else per_cent(deviation),
        "wa": per_cent(method["wa"]["mean"]),
        "f1": per_cent(method["macro_f1"]["mean"]),
        "recalls": [per_cent(method["recalls"][emotion]["mean"]) for emotion in training.summary["emotions"]],
        "runs": len(method["seeds"]),
        "figures": [
            image(run / name, f"{method['folder']}, seed {metrics['seed']}: {caption}")
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
    return image(svg, "Mean UAR over seeds; lines are 95 % intervals over the target's test speakers.")


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


def _stages(
    corpora: list[CorpusOutputs], pairs: list[PairOutputs], comparisons: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """List every run.json that stands behind the page."""
    runs = [(f"align: {corpus.name}", corpus.alignment) for corpus in corpora if corpus.alignment]
    runs += [(f"extract: {corpus.name}", corpus.extraction) for corpus in corpora if corpus.extraction]
    for pair in pairs:
        name = f"{pair.source} → {pair.target}"
        runs += [(f"rank: {name}, {ranking.name}", ranking.run) for ranking in pair.rankings]
        for method in pair.training.summary["methods"] if pair.training else []:
            folder = pair.training.first_run(method) if pair.training else Path()
            runs.append((f"train: {name}, {method['folder']}, first seed", read_json(folder / "run.json")))
    runs += [(f"compare: {comparison['protocol']}", comparison["run"]) for comparison in comparisons]
    return [
        {
            "title": title,
            "when": run["when"],
            "settings": run["settings"],
            "inputs": [(name, str(value)[:16]) for name, value in run["inputs"].items()],
        }
        for title, run in runs
    ]

"""What a training gives back: every method's scores over its seeds, as a table and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from layersim.adaptation.anchors import Anchors
from layersim.adaptation.method import Method


@dataclass(frozen=True)
class MethodResult:
    """One method's runs, one per seed.

    Attributes
    ----------
    runs : tuple of dict
        The ``metrics.json`` of each seed.
    uar_interval : dict or None
        ``low`` and ``high`` of the mean UAR over speakers (95 %).
    """

    method: Method
    runs: tuple[dict[str, Any], ...]
    uar_interval: dict[str, float] | None

    def to_json(self) -> dict[str, Any]:
        """Return means and standard deviations over seeds (sd None with one seed); shares are 0..1."""
        tests = [run["target_test"] for run in self.runs]
        return {
            "name": self.method.name,
            "folder": self.method.folder,
            "layers": list(self.method.layers),
            "standardise": self.method.standardise,
            "coral": self.method.coral,
            "self_trained": self.method.self_training is not None,
            "supervised": self.method.definition.supervised,
            "anchors": self.method.anchors.to_json() if self.method.anchors else None,
            "seeds": [run["seed"] for run in self.runs],
            **{name: spread([test[name] for test in tests]) for name in ("uar", "wa", "macro_f1")},
            "uar_interval": self.uar_interval,
            "recalls": {
                emotion: spread([test["recalls"][emotion] for test in tests])
                for emotion in tests[0]["recalls"]
            },
            "source_validation_uar": spread([run["source_validation"]["uar"] for run in self.runs]),
        }


@dataclass(frozen=True)
class TrainResult:
    """All methods of one training, on one pair of corpora."""

    source: str
    target: str
    encoder: str
    classes: tuple[str, ...]
    anchors: Anchors | None
    methods: tuple[MethodResult, ...]
    counts: dict[str, Any]  # source_train, source_validation, target_test: per class; target_train: a number
    notes: tuple[str, ...]
    folder: Path

    def to_json(self) -> dict[str, Any]:
        """Return it as one JSON document; ``summary.json`` holds the same."""
        test = self.methods[0].runs[0]["target_test"]
        return {
            "source": self.source,
            "target": self.target,
            "encoder": self.encoder,
            "emotions": list(self.classes),
            "anchors": self.anchors.to_json() if self.anchors else None,
            "counts": self.counts,
            "test_speakers": test["speakers"],
            "chance": test["chance"],
            "methods": [result.to_json() for result in self.methods],
            "notes": list(self.notes),
        }

    def to_frame(self) -> pd.DataFrame:
        """Return one row per method and seed; ``summary.csv`` holds the same."""
        rows = []
        for result in self.methods:
            for run in result.runs:
                test = run["target_test"]
                interval = test["uar_interval"] or {"low": None, "high": None}
                rows.append(
                    {
                        "method": result.method.folder,
                        "layers": " ".join(result.method.layers),
                        "seed": run["seed"],
                        "uar": test["uar"],
                        "uar_low": interval["low"],
                        "uar_high": interval["high"],
                        "wa": test["wa"],
                        "macro_f1": test["macro_f1"],
                        **{f"recall_{emotion}": recall for emotion, recall in test["recalls"].items()},
                        "source_validation_uar": run["source_validation"]["uar"],
                        "domain_accuracy": run["domain"] and run["domain"]["domain_accuracy"],
                        "best_epoch": run["best_epoch"],
                        "epochs": run["epochs"],
                    }
                )
        return pd.DataFrame(rows)

    def to_table(self) -> str:
        """Return the methods side by side, per cent, with what the layers are and where they come from."""
        document = self.to_json()
        seeds = len(self.methods[0].runs)
        test = self.methods[0].runs[0]["target_test"]
        lines = [
            f"{self.source} -> {self.target}, {self.encoder}: {', '.join(self.classes)}; chance UAR "
            f"{100 * test['chance']['uar']:.1f} %",
            f"test: {test['utterances']} utterances of {_count(test['speakers'], 'speaker')} unseen in "
            f"training; mean ± sd over {_count(seeds, 'seed')}",
            "",
        ]
        header = ["method", "layers", "UAR %", "95 % over speakers", "WA %", "macro-F1 %"]
        header += [f"recall {emotion}" for emotion in self.classes] + ["source UAR %"]
        rows = [header]
        for method in document["methods"]:
            rows.append(
                [
                    method["folder"],
                    ",".join(method["layers"]) or "-",
                    _per_cent(method["uar"]),
                    _ends(method["uar_interval"]),
                    _per_cent(method["wa"]),
                    _per_cent(method["macro_f1"]),
                    *(f"{100 * method['recalls'][emotion]['mean']:.1f}" for emotion in self.classes),
                    f"{100 * method['source_validation_uar']['mean']:.1f}",
                ]
            )
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        for row in rows:
            cells = [cell.ljust(width) if column < 2 else cell.rjust(width)
                     for column, (cell, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
            lines.append("  ".join(cells).rstrip())
        lines.append("")
        chosen = [result.method.anchors for result in self.methods if result.method.anchors]
        for anchors in {one.asked: one for one in chosen}.values():
            lines.append(f"anchors {anchors.asked}: {', '.join(anchors.layers)} = {anchors.said}")
            if anchors.ranking is not None:
                lines.append(f"  from {anchors.ranking['file']}")
        lines += [f"note: {note}" for note in self.notes]
        lines.append(f"models: {self.folder}")
        return "\n".join(lines)


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return mean, sample standard deviation (None for one value) and the values.

    >>> spread([0.25, 0.75])["mean"], spread([0.25])["sd"]
    (0.5, None)
    """
    return {
        "mean": statistics.fmean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "values": list(values),
    }


def _per_cent(found: dict[str, Any]) -> str:
    mean = f"{100 * found['mean']:.1f}"
    return mean if found["sd"] is None else f"{mean} ± {100 * found['sd']:.1f}"


def _ends(interval: dict[str, float] | None) -> str:
    return "-" if interval is None else f"{100 * interval['low']:.1f} to {100 * interval['high']:.1f}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"

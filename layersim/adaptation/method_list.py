"""All methods as a list, for people and programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from layersim.adaptation.methods import FINETUNED_WORDS, METHODS, SUFFIX, Definition
from layersim.adaptation.settings import MethodConfig
from layersim.settings import resolve_settings


@dataclass(frozen=True)
class MethodList:
    """All methods, for people and programs."""

    def to_json(self) -> dict[str, Any]:
        """Return every method with its settings: default, meaning, and the paper that states it."""
        return {name: self._describe(definition) for name, definition in METHODS.items()}

    def _describe(self, definition: Definition) -> dict[str, Any]:
        own = issubclass(definition.config, MethodConfig)
        return {
            "says": definition.says,
            "reads": definition.inputs if definition.layers == "none" else f"layers: {definition.layers}",
            "standardise": definition.standardise or "standardise",
            "table": definition.config.section,
            "fixed": dict(definition.fixed),
            "presets": sorted(definition.presets),
            "settings": resolve_settings(definition.config).as_rows() if own else [],
        }

    def to_table(self) -> str:
        """Return a line per method, then how words are put together."""
        rows = [["method", "what", "reads", "statistics of", "own settings", "presets"]]
        for name, one in self.to_json().items():
            table = one["table"] if one["settings"] else "train"
            rows.append(
                [
                    name,
                    one["says"],
                    one["reads"],
                    one["standardise"],
                    f"[{table}]",
                    ", ".join(one["presets"]) or "-",
                ]
            )
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join(
            [
                *lines,
                "",
                "la takes its anchors after a colon: la:auto, la:best, la:8,9,11; probe a layer: probe:3.",
                f"{SUFFIX} after any of them adds pseudo-labels of the target: la:auto{SUFFIX}.",
                "Methods that share a table can be told apart in it: [train.dann-resnet50], or --set "
                "dann-resnet50.epochs=8.",
                "la and wccn train the encoder itself: layersim train --finetune full, la also with "
                f"--finetune lora; in compare: {', '.join(FINETUNED_WORDS)}. Their settings are in "
                "[train.finetune] too.",
            ]
        )


def describe_methods() -> MethodList:
    """List all methods."""
    return MethodList()

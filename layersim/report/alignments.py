"""What the page says of a corpus's alignments: how they were made, and if some emotion came off worse."""

from __future__ import annotations

from typing import Any

from layersim.report.show import number, per_cent


def alignment_section(run: dict[str, Any]) -> dict[str, Any]:
    """Collect facts, one row per emotion, and what to know, from the ``run.json`` of ``layersim align``."""
    results = run["results"]
    sources = ", ".join(f"{source} ({language})" for language, source in results["pronunciations"].items())
    flags = ", ".join(f"{name} {count:,}" for name, count in results["flags"].items() if count)
    return {
        "facts": [
            ("aligner", f"{results['aligner']} ({results['aligner_version']})"),
            ("phone set", results["phone_set"]),
            ("pronunciations", sources),
            (
                "utterances",
                f"{results['aligned']:,} of {results['utterances']:,} aligned; {results['flagged']:,} flagged"
                f"{f' ({flags})' if flags else ''}",
            ),
            ("words", f"{results['words']:,}; without a pronunciation {results['words_unknown']:,}"),
        ],
        "columns": ["emotion", "utterances", "failed %", "flagged %", "log-likelihood a frame", "speech %"],
        "rows": [
            [
                emotion["emotion"],
                f"{emotion['utterances']:,}",
                per_cent(emotion["share_failed"]),
                per_cent(emotion["share_flagged"]),
                number(emotion["log_likelihood_median"]),
                per_cent(emotion["speech_share_mean"]),
            ]
            for emotion in results["by_emotion"]
        ],
        "notes": run["notes"],
    }

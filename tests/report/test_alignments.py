from __future__ import annotations

import pytest

from layersim.alignment.outcome import EmotionSummary
from layersim.alignment.result import AlignResult
from layersim.report.alignments import alignment_section


@pytest.fixture
def result() -> AlignResult:
    anger = EmotionSummary(
        emotion="anger", utterances=8, aligned=6, failed=2, flagged=1, share_failed=0.25, share_flagged=0.125,
        log_likelihood_median=-45.25, speech_share_mean=0.9,
    )  # fmt: skip
    silent = EmotionSummary(
        emotion="boredom", utterances=1, aligned=0, failed=1, flagged=0, share_failed=1.0, share_flagged=0.0,
        log_likelihood_median=None, speech_share_mean=None,
    )  # fmt: skip
    return AlignResult(
        corpus="a", folder="align/a", aligner="builtin", aligner_version="kaldi 1", phone_set="mfa-ipa",
        pronunciations={"zh": "pypinyin"}, utterances=9, aligned=6, failed=3, flagged=1, machine_texts=0,
        hours=0.1, phones=1200, words=1100, words_unknown=4, unknown={"qq": 4}, log_likelihood_median=-45.25,
        flags={"durations": 1, "score": 0}, failures={"no text": 3}, by_emotion=[anger, silent],
        elapsed_seconds=3.0, notes=["anger aligns worse"],
    )  # fmt: skip


def test_every_emotion_has_a_row_and_what_is_not_known_a_dash(result):
    section = alignment_section({"results": result.to_json(), "notes": result.notes})
    assert section["rows"] == [
        ["anger", "8", "25.0", "12.5", "-45.250", "90.0"],
        ["boredom", "1", "100.0", "0.0", "–", "–"],
    ]
    assert len(section["columns"]) == 6
    assert section["notes"] == ["anger aligns worse"]


def test_facts_say_who_aligned_what_and_how(result):
    facts = dict(alignment_section({"results": result.to_json(), "notes": []})["facts"])
    assert facts["aligner"] == "builtin (kaldi 1)"
    assert facts["pronunciations"] == "pypinyin (zh)"
    assert facts["utterances"] == "6 of 9 aligned; 1 flagged (durations 1)"
    assert facts["words"] == "1,100; without a pronunciation 4"

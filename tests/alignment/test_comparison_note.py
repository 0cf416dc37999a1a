from __future__ import annotations

from pathlib import Path

import pytest

from layersim.alignment.comparison_note import comparison_note


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    hand = tmp_path / "hand.csv"
    hand.write_text(
        "utterance_id,start,end,phone\n"
        "u0,0.0,0.1,t\nu0,0.1,0.2,a:\nu0,0.3,0.4,I\nu1,0.1,0.2,a\nu2,0.1,0.2,a\n",
        encoding="utf-8",
    )
    made = tmp_path / "phones.csv"
    made.write_text(
        "utterance_id,start,end,phone\nu0,0.0,0.11,t\nu0,0.11,0.23,AA1\nu1,0.5,0.6,AA1\n", encoding="utf-8"
    )
    return made, hand


def test_vowels_are_compared_across_phone_sets_in_the_utterances_that_both_have(tables):
    made, hand = tables
    # u0: errors 10 and 30 ms, one vowel missed; u1: nothing overlaps; u2 is not aligned
    assert comparison_note(made, "arpabet", hand, "sampa-de", ["u0", "u1", "u2"]) == (
        "against hand.csv, 3 vowels in 2 utterances: 50.0% of boundaries within 20 ms, 100.0% within 50 ms, "
        "66.7% of the vowels missed"
    )


def test_alignments_that_share_no_vowel_are_said_to_be_of_other_recordings(tables):
    made, hand = tables
    assert "of other recordings?" in comparison_note(made, "arpabet", hand, "sampa-de", ["u1"])

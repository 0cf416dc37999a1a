from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from layersim.alignment.aligned import Word
from layersim.alignment.builtin.acoustic_model import SILENCE, STATES, UNNAMED
from layersim.alignment.builtin.even_start import VOWEL_SHARE, even_spans
from layersim.alignment.phone_set import load_phone_set

IPA = load_phone_set("mfa-ipa")
BA = Word("ba", (("b", "a"),))


def loudness(*parts: tuple[float, int]) -> np.ndarray:
    return np.concatenate([np.full(length, level) for level, length in parts]).astype(np.float32)


def shown(spans) -> list[tuple[str, int, int]]:
    return [(span.label, span.first, span.stop) for span in spans]


def test_no_phone_swallows_the_silence_before_and_behind_the_speech():
    spans = even_spans([BA], loudness((1, 100), (12, 52), (1, 60)), IPA)
    assert shown(spans) == [(SILENCE, 0, 100), ("b", 100, 120), ("a", 120, 152), (SILENCE, 152, 212)]


def test_a_quiet_stretch_amid_the_speech_is_shared_out_like_the_rest():
    spans = even_spans([BA], loudness((12, 20), (1, 12), (12, 20)), IPA)
    assert shown(spans) == [("b", 0, 20), ("a", 20, 52)]


def test_a_vowel_gets_its_share_more_than_a_consonant():
    word = Word("stana", (("s", "t", "a", "n", "a"),))
    lengths = [span.stop - span.first for span in even_spans([word], loudness((5, 620)), IPA)]
    assert lengths == [100, 100, 160, 100, 160]
    assert VOWEL_SHARE == 1.6


def test_the_first_pronunciation_counts_and_a_word_that_nobody_knows_is_one_phone():
    words = [Word("ta", (("t", "a"), ("t",))), Word("?", ())]
    assert [span.label for span in even_spans(words, loudness((5, 90)), IPA)] == ["t", "a", UNNAMED]


def test_speech_too_short_for_its_phones_takes_the_whole_utterance():
    spans = even_spans([BA], loudness((1, 20), (12, 2 * STATES - 1), (1, 23)), IPA)
    assert shown(spans) == [("b", 0, 20), ("a", 20, 52)]


def test_an_utterance_too_short_for_its_phones_gives_nothing():
    assert even_spans([BA], loudness((5, 2 * STATES - 1)), IPA) == []
    assert len(even_spans([BA], loudness((5, 2 * STATES)), IPA)) == 2
    assert even_spans([], loudness((5, 100)), IPA) == []


@given(
    st.lists(st.sampled_from("tasinu"), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 60)), min_size=1, max_size=6),
)
def test_spans_cover_all_frames_and_each_phone_has_its_turn(labels, parts):
    energy = loudness(*parts)
    spans = even_spans([Word("word", (tuple(labels),))], energy, IPA)
    if len(energy) < STATES * len(labels):
        assert spans == []
        return
    assert [n for span in spans for n in range(span.first, span.stop)] == list(range(len(energy)))
    assert [span.label for span in spans if span.label != SILENCE] == labels

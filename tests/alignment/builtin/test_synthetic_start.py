from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layersim.alignment.aligned import Word
from layersim.alignment.builtin.acoustic_model import SILENCE
from layersim.alignment.builtin.cepstra import SHIFT
from layersim.alignment.builtin.synthetic_start import (
    choose_transcripts,
    match_phones,
    sound_cost,
    spans_of,
    synthetic_utterances,
)
from layersim.alignment.phone_set import load_phone_set
from layersim.alignment.pronunciation.espeak import Phone
from layersim.alignment.pronunciation.pronounce import pronounce

IPA = load_phone_set("espeak-ipa")
COST = sound_cost(IPA, IPA)


def spoken(labels: str, begin: float = 0.0) -> list[Phone]:
    """Phones of 0.1 s each, one after the other."""
    return [
        Phone(begin + 0.1 * place, begin + 0.1 * (place + 1), label)
        for place, label in enumerate(labels.split())
    ]


def matched(ours: str, theirs: list[Phone], cost=COST) -> list[tuple[str, float, float]]:
    return [(p.label, round(p.start, 3), round(p.end, 3)) for p in match_phones(ours.split(), theirs, cost)]


@st.composite
def phones(draw: st.DrawFn) -> list[Phone]:
    """Phones in order, some with pauses between them, from 1 ms to 0.2 s long."""
    found: list[Phone] = []
    here = 0
    for label in draw(st.lists(st.sampled_from("taisnou"), max_size=12)):
        start = here + draw(st.sampled_from([0, 0, 3, 80]))
        here = start + draw(st.integers(1, 200))
        found.append(Phone(start / 1000, here / 1000, label))
    return found


def test_the_same_phones_have_the_same_times_and_pauses_stay():
    theirs = [*spoken("t a"), *spoken("s i", begin=0.5)]
    assert matched("t a s i", theirs) == [
        ("t", 0.0, 0.1), ("a", 0.1, 0.2), ("s", 0.5, 0.6), ("i", 0.6, 0.7),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ("s t a", "t a", [("s", 0.0, 0.05), ("t", 0.05, 0.1), ("a", 0.1, 0.2)]),
        ("t a n s", "t a s", [("t", 0.0, 0.1), ("a", 0.1, 0.15), ("n", 0.15, 0.2), ("s", 0.2, 0.3)]),
        ("t a s", "t a", [("t", 0.0, 0.1), ("a", 0.1, 0.15), ("s", 0.15, 0.2)]),
    ],
    ids=["beginning", "middle", "end"],
)
def test_a_phone_of_ours_that_matches_nothing_shares_its_neighbours_time(ours, theirs, expected):
    assert matched(ours, spoken(theirs)) == expected


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ("t a", "s t a", [("t", 0.0, 0.2), ("a", 0.2, 0.3)]),
        ("t a s", "t a n s", [("t", 0.0, 0.1), ("a", 0.1, 0.3), ("s", 0.3, 0.4)]),
        ("t a", "t a s", [("t", 0.0, 0.1), ("a", 0.1, 0.3)]),
    ],
    ids=["beginning", "middle", "end"],
)
def test_a_phone_of_theirs_that_matches_nothing_lengthens_its_neighbour(ours, theirs, expected):
    assert matched(ours, spoken(theirs)) == expected


def test_where_nothing_matches_ours_share_the_whole_time():
    assert matched("a i u", spoken("t s"), cost=lambda *_: 9.0) == [
        ("a", 0.0, 0.067), ("i", 0.067, 0.133), ("u", 0.133, 0.2),
    ]  # fmt: skip


def test_without_phones_on_either_side_there_are_no_times():
    assert match_phones([], spoken("t a"), COST) == []
    assert match_phones(["t", "a"], [], COST) == []


@given(st.lists(st.sampled_from("taisnou"), max_size=12), phones())
def test_each_of_ours_has_a_time_of_its_own_in_order_and_within_theirs(ours, theirs):
    found = match_phones(ours, theirs, COST)
    assert [phone.label for phone in found] == (ours if theirs else [])
    times = [time for phone in found for time in (phone.start, phone.end)]
    assert times == sorted(times)
    assert all(phone.end > phone.start for phone in found)
    if found:
        assert theirs[0].start == times[0]
        assert times[-1] == theirs[-1].end


@given(phones())
def test_phones_matched_with_themselves_stay_as_they_are(theirs):
    assert match_phones([phone.label for phone in theirs], theirs, COST) == theirs


def test_the_cost_is_nothing_within_a_class_and_most_between_vowels_and_consonants():
    cost = sound_cost(load_phone_set("pinyin"), IPA)
    assert cost("a", "a") == 0
    assert 0 < cost("a", "iː") == cost("m", "s") < cost("a", "s")


def test_a_phone_that_no_set_knows_costs_as_much_as_one_of_the_other_kind():
    assert COST("?!", "a") == COST("t", "a") == COST("?!", "?!")


def transcript(text: str, *words: str) -> tuple[str, tuple[Word, ...]]:
    """A transcript whose words are written as their phones."""
    return text, tuple(Word(word, (tuple(word),)) for word in words)


def test_every_phone_is_heard_when_the_count_allows_it():
    common = [transcript(f"common {n}", "ta" * (n + 1)) for n in range(30)]
    rare = [transcript("rare 1", "tatatas"), transcript("rare 2", "tatatata", "tan")]
    chosen = choose_transcripts([*common, *rare], 4)
    assert {label for _, words in chosen for word in words for label in word.text} == set("tasn")
    assert len(chosen) == 4


def test_always_next_is_the_transcript_whose_phones_were_heard_least():
    # "a" is heard twice after the first choice, so "i" is news: 1 to 1/3 for each phone
    pool = [transcript("1", "aa"), transcript("2", "a"), transcript("3", "i"), transcript("4", "ai")]
    assert [text for text, _ in choose_transcripts(pool, 4)] == ["1", "3", "4", "2"]


def test_a_transcript_with_a_word_that_nobody_knows_is_not_chosen():
    known = transcript("known", "ta")
    unknown = ("unknown", (*transcript("", "su")[1], Word("?", ())))
    assert choose_transcripts([unknown, known, ("", ())], 5) == [known]


def test_a_transcript_is_chosen_once_however_often_it_is_there():
    known = transcript("known", "ta")
    assert choose_transcripts([known] * 5, 3) == [known]


def test_the_choice_is_the_same_each_time():
    rng = np.random.default_rng(0)
    pool = [transcript(str(n), "".join(rng.choice(list("taisnou"), 8))) for n in range(50)]
    assert choose_transcripts(pool, 20) == choose_transcripts(list(pool), 20)


@given(phones(), st.integers(0, 400))
def test_spans_cover_all_frames_and_a_frame_belongs_to_the_phone_at_its_middle(theirs, frames):
    spans = spans_of(theirs, frames)
    assert [place for span in spans for place in range(span.first, span.stop)] == list(range(frames))
    for span in spans:
        for place in range(span.first, span.stop):
            middle = (place + 0.5) * SHIFT
            here = [phone.label for phone in theirs if phone.start <= middle < phone.end]
            assert [span.label] == (here or [SILENCE])


@pytest.mark.parametrize(
    ("texts", "language", "voice"),
    [
        (["Guten Morgen, wie geht es dir?", "Das Wasser ist sehr kalt."], "de", "de"),
        (["今天天气很好。", "我们去学校。"], "zh", "cmn"),
    ],
    ids=["German", "Mandarin"],
)
def test_synthetic_speech_is_labelled_with_the_words_first_pronunciations(texts, language, voice):
    said = pronounce(texts, language)
    transcripts = list(zip(texts, said.words, strict=True))
    told: list[tuple[str, float, float]] = []
    found = synthetic_utterances(transcripts, voice, said.phone_set, 0, lambda *news: told.append(news))
    assert len(found) == 2 * 8  # each text by each of eight voices, both texts by one voice side by side

    written = [[label for word in words for label in word.pronunciations[0]] for words in said.words]
    for frames, spans in found:
        assert [n for span in spans for n in range(span.first, span.stop)] == list(range(len(frames)))
        assert any(set(labels) | {SILENCE} >= {span.label for span in spans} for labels in written)
        assert sum(span.label != SILENCE for span in spans) >= 0.8 * min(map(len, written))
    for voice_first in range(0, len(found), 2):
        together = np.concatenate([f for f, _ in found[voice_first : voice_first + 2]])
        # normalised between the silences at both ends, which here are short
        assert np.abs(together.mean(axis=0)).max() < 0.05
        assert np.abs(together.std(axis=0) - 1).max() < 0.05

    assert [total for _, _, total in told] == [16] * len(told)
    assert [done for _, done, _ in told] == list(range(17))

    again = synthetic_utterances(transcripts, voice, said.phone_set, 0)
    assert all(
        np.array_equal(one[0], two[0]) and one[1] == two[1] for one, two in zip(found, again, strict=True)
    )


def test_another_seed_lays_other_noise_under_the_same_times():
    said = pronounce(["Das ist gut."], "de")
    transcripts = [("Das ist gut.", said.words[0])]
    one, two = (synthetic_utterances(transcripts, "de", said.phone_set, seed)[0] for seed in (0, 1))
    assert one[1] == two[1]
    assert not np.array_equal(one[0], two[0])


def test_vowels_are_labelled_where_it_is_loud():
    said = pronounce(["Sag es mir bitte."], "de")
    for frames, spans in synthetic_utterances(
        [("Sag es mir bitte.", said.words[0])], "de", said.phone_set, 0
    ):
        loudness = {
            kind: np.concatenate([frames[span.first : span.stop, 0] for span in spans if kind == what(span)])
            for kind in ("vowel", "silence")
        }
        assert loudness["vowel"].mean() > loudness["silence"].mean() + 1


def what(span) -> str:
    if span.label == SILENCE:
        return "silence"
    return "vowel" if IPA.find(span.label) else "consonant"

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layersim.alignment.pronunciation.transcript import Token, compose, readable, scripts, tokens


def words(text: str) -> list[str]:
    return [token.text for token in tokens(compose(text)[0])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Der Lappen liegt auf dem Eisschrank.", ["Der", "Lappen", "liegt", "auf", "dem", "Eisschrank"]),
        ("Isn’t it well-known?", ["Isn't", "it", "well-known"]),
        ("»Ja«, sagte er – „nein“…", ["Ja", "sagte", "er", "nein"]),
        ("U.S.A. e.g. 3.5, 15:30 and 1,000.", ["U.S.A", "e.g", "3.5", "15:30", "and", "1,000"]),
        ("end.Next", ["end", "Next"]),
        ("50% of $20 & more", ["50%", "of", "$20", "&", "more"]),
        ("就是下雨,也去。", list("就是下雨也去")),
        ("我用OK啊", ["我", "用", "OK", "啊"]),
        ("*so* #1_b 😀", ["so", "1", "b"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("— ... !?", []),
        ("", []),
        ("-- 'quoted' - -", ["quoted"]),
    ],
)
def test_words_stand_without_the_punctuation_around_them(text, expected):
    assert words(text) == expected


def test_decomposed_letters_are_composed():
    assert words("scho\u0308n") == ["sch\u00f6n"]


def test_remarks_in_brackets_are_counted_and_are_no_words():
    text, remarks = compose("So [laughter] I <noise> said {um} yes (really).")
    assert remarks == 3
    assert [token.text for token in tokens(text)] == ["So", "I", "said", "yes", "really"]


@given(st.text())
def test_every_word_stands_where_it_says_and_no_letter_is_lost(text):
    composed, _ = compose(text)
    found = tokens(composed)
    assert all(composed[token.start : token.end] == token.text for token in found)
    assert all(first.end <= second.start for first, second in itertools.pairwise(found))
    inside = "".join(token.text for token in found)
    assert sorted(sign for sign in composed if sign.isalpha()) == sorted(s for s in inside if s.isalpha())


@given(st.text())
def test_what_is_read_aloud_has_the_words_at_their_places(text):
    composed, _ = compose(text)
    found = tokens(composed)
    aloud = readable(composed, found)
    assert len(aloud) == len(composed)
    assert all(aloud[token.start : token.end] == token.text for token in found)


def test_words_that_are_not_given_are_not_read_aloud():
    assert readable("one два three.", [Token("one", 0, 3), Token("three", 8, 13)]) == "one     three."


def test_letters_are_counted_by_script():
    assert scripts("Ein Мир 世界 3ª") == {"LATIN": 3, "CYRILLIC": 3, "CJK": 2}

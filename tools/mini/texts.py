"""Endless made-up texts in many languages: numbers, and words pieced together from commonest words.

Meaning does not matter here, sounds do. A number read aloud brings real words of a language, whatever its
script; commonest words joined to longer ones bring what its spelling allows; random characters do that for
Mandarin. No sentence of the demo or of a corpus that the encoder is measured on is among them.
"""

from __future__ import annotations

import numpy as np

from layersim.alignment.pronunciation.frequent_words import COMMON_WORDS

MANDARIN = "cmn"
ENGLISH = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-029")
# Languages of espeak-ng whose numbers it reads, from as many families as it has.
NUMBERS = (
    "ru", "uk", "bg", "hr", "lv", "lt", "et", "el", "ka", "hy", "eu", "cy", "ga", "is", "sq", "ca", "ar",
    "he", "fa", "hi", "bn", "ta", "te", "vi", "th", "ja", "ko", "yue", "sw", "ms", "kk", "az", "af", "mt",
)  # fmt: skip
_SHARES = {"words": 0.45, "english": 0.1, "mandarin": 0.2, "numbers": 0.25}
_LONGEST_NUMBER = 6  # digits


def draw_text(rng: np.random.Generator) -> tuple[str, str]:
    """Draw a language and something to say in it: two to six seconds of speech at an ordinary rate.

    Returns
    -------
    (str, str)
        espeak-ng's voice without variant, and the text.
    """
    kind = rng.choice(list(_SHARES), p=list(_SHARES.values()))
    if kind == "mandarin":
        return MANDARIN, _mandarin(rng)
    if kind == "numbers":
        return str(rng.choice(NUMBERS)), _numbers(rng, int(rng.integers(2, 4)))
    if kind == "english":
        return str(rng.choice(ENGLISH)), _words("en", rng)
    voice = str(rng.choice(list(COMMON_WORDS)))
    return ("en-us" if voice == "en" else voice), _words(voice, rng)


def _words(voice: str, rng: np.random.Generator) -> str:
    common = COMMON_WORDS[voice].split()
    words = []
    for _ in range(rng.integers(5, 12)):
        if rng.random() < 0.12:
            words.append(_numbers(rng, 1))
        else:  # one to three of them run together: short words alone would hold few of the sounds
            words.append("".join(rng.choice(common, size=rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))))
    return _punctuated(words, rng)


def _numbers(rng: np.random.Generator, count: int) -> str:
    lengths = rng.integers(1, _LONGEST_NUMBER + 1, size=count)
    return ", ".join(str(rng.integers(10 ** (length - 1), 10**length)) for length in lengths)


def _mandarin(rng: np.random.Generator) -> str:
    """Draw from the commonest characters: the first level of GB 2312, but for its last row, not full."""
    rows = rng.integers(16, 55, size=rng.integers(8, 18))
    cells = rng.integers(1, 95, size=len(rows))
    text = "".join(
        bytes((0xA0 + row, 0xA0 + cell)).decode("gb2312") for row, cell in zip(rows, cells, strict=True)
    )
    return text + str(rng.choice(["。", "？"]))


def _punctuated(words: list[str], rng: np.random.Generator) -> str:
    """Join words to a sentence, a statement or a question, now and then with a comma in it."""
    if len(words) > 6 and rng.random() < 0.5:
        words[len(words) // 2] += ","
    return " ".join(words) + str(rng.choice([".", ".", "?", "!"]))

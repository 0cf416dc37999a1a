"""How words change in connected speech: German and English variants of a word, in phones of ``espeak-ipa``.

Conventions
-----------
- A rule takes the phones of one word and returns them changed, or as they were where it does not apply.
- Variants are listed likeliest first, at most `MOST_VARIANTS` a word.
- An aligner chooses among them by their sound; the rules say what is possible, not when.
- A glottal stop before an initial vowel is none of them: on Emo-DB its variant took the beginnings of vowels
  and improved no boundary (reports/LOG.md).

References
----------
Kohler, "German", Journal of the International Phonetic Association 20(1), 1990; Kohler, "Einführung in die
Phonetik des Deutschen", 2nd edition, Schmidt, 1995: elided schwa, assimilated nasals, vocalised r, weak
forms.
Cruttenden, "Gimson's Pronunciation of English", 8th edition, Routledge, 2014: weak forms, elided t and d.
Guy, "Variation in the group and the individual: the case of final stop deletion", in Labov (ed.), "Locating
Language in Time and Space", Academic Press, 1980.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from layersim.alignment.phone_set import load_phone_set

Phones = tuple[str, ...]

MOST_VARIANTS = 4

_LABIALS, _VELARS = ("p", "b", "pf", "m"), ("k", "ɡ", "ŋ")
_RHOTICS = ("r", "ɾ", "ʁ")
_OPEN_VOWELS = ("a", "aː", "ɑ", "ɑː")
_VOCALISED_R = "ɜ"  # espeak-ng's label for the last vowel of German Vater

# Forms that differ in their segments or have a schwa, and still have a vowel: an aligner without a language
# model would choose forms of a lone consonant too often. What the rules yield is left out.
_GERMAN_WEAK_FORMS = {
    "der": "d ɜ", "den": "d ə n", "dem": "d ə m", "das": "d ə s", "des": "d ə s", "es": "ə s", "und": "ʊ n",
    "ein": "ə n", "eine": "n ə", "einen": "n ə n", "einem": "n ə m", "ist": "ɪ s", "nicht": "n ɪ ç",
    "wir": "v ɜ", "ihr": "ɜ", "mir": "m ɜ", "dir": "d ɜ", "er": "ɜ", "für": "f ɜ", "haben": "ɑː b m, h a m",
    "habe": "ɑː b ə, h a b", "hat": "a t", "jetzt": "ɛ ts t, j ɛ ts", "sind": "z ɪ n",
}  # fmt: skip

_ENGLISH_WEAK_FORMS = {
    "the": "ð ə, ð i", "a": "ɐ, eɪ", "an": "ɐ n, æ n", "and": "ə n d, ə n", "of": "ə v, ə",
    "to": "t ə, t ʊ, ɾ ə", "for": "f ɚ", "from": "f ɹ ə m", "can": "k ə n", "could": "k ə d",
    "should": "ʃ ə d", "would": "w ə d, ə d", "are": "ɚ", "was": "w ə z", "were": "w ɚ", "am": "ə m",
    "at": "ə t", "as": "ə z", "has": "h ə z, ə z", "have": "h ə v, ə v", "had": "h ə d, ə d", "do": "d ə",
    "does": "d ə z", "he": "iː", "him": "ɪ m", "his": "ɪ z", "her": "ɚ", "that": "ð ə t", "than": "ð ə n",
    "them": "ð ə m, ə m", "there": "ð ɚ", "but": "b ə t", "or": "ɚ", "you": "j ə", "your": "j ɚ",
    "us": "ə s", "some": "s ə m", "must": "m ə s t, m ə s", "shall": "ʃ əl", "will": "əl",
    "just": "dʒ ə s t, dʒ ə s", "because": "k ə z",
}  # fmt: skip


def variants(forms: Sequence[Phones], word: str, voice: str, next_phone: str = "") -> tuple[Phones, ...]:
    """List how a word may be spoken, the likeliest first.

    Parameters
    ----------
    forms : sequence of tuple of str
        What espeak-ng says: in the sentence, and alone where that differs.
    word : str
    voice : str
        Of espeak-ng. Languages other than German and English have no rules: the forms stay.
    next_phone : str, optional
        The first phone of the word after it.

    >>> variants([("h", "aɪ", "z", "ə", "n")], "heißen", "de")
    (('h', 'aɪ', 'z', 'n'), ('h', 'aɪ', 'z', 'ə', 'n'))
    """
    language = voice.partition("-")[0]
    if not forms or language not in ("de", "en"):
        return tuple(forms)
    listed = _german(forms, word) if language == "de" else _english(forms, word, voice, next_phone)
    return tuple(dict.fromkeys(form for form in listed if form))[:MOST_VARIANTS]


def _german(forms: Sequence[Phones], word: str) -> Iterator[Phones]:
    elided = elided_schwa(forms[0])
    yield vocalised_r(elided)
    yield lost_r(elided)
    yield from _weak_forms(_GERMAN_WEAK_FORMS, word)
    yield lost_final_stop(lost_r(elided))
    if word.casefold().endswith("ig"):
        yield stopped_ending(elided)
    yield vocalised_r(forms[0])
    yield from (vocalised_r(form) for form in forms[1:])


def _english(forms: Sequence[Phones], word: str, voice: str, next_phone: str) -> Iterator[Phones]:
    american = voice.casefold().startswith("en-us")
    yield forms[0]
    for form in _weak_forms(_ENGLISH_WEAK_FORMS, word):
        yield form if american else tuple("ə" if phone == "ɚ" else phone for phone in form)
    if american:
        yield final_flap(forms[0], next_phone)
    yield lost_final_stop(forms[0])
    yield fronted_ending(forms[0])
    yield from forms[1:]


def _weak_forms(table: dict[str, str], word: str) -> Iterator[Phones]:
    listed = table.get(word.casefold())
    yield from (tuple(form.split()) for form in listed.split(", ")) if listed else ()


@lru_cache(maxsize=1024)
def is_vowel(phone: str) -> bool:
    """Say whether a phone of the set ``espeak-ipa`` is a vowel."""
    return bool(load_phone_set("espeak-ipa").find(phone))


def _without_coda_r(phones: Phones, substitute: Phones) -> Phones:
    changed: list[str] = []
    for n, phone in enumerate(phones):
        after_vowel = n > 0 and is_vowel(phones[n - 1])
        if phone in _RHOTICS and after_vowel and not any(is_vowel(after) for after in phones[n + 1 : n + 2]):
            changed += () if phones[n - 1] in _OPEN_VOWELS else substitute
        else:
            changed.append(phone)
    return tuple(changed)


def vocalised_r(phones: Phones) -> Phones:
    """German r behind a vowel and before none is a vowel itself; behind an open vowel it is lost in it.

    Kohler 1990: [ɐ̯], as in Uhr, wird, Karte.

    >>> vocalised_r(("v", "ɪ", "ɾ", "t")), vocalised_r(("k", "a", "ɾ", "l"))
    (('v', 'ɪ', 'ɜ', 't'), ('k', 'a', 'l'))
    >>> vocalised_r(("j", "ɑː", "r", "ə"))
    ('j', 'ɑː', 'r', 'ə')
    """
    return _without_coda_r(phones, (_VOCALISED_R,))


def lost_r(phones: Phones) -> Phones:
    """German r behind a vowel and before none, heard as the end of that vowel: one segment, not two.

    Where labellers write SAMPA i6 or E6 for one segment.

    >>> lost_r(("v", "ɪ", "ɾ", "t"))
    ('v', 'ɪ', 't')
    """
    return _without_coda_r(phones, ())


def elided_schwa(phones: Phones) -> Phones:
    """German -en, -em and -el lose their vowel; n is spoken where the plosive or nasal before it is.

    Kohler 1990: haben [haːbm̩], sagen [zaːɡŋ̍], Handel [handl̩]. Nasals that then meet their like are one.

    >>> elided_schwa(("h", "ɑː", "b", "ə", "n")), elided_schwa(("ɡ", "eː", "ə", "n"))
    (('h', 'ɑː', 'b', 'm'), ('ɡ', 'eː', 'n'))
    >>> elided_schwa(("k", "ɔ", "m", "ə", "n")), elided_schwa(("n", "ə", "n", "ə"))
    (('k', 'ɔ', 'm'), ('n', 'ə', 'n', 'ə'))
    """
    changed: list[str] = []
    n = 0
    while n < len(phones):
        sonorant = phones[n + 1] if n + 1 < len(phones) else ""
        closed = not any(is_vowel(after) for after in phones[n + 2 : n + 3])
        if phones[n] != "ə" or sonorant not in ("n", "m", "l") or not closed or not changed:
            changed.append(phones[n])
            n += 1
            continue
        if sonorant == "n":
            sonorant = "m" if changed[-1] in _LABIALS else "ŋ" if changed[-1] in _VELARS else "n"
        if sonorant != changed[-1]:
            changed.append(sonorant)
        n += 2
    return tuple(changed)


def stopped_ending(phones: Phones) -> Phones:
    """German -ig with a stop, as in the south: [ɪk] for [ɪç].

    >>> stopped_ending(("ʃ", "t", "aʊ", "b", "ɪ", "ç"))
    ('ʃ', 't', 'aʊ', 'b', 'ɪ', 'k')
    """
    return (*phones[:-1], "k") if len(phones) > 2 and phones[-2:] == ("ɪ", "ç") else phones


def lost_final_stop(phones: Phones) -> Phones:
    """A t or d behind another consonant is lost at the end of a word, as in last and in und (Guy 1980).

    >>> lost_final_stop(("l", "æ", "s", "t")), lost_final_stop(("k", "æ", "t"))
    (('l', 'æ', 's'), ('k', 'æ', 't'))
    """
    lost = len(phones) > 2 and phones[-1] in ("t", "d") and not is_vowel(phones[-2])
    return phones[:-1] if lost and phones[-2] not in ("l", "ɹ", "r", "ɾ") else phones


def final_flap(phones: Phones, next_phone: str) -> Phones:
    """American t or d between vowels across words: at a, had it (Cruttenden 2014).

    >>> final_flap(("æ", "t"), "ɐ"), final_flap(("æ", "t"), "b")
    (('æ', 'ɾ'), ('æ', 't'))
    """
    between = phones[-1] in ("t", "d") and len(phones) > 1 and is_vowel(phones[-2]) and is_vowel(next_phone)
    return (*phones[:-1], "ɾ") if between else phones


def fronted_ending(phones: Phones) -> Phones:
    """English -ing with n for ŋ, where it is a syllable of its own (Cruttenden 2014).

    >>> fronted_ending(("t", "ɔː", "k", "ɪ", "ŋ")), fronted_ending(("s", "ɪ", "ŋ"))
    (('t', 'ɔː', 'k', 'ɪ', 'n'), ('s', 'ɪ', 'ŋ'))
    """
    ending = phones[-2:] == ("ɪ", "ŋ") and any(is_vowel(phone) for phone in phones[:-2])
    return (*phones[:-1], "n") if ending else phones

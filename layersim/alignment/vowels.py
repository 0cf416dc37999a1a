"""Vowel classes that phone sets of different languages share.

Convention
----------
- A class is an IPA vowel quality. Length, stress, tone and nasalisation do not make a class: German /aː/ and
  /a/, Mandarin a with any tone and English father are a.
- Qualities that phone sets spell differently, or that no language here tells apart, are one class:
  a (open unrounded: a, ɑ), ɔ (English lot and thought: ɒ, ɔ), u (u and the fronted English goose, ʉ), ɪ (and
  the weak vowel of roses), ʌ (English strut and German vocalised r: ʌ, ɐ, SAMPA 6; MFA writes both ɐ),
  ɚ (English nurse and letter, with r-colour or not), ɿ (both apical vowels of Mandarin si and shi, never i).
- A reduced vowel is ə. ARPAbet has no sign for it: AH0 is ə, AH1 and AH2 are ʌ.
- A falling diphthong is a class of its own, written with a glide: aj aw ej ow ɔj. English face and goat are
  ej and ow; German e and o are monophthongs and stay e and o.
- What else is more than one vowel in one segment is a class of its own too, and meets only its like: a vowel
  with r-colour or vocalised r (ɔɹ, iɐ), a Mandarin final with its glide (je, wo). A segment that holds a
  vowel and a nasal or a lateral (pinyin ``ang``, espeak ``əl``) is no vowel, nor are syllabic n, m, l.
- A label can only say what its author wrote. Pinyin ``e`` and MFA's Mandarin ``o`` stand for two qualities
  each ([ə] and [ɤ]; [o] and [ɤ]). Pinyin is expected as the MFA dictionary splits it: the apical vowel is
  ``ii``, ü is ``v`` or ``ü``, also after j, q and x. A whole syllable (``jiu4``) is no segment and stays
  unknown.

What MFA's dictionaries of US English and of Mandarin share is then a i u ə aj aw ej ow; with the other
dialects of English also e and o. Where Mandarin er is one segment (pinyin ``er``, espeak ``ər``), also ɚ.

A phone set is a table ``phone, vowel, source``: ``vowel`` is the class, or empty for what is no vowel. It is
searched first for the label as it stands, so that a mark may matter (z̩ is a vowel where z is none), then
without prosodic marks and trailing digits (stress, tone; not where digits are vowels, as in SAMPA), then
without diacritics, except those that decide what is a vowel (syllabic, nonsyllabic, rhotic, the dots of ü).
A set in capitals is searched for small letters too. A label found by none of these is unknown: it is counted
and listed, never guessed. Built-in sets are the CSV files in ``phone_sets``; a user's file stands over one of
them (`load_phone_set`).
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from io import StringIO
from pathlib import Path

import pandas as pd

from layersim.alignment.text import read_text
from layersim.errors import LayersimError, summarise_faults

_COLUMNS = ["phone", "vowel", "source"]
_PROSODY = str.maketrans("", "", "ˈˌːˑ˥˦˧˨˩‿|.̆̃'\"%:")  # stress, length, tone letters, nasal and short marks
_DIGITS = re.compile(r"(?<=[^\W\d_])[0-9⁰¹²³⁴⁵]+$")  # the stress of ARPAbet, tones: after a letter
_REMARKS = re.compile(r"^_(?=.)|\+[a-z]+$")  # Emo-DB: a leading mark of closure, a trailing remark
_DECISIVE = "\u0329\u030d\u032f˞"  # syllabic (below, above), nonsyllabic, rhotic
# What a class is written with: vowels, glides and r-colour.
_CLASS = re.compile(r"[iyɨʉɯuɪʏʊeøɘɵɤoəɚɛœɜɞʌɔæɐaɶɑɒɿʅjwɥɹ]{1,4}")


class UnknownPhoneError(LayersimError):
    """A phone that the phone set does not have."""


@dataclass(frozen=True)
class PhoneSet:
    """Which phones of one inventory are vowels, and of which class."""

    name: str
    classes: Mapping[str, str]  # phone -> vowel class, "" for what is no vowel

    def find(self, phone: str) -> str | None:
        """Return the vowel class, ``""`` for what is no vowel, None for an unknown phone."""
        for form in self._forms(unicodedata.normalize("NFC", phone)):
            if form in self.classes:
                return self.classes[form]
        return None

    def _forms(self, label: str) -> Iterator[str]:
        """Yield a label as it stands, then with fewer and fewer marks."""
        if self._capitals:
            label = label.upper()
        yield label
        label = _REMARKS.sub("", label)
        yield label
        plain = unicodedata.normalize("NFC", unicodedata.normalize("NFD", label).translate(_PROSODY))
        yield plain
        if not self._digit_phones:
            plain = _DIGITS.sub("", plain)
            yield plain
        yield _without_diacritics(plain, self._letter_marks)

    @cached_property
    def _capitals(self) -> bool:
        return all(phone == phone.upper() for phone in self.classes)

    @cached_property
    def _letter_marks(self) -> frozenset[str]:
        """Marks of letters that the set has as such: the dots of pinyin ü are not a mark on u."""
        letters = (unicodedata.normalize("NFD", phone) for phone in self.classes if len(phone) == 1)
        return frozenset(mark for letter in letters for mark in letter[1:])

    @cached_property
    def _digit_phones(self) -> bool:
        return any(phone.isdigit() for phone in self.classes)

    def vowel(self, phone: str) -> str:
        """Return the vowel class, ``""`` for what is no vowel.

        Raises
        ------
        UnknownPhoneError
            If the set does not have the phone.

        >>> load_phone_set("arpabet").vowel("OW1"), load_phone_set("arpabet").vowel("NG")
        ('ow', '')
        """
        found = self.find(phone)
        if found is None:
            raise UnknownPhoneError(
                f"phone {phone!r} is not in the phone set {self.name}. Name the right set, or add a row "
                f"for it in a file of your own with the columns {', '.join(_COLUMNS)}."
            )
        return found


def _without_diacritics(label: str, letter_marks: frozenset[str]) -> str:
    """Take off combining marks and modifier letters (as of aspiration), except the decisive ones."""
    kept = (
        sign
        for sign in unicodedata.normalize("NFD", label)
        if sign in _DECISIVE or sign in letter_marks or unicodedata.category(sign) not in ("Mn", "Lm", "Sk")
    )
    return unicodedata.normalize("NFC", "".join(kept))


def known_phone_sets() -> list[str]:
    """Name the built-in phone sets."""
    folder = resources.files("layersim.alignment").joinpath("phone_sets")
    return sorted(file.name.removesuffix(".csv") for file in folder.iterdir() if file.name.endswith(".csv"))


def load_phone_set(name: str) -> PhoneSet:
    """Load a built-in phone set, or a user's file.

    Parameters
    ----------
    name : str
        One of `known_phone_sets`; or a CSV file with the columns phone, vowel, source, whose rows are added
        to, and stand over, the built-in set named in its first line (``# based on arpabet``); without such a
        line the file stands alone. Lines that start with ``#`` are comments.

    Raises
    ------
    LayersimError
        If there is no such set or file, or the file is wrong.
    """
    if name in known_phone_sets():
        return _load_built_in(name)
    path = Path(name).expanduser()
    if not path.is_file():
        raise LayersimError(
            f"phone set {name!r}: neither built in nor a file. Built in: {', '.join(known_phone_sets())}."
        )
    text = read_text(path)
    below: Mapping[str, str] = {}
    if based := re.match(r"#\s*based on\s+(\S+)", text):
        if based[1] not in known_phone_sets():
            raise LayersimError(
                f"{path}, row 1: based on {based[1]!r}, which is not built in. Built in: "
                f"{', '.join(known_phone_sets())}."
            )
        below = _load_built_in(based[1]).classes
    return PhoneSet(str(path), {**below, **_read_rows(text, str(path))})


@lru_cache
def _load_built_in(name: str) -> PhoneSet:
    file = resources.files("layersim.alignment").joinpath("phone_sets", f"{name}.csv")
    return PhoneSet(name, _read_rows(file.read_text(encoding="utf-8"), name))


def _read_rows(text: str, where: str) -> dict[str, str]:
    reader = csv.reader(StringIO(text, newline=""))
    rows = [(n, row) for n, row in enumerate(reader, start=1) if any(row) and not row[0].startswith("#")]
    header = [cell.strip().casefold() for cell in rows[0][1]] if rows else []
    if not {"phone", "vowel"} <= set(header):
        raise LayersimError(f"{where}: expected the columns {', '.join(_COLUMNS)}; found {header}.")
    classes: dict[str, str] = {}
    faults = []
    for number, row in rows[1:]:
        cells = dict(zip(header, (unicodedata.normalize("NFC", cell.strip()) for cell in row), strict=False))
        phone, vowel = cells.get("phone", ""), cells.get("vowel")
        if not phone:
            faults.append(f"row {number}: phone is empty")
        elif vowel is None:
            faults.append(f"row {number}: {phone!r} has no cell for its vowel; write {phone}, for no vowel")
        elif vowel and not _CLASS.fullmatch(vowel):
            faults.append(
                f"row {number}: {vowel!r} of {phone!r} is no IPA vowel; leave it empty for no vowel"
            )
        elif phone in classes:
            faults.append(f"row {number}: phone {phone!r} stands there twice")
        else:
            classes[phone] = vowel
    if faults:
        raise LayersimError(summarise_faults(f"{where}: {len(faults)} bad rows", faults))
    return classes


def map_vowels(phones: pd.DataFrame, phone_set: PhoneSet) -> tuple[pd.DataFrame, dict[str, int]]:
    """Add a column ``vowel`` to a phone table.

    Returns
    -------
    table : DataFrame
        The same rows and index; ``vowel`` is the class, ``""`` for what is no vowel or unknown.
    unknown : dict
        How often each unknown phone occurs, the most frequent first.
    """
    class_of = {label: phone_set.find(label) for label in dict.fromkeys(phones["phone"].tolist())}
    vowels = [class_of[label] or "" for label in phones["phone"].tolist()]
    unknown = Counter(label for label in phones["phone"].tolist() if class_of[label] is None)
    column = pd.Series(vowels, index=phones.index, dtype=object)
    return phones.assign(vowel=column), dict(unknown.most_common())


def detect_phone_set(labels: Iterable[str]) -> tuple[str, float]:
    """Find the built-in set that knows most of the labels.

    Returns
    -------
    name : str
    coverage : float, 0..1
        Share of the labels that it knows, each occurrence counted. Of equals the one that needs no mark
        taken off for more of them, then the first by name.

    Raises
    ------
    ValueError
        If there are no labels.
    """
    counts = Counter(labels)
    total = sum(counts.values())
    if not total:
        raise ValueError("labels: expected at least one, got none")
    best = ("", -1.0, -1.0)
    for name in known_phone_sets():
        phone_set = load_phone_set(name)
        known = sum(count for label, count in counts.items() if phone_set.find(label) is not None)
        exact = sum(count for label, count in counts.items() if label in phone_set.classes)
        if (known, exact) > best[1:]:
            best = (name, float(known), float(exact))
    return best[0], best[1] / total

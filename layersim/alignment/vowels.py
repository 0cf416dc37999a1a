"""Vowel classes that phone sets of different languages share.

Convention
----------
- A class is an IPA vowel quality: i ɪ y ʏ e ɛ ø œ æ a ʌ ə ɚ ɐ ɤ ɔ o ʊ u ... Length, stress, tone and
  nasalisation do not make a class: German /aː/ and /a/, Mandarin a with any tone and English father are a.
- Fully open unrounded vowels (a, ɑ) are one class a: no language here tells them apart by themselves.
  Stressed English strut (ARPAbet AH, MFA ɐ) is ʌ, German vocalised r is ɐ; a reduced vowel is ə.
- A falling diphthong is a class of its own, written with a glide: aj aw ej ow ɔj. So are vowels with an
  r-colour or a vocalised r in the same segment (ɔɹ, iɐ) and rising Mandarin finals kept in one segment
  (je, wo). The apical vowels of Mandarin si and shi are ɿ and ʅ, never i.
- A segment that holds a vowel and a nasal or a liquid (pinyin ``ang`` as one phone) is no vowel here.

A phone set is a table ``phone, vowel, source``: ``vowel`` is the class, or empty for what is no vowel. It is
searched first for the label as it stands, so that a mark may matter (z̩ is a vowel where z is none), then
without prosodic marks, then without any diacritic. A label found by none of these is unknown: it is counted
and listed, never guessed. Built-in sets are the CSV files in ``phone_sets``; a user's file stands over one
of them (`load_phone_set`).
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from io import StringIO
from pathlib import Path

import pandas as pd

from layersim.errors import LayersimError, summarise_faults

_COLUMNS = ["phone", "vowel", "source"]
_PROSODY = str.maketrans("", "", "ˈˌːˑ˥˦˧˨˩‿|.̆̃'\"%:")  # stress, length, tone letters, nasal and short marks
_TONE = re.compile(r"(?<=[^\W\d_])[0-9]$")  # the stress digit of ARPAbet, the tone of pinyin: after a letter
_CORPUS_MARKS = re.compile(r"^_|\+[a-z]+$")  # Emo-DB: a leading closure mark, a trailing remark


class UnknownPhoneError(LayersimError):
    """A phone that the phone set does not have."""


@dataclass(frozen=True)
class PhoneSet:
    """Which phones of one inventory are vowels, and of which class."""

    name: str
    classes: Mapping[str, str]  # phone -> vowel class, "" for what is no vowel

    def find(self, phone: str) -> str | None:
        """Return the vowel class, ``""`` for what is no vowel, None for an unknown phone."""
        for form in _forms(phone):
            if form in self.classes:
                return self.classes[form]
        return None

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


def _forms(phone: str) -> Iterable[str]:
    """Yield a label as it stands, then with fewer and fewer marks."""
    label = unicodedata.normalize("NFC", phone)
    yield label
    label = _CORPUS_MARKS.sub("", label)
    yield label
    prosodic = _without_prosody(label)
    yield prosodic
    if len(prosodic) == 2 and prosodic[0] == prosodic[1]:  # a doubled letter: one long consonant
        yield prosodic[0]
    yield _without_diacritics(prosodic)


def _without_prosody(label: str) -> str:
    decomposed = unicodedata.normalize("NFD", label).translate(_PROSODY)
    return unicodedata.normalize("NFC", _TONE.sub("", unicodedata.normalize("NFC", decomposed)))


def _without_diacritics(label: str) -> str:
    """Take off combining marks and modifier letters (aspiration, palatalisation, syllabicity ...)."""
    decomposed = unicodedata.normalize("NFD", label)
    return "".join(sign for sign in decomposed if unicodedata.category(sign) not in ("Mn", "Lm", "Sk"))


def known_phone_sets() -> list[str]:
    """Name the built-in phone sets."""
    folder = resources.files("layersim.alignment").joinpath("phone_sets")
    return sorted(file.name.removesuffix(".csv") for file in folder.iterdir() if file.name.endswith(".csv"))


@lru_cache
def load_phone_set(name: str) -> PhoneSet:
    """Load a built-in phone set, or a user's file.

    Parameters
    ----------
    name : str
        One of `known_phone_sets`; or a CSV file with the columns phone, vowel, source, whose rows stand over
        the built-in set named in its first line (``# based on arpabet``), or alone without such a line.

    Raises
    ------
    LayersimError
        If there is no such set or file, or the file is wrong.
    """
    if name in known_phone_sets():
        file = resources.files("layersim.alignment").joinpath("phone_sets", f"{name}.csv")
        return PhoneSet(name, _read_rows(file.read_text(encoding="utf-8"), name))
    path = Path(name).expanduser()
    if not path.is_file():
        raise LayersimError(
            f"phone set {name!r}: neither built in nor a file. Built in: {', '.join(known_phone_sets())}."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LayersimError(f"{path}: cannot be read as UTF-8 text: {error}.") from None
    based = re.match(r"#\s*based on\s+(\S+)", text)
    below = dict(load_phone_set(based.group(1)).classes) if based else {}
    return PhoneSet(str(path), {**below, **_read_rows(text, str(path))})


def _read_rows(text: str, where: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    reader = csv.DictReader(StringIO("\n".join(lines)))
    if reader.fieldnames is None or not {"phone", "vowel"} <= set(reader.fieldnames):
        raise LayersimError(
            f"{where}: expected the columns {', '.join(_COLUMNS)}; found {reader.fieldnames}."
        )
    classes: dict[str, str] = {}
    faults = []
    for number, row in enumerate(reader, start=2):
        phone = unicodedata.normalize("NFC", (row["phone"] or "").strip())
        vowel = unicodedata.normalize("NFC", (row["vowel"] or "").strip())
        if not phone:
            faults.append(f"row {number}: phone is empty")
        elif phone in classes:
            faults.append(f"row {number}: phone {phone!r} stands there twice")
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

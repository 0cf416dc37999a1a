"""Phone sets: which class each label of one inventory has, read from a table.

A phone set is a table ``phone, vowel, consonant, source``: the class of a vowel or of a consonant, or both
cells empty for what is neither. What the classes are is said in `layersim.alignment.vowels`. Built-in sets
are the CSV files in ``phone_sets``; a user's file stands over one of them, or alone.

A label is searched for as it stands, so that a mark may matter (z̩ is a vowel where z is none); then without
remarks; without stress and tone; without all prosodic marks (length, nasality too); and without diacritics,
except those that decide what is a vowel (syllabic, nonsyllabic, rhotic, the dots of ü). So aspiration and
secondary articulation go by rule too: kʷ and kʰ are k, unless a row says otherwise. Digits are stress or
tone, but not in a set that writes vowels with them, as SAMPA does. A set in capitals is searched for small
letters too. A label found by none of these is unknown: it is counted and listed, never guessed.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

from layersim.alignment.segments import LONGEST_LABEL
from layersim.alignment.text import read_text, table_rows
from layersim.errors import LayersimError, summarise_faults

Kind = Literal["vowel", "consonant"]

CLASSES = "classes"
"""The phone set whose labels are classes already; see `ClassLabels`."""

_COLUMNS = ["phone", "vowel", "consonant", "source"]
_STRESS_AND_TONE = str.maketrans("", "", "ˈˌ'\"%˥˦˧˨˩")
_PROSODY = str.maketrans("", "", "ːˑ‿|.̆̃~:")  # length, short and nasal marks; a dot between syllables
_DIGITS = re.compile(r"(?<=[^\d_\s])[0-9⁰¹²³⁴⁵]+$")  # the stress of ARPAbet, tones: after something
_REMARKS = re.compile(r"^_(?=.)|\+[a-z]+$")  # Emo-DB: a leading mark of closure, a trailing remark
_DECISIVE = "\u0329\u030d\u032f˞"  # syllabic (below, above), nonsyllabic, rhotic
# What a class is written with: vowels, glides and r-colour; a consonant, or an affricate's two signs.
_CLASSES: dict[Kind, re.Pattern[str]] = {
    "vowel": re.compile(r"[iyɨʉɯuɪʏʊeøɘɵɤoəɚɛœɜɞʌɔæɐaɶɑɒɿʅjwɥɹ]{1,4}"),
    "consonant": re.compile(
        r"[pbtdʈɖcɟkɡqɢʔmɱnɳɲŋɴʙrʀⱱɾɽɸβfvθðszʃʒʂʐçʝxɣχʁħʕhɦɬɮʋɹɻjɰlɭʎʟwʍɥɕʑɧɺɫɓɗʄɠʛ]{1,2}"
    ),
}


class UnknownPhoneError(LayersimError):
    """A phone whose class the phone set does not say."""


@dataclass(frozen=True)
class PhoneSet:
    """The classes of one inventory's phones."""

    name: str
    classes: Mapping[Kind, Mapping[str, str]]  # per kind: phone -> class, "" for what is not of this kind

    def find(self, phone: str, kind: Kind = "vowel") -> str | None:
        """Return the class, ``""`` for a phone that is not of this kind, None for an unknown one.

        All phones of a set have a vowel cell; whether a phone is a consonant may be unknown, where a user's
        file does not say it.
        """
        for form in self._forms(unicodedata.normalize("NFC", phone)):
            if form in self.classes["vowel"]:
                return self.classes[kind].get(form)
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
        return self._class_of(phone, "vowel")

    def consonant(self, phone: str) -> str:
        """Return the consonant class, ``""`` for what is no consonant.

        Raises
        ------
        UnknownPhoneError
            If the set does not have the phone, or does not say whether it is a consonant.

        >>> load_phone_set("mfa-ipa").consonant("tɕʰ"), load_phone_set("mfa-ipa").consonant("aj")
        ('tɕ', '')
        """
        return self._class_of(phone, "consonant")

    def _class_of(self, phone: str, kind: Kind) -> str:
        found = self.find(phone, kind)
        if found is None:
            raise UnknownPhoneError(
                f"the {kind} class of phone {phone!r} is not in the phone set {self.name}. Name the right "
                f"set, or add a row for it in a file of your own with the columns {', '.join(_COLUMNS)}."
            )
        return found

    def _forms(self, label: str) -> Iterator[str]:
        """Yield a label as it stands, then with fewer and fewer marks."""
        if self._capitals:
            label = label.upper()
        yield label
        label = _REMARKS.sub("", label)
        yield label
        label = _without(label, _STRESS_AND_TONE)
        if not self._digit_phones:
            label = _DIGITS.sub("", label)
        yield label
        label = _without(label, _PROSODY)
        yield label
        yield _without_diacritics(label, self._letter_marks)

    @cached_property
    def _capitals(self) -> bool:
        return all(phone == phone.upper() for phone in self.classes["vowel"])

    @cached_property
    def _letter_marks(self) -> frozenset[str]:
        """Marks of letters that the set has as such: the dots of pinyin ü are not a mark on u."""
        phones = self.classes["vowel"]
        letters = (unicodedata.normalize("NFD", phone) for phone in phones if len(phone) == 1)
        return frozenset(mark for letter in letters for mark in letter[1:])

    @cached_property
    def _digit_phones(self) -> bool:
        return any(phone.isdigit() for phone in self.classes["vowel"])


class ClassLabels(PhoneSet):
    """The phone set of phones that are named by their class, because they came from several sets.

    A class is its own label; ``""`` is neither a vowel nor a consonant; all else is unknown. What is written
    with a consonant's signs alone is the consonant: j w ɥ ɹ.
    """

    def find(self, phone: str, kind: Kind = "vowel") -> str | None:
        """Return the label if it is a class of this kind, ``""`` if of the other or of none, else None.

        >>> classes = load_phone_set("classes")
        >>> classes.find("aj"), classes.find("j"), classes.find("AY1")
        ('aj', '', None)
        """
        if not phone:
            return ""
        kinds: tuple[Kind, ...] = ("consonant", "vowel")
        for own in kinds:
            if _CLASSES[own].fullmatch(phone):
                return phone if kind == own else ""
        return None


def _without(label: str, marks: dict[int, int | None]) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", label).translate(marks))


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
        One of `known_phone_sets`; `CLASSES`; or a CSV file with the columns phone, vowel, consonant, source,
        whose rows are added to, and stand over, the built-in set named in its first line (``# based on
        arpabet``); without such a line the file stands alone. Lines that start with ``#`` are comments.

        The column consonant may be left out. Then a vowel is no consonant, what the set below has as no
        vowel keeps that set's consonant, and of any other phone it is unknown whether it is one.

    Raises
    ------
    LayersimError
        If there is no such set or file, or the file is wrong.
    """
    if name in known_phone_sets():
        return _load_built_in(name)
    if name == CLASSES:
        return ClassLabels(CLASSES, {"vowel": {}, "consonant": {}})
    path = Path(os.path.expanduser(name))
    if not os.path.isfile(path):  # which takes any text, unlike Path.is_file
        raise LayersimError(
            f"phone set {name!r}: neither built in nor a file. Built in: {', '.join(known_phone_sets())}."
        )
    text = read_text(path)
    below: Mapping[Kind, Mapping[str, str]] = {"vowel": {}, "consonant": {}}
    if based := re.match(r"#\s*based on\s+(\S+)", text):
        if based[1] not in known_phone_sets():
            raise LayersimError(
                f"{path}, row 1: based on {based[1]!r}, which is not built in. Built in: "
                f"{', '.join(known_phone_sets())}."
            )
        below = _load_built_in(based[1]).classes
    own = _read_rows(text, str(path))
    consonants = dict(below["consonant"])
    for phone, vowel in own["vowel"].items():
        if phone in own["consonant"]:
            consonants[phone] = own["consonant"][phone]
        elif below["vowel"].get(phone) != vowel:
            consonants.pop(phone, None)  # what the set below says is no longer so
    return PhoneSet(str(path), {"vowel": {**below["vowel"], **own["vowel"]}, "consonant": consonants})


@lru_cache
def _load_built_in(name: str) -> PhoneSet:
    file = resources.files("layersim.alignment").joinpath("phone_sets", f"{name}.csv")
    return PhoneSet(name, _read_rows(file.read_text(encoding="utf-8"), name))


def _read_rows(text: str, where: str) -> dict[Kind, dict[str, str]]:
    """Read a table's rows: every phone's vowel class, and its consonant class where the table says it."""
    rows = [
        (n, row)
        for n, row in enumerate(table_rows(text, where), start=1)
        if any(row) and not row[0].startswith("#")
    ]
    header = [cell.strip().casefold() for cell in rows[0][1]] if rows else []
    if not {"phone", "vowel"} <= set(header):
        raise LayersimError(f"{where}: expected the columns {', '.join(_COLUMNS)}; found {header}.")
    kinds: list[Kind] = ["vowel", "consonant"] if "consonant" in header else ["vowel"]
    classes: dict[Kind, dict[str, str]] = {"vowel": {}, "consonant": {}}
    faults = []
    for number, row in rows[1:]:
        if max(map(len, row)) > LONGEST_LABEL:
            faults.append(f"row {number}: has a cell of {max(map(len, row))} characters, which is no phone")
            continue
        cells = dict(zip(header, (unicodedata.normalize("NFC", cell.strip()) for cell in row), strict=False))
        found = {kind: cells.get(kind) for kind in kinds}
        if found.get("consonant"):
            found["consonant"] = str(found["consonant"]).replace("g", "ɡ")  # one letter, typed in two ways
        if fault := _row_fault(cells.get("phone", ""), found, classes["vowel"]):
            faults.append(f"row {number}: {fault}")
            continue
        for kind, name in found.items():
            classes[kind][cells["phone"]] = name or ""
        if found["vowel"]:
            classes["consonant"][cells["phone"]] = ""
    if faults:
        raise LayersimError(summarise_faults(f"{where}: {len(faults)} bad rows", faults))
    return classes


def _row_fault(phone: str, found: Mapping[Kind, str | None], known: Mapping[str, str]) -> str | None:
    """Say what is wrong with one row, given the rows before it."""
    if not phone:
        return "phone is empty"
    if phone in known:
        return f"phone {phone!r} stands there twice"
    for kind, name in found.items():
        if name is None:
            return f"{phone!r} has no cell for its {kind}; leave the cell empty for no {kind}"
        if name and not _CLASSES[kind].fullmatch(name):
            return f"{name!r} of {phone!r} is no IPA {kind}; leave it empty for no {kind}"
    if all(found.get(kind) for kind in _CLASSES):
        return f"{phone!r} is given as a vowel and as a consonant; leave one of them empty"
    return None

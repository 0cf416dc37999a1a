"""Classes that phone sets of different languages share: of vowels and, by the same means, of consonants.

Vowels
------
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
  vowel and a nasal or a lateral (pinyin ``ang``, espeak ``əl``) is neither vowel nor consonant.
- A label can only say what its author wrote. Pinyin ``e`` and MFA's Mandarin ``o`` stand for two qualities
  each ([ə] and [ɤ]; [o] and [ɤ]). Pinyin is expected as the MFA dictionary splits it: the apical vowel is
  ``ii``, ü is ``v`` or ``ü``, also after j, q and x. A whole syllable (``jiu4``) is no segment and stays
  unknown.

What MFA's dictionaries of US English and of Mandarin share is then a i u ə aj aw ej ow; with the other
dialects of English also e and o. Where Mandarin er is one segment (pinyin ``er``, espeak ``ər``), also ɚ.

Consonants
----------
- A class is an IPA place, manner and voicing; an affricate is a class of its own (ts tʃ tɕ ʈʂ pf). Length,
  aspiration, palatalisation, labialisation and velarisation do not make a class: pʰ and pʲ are p, ɫ is l. A
  syllabic n, m, ŋ, l or r is that consonant.
- So Mandarin p and pʰ (pinyin b and p) are both p. They stay apart from English and German b, which is a
  class of its own whether its voice is heard or not.
- Qualities that no language here tells apart are one class: x (and χ), ʁ (and ʀ), h (and ɦ), m (and ɱ).
- Places do make a class: retroflex ʂ ʐ ʈʂ ɻ, alveolopalatal ɕ tɕ, postalveolar ʃ ʒ tʃ dʒ, palatal ç c ɟ ɲ ʎ.
  MFA writes c, ɟ, ɲ, ʎ for k, ɡ, n, l before a front vowel; ARPAbet and espeak do not. The rs of languages
  are not one: English ɹ, German ʁ (which espeak writes as r or ɾ), the tap ɾ (also of English city), the
  trill r, Mandarin ʐ. German ç and x are two.
- Glides are consonants: j w ɥ, also as nonsyllabic i̯ u̯ y̯. The glide of a diphthong is part of its vowel.
- Part of a stop is no consonant: its closure alone (TIMIT ``tcl``), its burst or aspiration (Emo-DB ``!``,
  ``tasp``).
- Pinyin ``r`` is ʐ, also as the coda of er, which the label does not tell apart.

What ARPAbet English and pinyin share is then p t k f s m n ŋ l j w.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pandas as pd

from layersim.alignment.phone_set import Kind, PhoneSet, known_phone_sets, load_phone_set


def map_classes(
    phones: pd.DataFrame, phone_set: PhoneSet, kind: Kind = "vowel"
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Add a column with the class of each phone, named as its kind, to a phone table.

    Parameters
    ----------
    kind : {"vowel", "consonant"}

    Returns
    -------
    table : DataFrame
        The same rows and index; the column ``vowel`` (or ``consonant``) is the class, ``""`` for what is
        none or unknown.
    unknown : dict
        How often each unknown phone occurs, the most frequent first.
    """
    labels = phones["phone"].tolist()
    class_of = {label: phone_set.find(label, kind) for label in dict.fromkeys(labels)}
    unknown = Counter(label for label in labels if class_of[label] is None)
    column = pd.Series([class_of[label] or "" for label in labels], index=phones.index, dtype=object)
    return phones.assign(**{kind: column}), dict(unknown.most_common())


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
        exact = sum(count for label, count in counts.items() if label in phone_set.classes["vowel"])
        if (known, exact) > best[1:]:
            best = (name, float(known), float(exact))
    return best[0], best[1] / total

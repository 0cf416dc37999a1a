"""The phones of several corpora as one table.

Conventions
-----------
- Where the parts have one phone set, phones keep their labels. Where they have several, each phone is
  labelled by its class (a vowel or a consonant), ``""`` for what is neither, and the phone set is
  `layersim.alignment.phone_set.CLASSES`; a phone that its own set does not know gets a ``?`` before its label
  and stays unknown. Where a part has no phones, neither has the whole.
- A repeated utterance brings its phones along each time; ``row`` says which of its rows they belong to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from layersim.alignment.phone_set import CLASSES, load_phone_set
from layersim.alignment.vowels import map_classes
from layersim.features.cache import Rows
from layersim.features.dataset import CorpusFeatures

_COLUMNS = ("utterance", "phone", "start", "end", "frames")


@dataclass(frozen=True, eq=False)
class JoinedPhones:
    """One row per phone, and where its features are.

    Attributes
    ----------
    table : DataFrame, P rows
        As `FeatureCache.phones`, and ``row``: the joined row of the phone's utterance.
    part_of_row, row_in_part : ndarray, shape (P,)
        Which part, and the phone's row in that part's cache.
    """

    table: pd.DataFrame
    part_of_row: Rows
    row_in_part: Rows


def joint_phone_set(parts: Sequence[CorpusFeatures]) -> str | None:
    """Name the phone set of all parts together; None if a part has no phones."""
    names = {part.phone_set for part in parts}
    if None in names:
        return None
    return str(names.pop()) if len(names) == 1 else CLASSES


def classes_sha256(corpus: CorpusFeatures) -> str | None:
    """Hash what a corpus's phone set says: the file of a user's own may change under its name."""
    if corpus.phone_set is None:
        return None
    classes = {kind: dict(table) for kind, table in load_phone_set(corpus.phone_set).classes.items()}
    return hashlib.sha256(json.dumps(classes, sort_keys=True).encode()).hexdigest()


def join_phones(
    parts: Sequence[CorpusFeatures], part_of_row: Rows, row_in_part: Rows, phone_set: str | None
) -> JoinedPhones:
    """Collect the phones of every joined utterance.

    Parameters
    ----------
    part_of_row, row_in_part : ndarray, shape (R,)
        Of every joined row: which part, and the utterance's row in that part's cache.
    phone_set : str, optional
        The `joint_phone_set`.
    """
    if phone_set is None:
        none = np.empty(0, dtype=np.int64)
        return JoinedPhones(pd.DataFrame(columns=[*_COLUMNS, "row"]), none, none)
    middle = ["middle_frames"] if all(part.cache.has_middle for part in parts) else []
    tables, which, rows = [], [], []
    for number, part in enumerate(parts):
        own = part.phones.sort_values("row", kind="stable")
        here = np.flatnonzero(part_of_row == number)
        utterance, phone = _owned(own["row"].to_numpy(dtype=np.int64), row_in_part[here])
        named = own[[*_COLUMNS, *middle]].assign(phone=_labels(part, phone_set, own))
        tables.append(named.iloc[phone].assign(row=here[utterance]))
        which.append(np.full(len(phone), number, dtype=np.int64))
        rows.append(own.index.to_numpy(dtype=np.int64)[phone])
    return JoinedPhones(pd.concat(tables, ignore_index=True), np.concatenate(which), np.concatenate(rows))


def _labels(part: CorpusFeatures, phone_set: str, phones: pd.DataFrame) -> list[str]:
    """Labels of a part's phones in the joined phone set."""
    labels: list[str] = phones["phone"].tolist()
    if phone_set == part.phone_set:
        return labels
    own = load_phone_set(str(part.phone_set))
    vowels, unknown = map_classes(phones, own, "vowel")
    consonants, _ = map_classes(phones, own, "consonant")
    named = zip(labels, vowels["vowel"].tolist(), consonants["consonant"].tolist(), strict=True)
    return [f"?{label}" if label in unknown else vowel or consonant for label, vowel, consonant in named]


def _owned(owners: Rows, rows: Rows) -> tuple[Rows, Rows]:
    """Find what each row owns, in the rows' order.

    Parameters
    ----------
    owners : ndarray, shape (P,), ascending
    rows : ndarray, shape (n,)
        May repeat.

    Returns
    -------
    place, owned : ndarray, shape (m,)
        Position in ``rows``, and in ``owners``.

    >>> place, owned = _owned(np.array([3, 3, 5]), np.array([5, 3, 4, 3]))
    >>> place.tolist(), owned.tolist()
    ([0, 1, 1, 3, 3], [2, 0, 1, 0, 1])
    """
    starts, stops = (np.searchsorted(owners, rows, side=side) for side in ("left", "right"))
    counts = stops - starts
    place = np.repeat(np.arange(len(rows)), counts)
    within = np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts, counts)
    return place, starts[place] + within

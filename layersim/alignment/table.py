"""Phone times in a plain table: one row per segment, columns named in one of the usual ways."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pandas as pd

from layersim.errors import LayersimError, summarise_faults

# The first name that a table has is taken; compared without case.
NAMES = {
    "utterance_id": ("utterance_id", "utterance", "utt_id", "utt", "file", "filename", "file_id", "name"),
    "start": ("start", "begin", "xmin", "start_time", "onset", "tmin"),
    "end": ("end", "xmax", "end_time", "offset", "stop", "tmax"),
    "phone": ("phone", "phoneme", "label", "segment", "text", "phones"),
}


def read_table(file: Path, with_utterance: bool = True) -> tuple[pd.DataFrame, list[str]]:
    """Read a csv or tsv table of phones.

    Of a table with a column ``type`` (as MFA's csv) only the rows of type ``phones`` are taken.

    Returns
    -------
    table : DataFrame
        Columns ``utterance_id`` (if asked for), ``start``, ``end`` (float seconds), ``phone``.
    notes : list of str

    Raises
    ------
    LayersimError
        If a column is missing, or times are no numbers (all such rows are looked at).
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        first = text.partition("\n")[0]
        separator = "\t" if first.count("\t") > first.count(",") else ","
        table = pd.read_csv(StringIO(text), sep=separator, dtype=str, keep_default_na=False, na_filter=False)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise LayersimError(f"{file}: cannot be read as a table: {error}.") from None
    theirs = {str(name).strip().casefold(): name for name in table.columns}
    chosen = {}
    for column, names in NAMES.items():
        if column == "utterance_id" and not with_utterance:
            continue
        found = next((theirs[name] for name in names if name in theirs), None)
        if found is None:
            raise LayersimError(
                f"{file}: no column for {column}; has {', '.join(map(str, table.columns))}. "
                f"Name it one of {', '.join(names)}."
            )
        chosen[column] = found
    notes = []
    rows = pd.Series(True, index=table.index)
    if "type" in theirs:
        rows = table[theirs["type"]].str.strip().str.casefold().isin(["phones", "phone"])
        notes.append(f"{int((~rows).sum())} rows of other types than phones left out")
    taken = pd.DataFrame({column: table.loc[rows, name] for column, name in chosen.items()})
    faults = []
    for column in ("start", "end"):
        numbers = pd.to_numeric(taken[column], errors="coerce")
        for row in taken.index[numbers.isna()]:
            faults.append(f"row {row + 2}: {column} {taken.loc[row, column]!r} is no time in seconds")
        taken[column] = numbers.astype(float)
    if faults:
        raise LayersimError(summarise_faults(f"{file}: {len(faults)} bad times", faults))
    return taken.reset_index(drop=True), notes

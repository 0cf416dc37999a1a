"""Reading JSON and TOML that somebody may have spoilt: what comes back can be worked with, or is refused.

A *form* says what a document must have, no more: the entries of a mapping by their names, ``[form]`` for a
list of such, ``{...: form}`` for a mapping with any names, a tuple for one of several forms (with ``...``
among them the entry may be missing), None, and the types `str`, `bool`, `int`, `float` (any finite number),
`dict`, `list` and `object` (anything).
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomlkit import parse
from tomlkit.exceptions import TOMLKitError

from layersim.errors import LayersimError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    import pandas as pd

_DEEPEST = 100  # brackets in brackets: our own documents have six, and Python gives up at about a thousand
_LARGEST = 1e300  # of whole numbers, which may be beyond any float


def parse_json(text: str | bytes, where: str) -> Any:
    """Read JSON: no NaN, no endless numbers, no half characters, not nested without end.

    Parameters
    ----------
    where : str
        Named in errors.

    Raises
    ------
    LayersimError
        If it is no JSON, or not such.

    >>> parse_json('{"layers": ["1"]}', "run.json")
    {'layers': ['1']}
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LayersimError(f"{where}: cannot be read as JSON: {error}.") from None
    if fault := _fault(document):
        raise LayersimError(f"{where}: cannot be used as JSON: it has {fault}.")
    return document


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object.

    Raises
    ------
    LayersimError
        If the file is missing or is not a JSON object.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LayersimError(f"{path}: cannot be read as JSON: {error}.") from None
    document = parse_json(text, str(path))
    if not isinstance(document, dict):
        raise LayersimError(f"{path}: expected a JSON object, found {type(document).__name__}.")
    return document


def read_toml(file: Path | Traversable, what: str = "") -> dict[str, Any]:
    """Read a TOML file (UTF-8, with or without a byte-order mark); ``what`` it is stands in errors.

    Raises
    ------
    LayersimError
        If it cannot be read, or is no TOML.
    """
    try:
        document: dict[str, Any] = parse(file.read_text(encoding="utf-8-sig")).unwrap()
    except (OSError, ValueError, RecursionError, TOMLKitError) as error:
        raise LayersimError(f"{file}: {what and f'{what} '}cannot be read as TOML: {error}.") from None
    return document


def read_frame(file: Path | Traversable, text: Sequence[str], advice: str) -> pd.DataFrame:
    """Read a CSV table that layersim wrote; empty cells are empty texts.

    Parameters
    ----------
    text : sequence of str
        Columns that it must have, and that are text whatever they look like.
    advice : str
        What to do, the end of the message.

    Raises
    ------
    LayersimError
        If it cannot be read, a row is longer or shorter than the header, or a column is missing.
    """
    import pandas as pd

    try:
        content = file.read_bytes().decode("utf-8")
        rows = [len(row) for row in csv.reader(StringIO(content, newline="")) if row]
        if set(rows) - set(rows[:1]):  # pandas would make an index of the cells that are too many
            raise ValueError("its rows are not of one length")
        dtype = dict.fromkeys(text, str)
        table = pd.read_csv(StringIO(content, newline=""), dtype=dtype, keep_default_na=False)
    except (OSError, ValueError, csv.Error, pd.errors.ParserError) as error:
        raise LayersimError(f"{file}: cannot be read: {error}. {advice}") from None
    if missing := [column for column in text if column not in table]:
        raise LayersimError(f"{file}: no column {', '.join(missing)}. {advice}")
    return table


def require_form(document: Any, form: Any, where: str, advice: str) -> None:
    """Refuse a document that lacks what is needed of it.

    Parameters
    ----------
    form
        See the module.
    where, advice : str
        What the message begins with, the file, and ends with, what to do.

    Raises
    ------
    LayersimError
        Naming the first entry that is missing or otherwise.

    >>> require_form({"layers": ["1", 2]}, {"layers": [str]}, "ranking.json", "Rank again.")
    Traceback (most recent call last):
    layersim.errors.LayersimError: ranking.json: layers[1] is 2, not text. Rank again.
    """
    if fault := _misfit(document, form, ""):
        raise LayersimError(f"{where}: {fault}. {advice}")


def _fault(document: Any) -> str | None:
    """Say what in a document other code would break on."""
    waiting = [(document, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > _DEEPEST:
            return f"brackets in brackets, more than {_DEEPEST} deep"
        if isinstance(value, dict):
            waiting += [(inner, depth + 1) for pair in value.items() for inner in pair]
        elif isinstance(value, list):
            waiting += [(inner, depth + 1) for inner in value]
        elif isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                return f"the text {value[:40]!r}, which is half a character"
        elif isinstance(value, float) and not math.isfinite(value):
            return f"the number {value}"
        elif isinstance(value, int) and abs(value) > _LARGEST:
            return "a number of more than 300 digits"
    return None


_NAMES: dict[Any, str] = {
    str: "text", bool: "true or false", int: "a whole number", float: "a number", dict: "a table",
    list: "a list", None: "nothing",
}  # fmt: skip


def _misfit(value: Any, form: Any, name: str) -> str | None:
    """Say where a value is not of its form."""
    if isinstance(form, tuple):
        faults = [_misfit(value, one, name) for one in form if one is not ...]
        return None if None in faults else faults[0]
    kind = type(form) if isinstance(form, (dict, list)) else form
    if not _is(value, kind):
        return f"{name or 'it'} is {_short(value)}, not {_NAMES[kind]}"
    inner: list[tuple[Any, Any, str]] = []
    if isinstance(form, list):
        inner = [(one, form[0], f"{name}[{place}]") for place, one in enumerate(value)]
    elif isinstance(form, dict):
        for key, wanted in form.items():
            dotted = f"{name}." if name else ""
            if key is ...:
                inner += [(one, wanted, f"{dotted}{other}") for other, one in value.items()]
            elif key in value:
                inner.append((value[key], wanted, f"{dotted}{key}"))
            elif not (isinstance(wanted, tuple) and ... in wanted):
                return f"{dotted}{key} is missing"
    return next((fault for one in inner if (fault := _misfit(*one))), None)


def _is(value: Any, kind: Any) -> bool:
    if kind is None:
        return value is None
    if isinstance(value, bool):
        return kind in (bool, object)
    return isinstance(value, (int, float) if kind is float else kind)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."

"""Strategies that spoil a real file: bytes, numbers, words, encodings, JSON values.

Each takes one or several whole files and gives the bytes of a spoilt one.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

NUMBERS = (
    b"", b"0", b"-0.0", b"-1", b"0.5", b"1e400", b"-1e400", b"1e308", b"1e-320", b"nan", b"inf",
    b"-Infinity", b"1000000000000", b"9223372036854775808", b"1" * 400, b"9" * 5000, b"1e", b"0x10", b"1_0",
    b"1,5", "\u0663\u0661".encode(), "\u00b2".encode(), b"007", b"true", b"2020-13-45",
    b"1970-01-01T25:61:61Z",
)  # fmt: skip
WORDS = (
    b"", b" ", b"a" * 300, b"x" * 200_000, b"\0", b"a\0b", "\u0301".encode() * 300, b"..",
    b"../../etc/passwd", b"/etc/passwd", b"/", b"~", b"~nobody-at-all/x", b"phones", b"words", b"train",
    b"all", b"null", b"[]", b"{}", b'"', b'""', b"'''", b"\\", b"\\ud800", b"\\u0000", b"%s", b"#", b";;;",
    b"\xed\xa0\x80", b"\xff", b"\r", b"\xe2\x80\xa8", b"=", b"[[", b"[a.b]", b"a.b.c = 1",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 10**400, 10**12, float("nan"), float("inf"), "", "a", "\0", "\ud800",
    "x" * 300, "/etc/passwd", [], [[]], [None], [1, "a"], ["1", "1"], {}, {"": {}}, {"layer": 1},
    [{"name": 1}],
)  # fmt: skip
_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(rb'[^\s,;:="\[\]{}]+')

Draw = Callable[[st.SearchStrategy[Any]], Any]


def nested(count: int = 100_000) -> list[bytes]:
    """What readers by recursive descent break their neck on."""
    return [
        b"[" * count,
        b"[" * count + b"]" * count,
        b'{"a":' * count,
        b'{"tiers":' + b"[" * count,
        b"a = " + b"[" * count,
        b"a = " + b"{b=" * count,
        b".".join([b"a"] * count) + b" = 1",
        b"[" + b".".join([b"a"] * count) + b"]",
    ]


def whole_files(data: bytes) -> Iterator[bytes]:
    """One-off ways in which a file is wrong as a whole, the same for every kind of text file."""
    text = data.decode("utf-8", errors="replace")
    yield from (
        b"",
        b"\n",
        b"\0",
        b"\0" * 4096,
        b"\xff" * 4096,
        codecs.BOM_UTF8,
        codecs.BOM_UTF16_LE,
        b"\xff\xfe\0",
    )
    yield from (
        text.encode("utf-16"),
        text.encode("utf-16-le"),
        text.encode("utf-16-be"),
        text.encode("utf-32"),
    )
    yield codecs.BOM_UTF16_BE + text.encode("utf-16-be")
    yield text.encode("latin-1", errors="replace").replace(b"?", b"\xe4")
    yield codecs.BOM_UTF8 * 2 + data
    for end in (b"\r", b"\r\n", b"\n\n", b"\x0b", b"\x85", b"\0", b""):
        yield data.replace(b"\n", end)
    yield from (data * 2, data + b"\0", data[: len(data) // 2], data[:-1], data.upper(), data.swapcase())
    yield from (data + b'"', b'"' + data, data.replace(b'"', b""), data.replace(b'"', b'""'))
    for filler in (
        b"a",
        b'"',
        b",",
        b"1",
        b"0",
        b"(",
        b" ",
        b"[",
        b"0.",
        "\u00b9".encode(),
        "\u0301\u0323".encode(),
    ):
        long = filler * (
            130_000 // len(filler.decode())
        )  # below the csv module's limit of 131,072 characters
        yield from (data + long, data.replace(b"0", long + b"x"), data.replace(b"a", b"a" + long + b"x", 1))
    yield data.replace(b"size = ", b"size = 1000000000000 ")
    yield from nested()


TOML_VALUES = (
    "5", "-1", "1e400", "nan", "9" * 400, "true", "[]", "{}", "[{}]", '["a", 1]', "[[]]", '""', '"."',
    '".."', '"/"', '"~nobody-at-all/x"', '"\\u0000"', '"a\\u0000b"', f'"{"y" * 5000}"', f'"{"y/" * 5000}"',
    '"/etc/passwd"', "1979-05-27T07:32:00Z", "07:32:00", "{a.b = 1}", '"""\na"""', '"x" # y',
)  # fmt: skip


def toml_values(data: bytes) -> Iterator[bytes]:
    """Every value of a TOML file, one at a time, replaced by every odd one; and every name."""
    text = data.decode()
    for one in re.finditer(r"(?m)(?<== ).+$", text):
        yield from ((text[: one.start()] + value + text[one.end() :]).encode() for value in TOML_VALUES)
    for one in re.finditer(r'(?m)^[\w."-]+(?= =)|(?<=\[)[\w."-]+(?=\]$)', text):
        yield from (
            (text[: one.start()] + name + text[one.end() :]).encode()
            for name in (
                '""',
                '".."',
                '"a/b"',
                '"\\u0000"',
                "y" * 3000,
                "a.b.c",
                "corpora",
                "corpora.a",
                "train.x.y",
            )
        )


def mutated(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Some operations on one of the files; the others are there to be spliced in."""
    return st.composite(_mutate)(tuple(seeds))


def _mutate(draw: Draw, seeds: tuple[bytes, ...]) -> bytes:
    data = bytes(draw(st.sampled_from(seeds)))
    for operation in draw(st.lists(st.sampled_from(_OPERATIONS), min_size=1, max_size=4)):
        data = operation(draw, data, seeds)
    return data


def _place(draw: Draw, data: bytes) -> int:
    return int(draw(st.integers(0, len(data))))


def _slice(draw: Draw, data: bytes) -> slice:
    start = _place(draw, data)
    return slice(start, start + draw(st.integers(1, 64)))


def _flip(draw: Draw, data: bytes, seeds: Sequence[bytes]) -> bytes:
    if not data:
        return b"\x80"
    place = draw(st.integers(0, len(data) - 1))
    return data[:place] + bytes([data[place] ^ 1 << draw(st.integers(0, 7))]) + data[place + 1 :]


def _overwrite(draw: Draw, data: bytes, seeds: Sequence[bytes]) -> bytes:
    new = draw(
        st.binary(min_size=1, max_size=8) | st.sampled_from([b"\0" * 8, b"\xff" * 8, b"\xff\xff\xff\x7f"])
    )
    place = _place(draw, data)
    return data[:place] + new + data[place + len(new) :]


def _insert(draw: Draw, data: bytes, seeds: Sequence[bytes]) -> bytes:
    place = _place(draw, data)
    return data[:place] + draw(st.sampled_from(WORDS + NUMBERS) | st.binary(max_size=8)) + data[place:]


def _delete(draw: Draw, data: bytes, seeds: Sequence[bytes]) -> bytes:
    cut = _slice(draw, data)
    return data[: cut.start] + data[cut.stop :]


def _duplicate(draw: Draw, data: bytes, seeds: Sequence[bytes]) -> bytes:
    cut = _slice(draw, data)
    return data[: cut.stop] + data[cut] * draw(st.integers(1, 20)) + data[cut.stop :]


def _truncate(draw: Draw, data: bytes, seeds: Sequence[bytes]) -> bytes:
    return data[: _place(draw, data)]


def _splice(draw: Draw, data: bytes, seeds: Sequence[bytes]) -> bytes:
    other = bytes(draw(st.sampled_from(seeds)))
    return data[: _place(draw, data)] + other[_place(draw, other) :]


def _lines(draw: Draw, data: bytes, seeds: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    first, second = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    what = draw(st.sampled_from(["swap", "repeat", "remove"]))
    if what == "swap":
        lines[first], lines[second] = lines[second], lines[first]
    elif what == "repeat":
        lines.insert(second, lines[first])
    else:
        del lines[first]
    return b"\n".join(lines)


def _replaced(draw: Draw, data: bytes, pattern: re.Pattern[bytes], new: Sequence[bytes]) -> bytes:
    found = list(pattern.finditer(data))
    if not found:
        return data
    one = found[draw(st.integers(0, len(found) - 1))]
    return data[: one.start()] + draw(st.sampled_from(new)) + data[one.end() :]


def _number(draw: Draw, data: bytes, seeds: Sequence[bytes]) -> bytes:
    return _replaced(draw, data, _NUMBER, NUMBERS)


def _word(draw: Draw, data: bytes, seeds: Sequence[bytes]) -> bytes:
    return _replaced(draw, data, _WORD, WORDS + NUMBERS)


_BYTE_OPERATIONS = (_flip, _overwrite, _insert, _delete, _duplicate, _truncate, _splice)
_OPERATIONS = (*_BYTE_OPERATIONS, _lines, _number, _number, _word, _word)


def mutated_bytes(seeds: Sequence[bytes], operations: int = 3) -> st.SearchStrategy[bytes]:
    """Operations on bytes alone: for binary files, most of whose bytes stay in their place."""

    def mutate(draw: Draw) -> bytes:
        data = bytes(draw(st.sampled_from(list(seeds))))
        kinds = st.sampled_from((_flip, _overwrite, _flip, _overwrite, _truncate, _delete, _splice))
        for operation in draw(st.lists(kinds, min_size=1, max_size=operations)):
            data = operation(draw, data, seeds)
        return data

    return st.composite(mutate)()


def mutated_json(document: Any) -> st.SearchStrategy[bytes]:
    """Replace, remove or add values anywhere in a JSON document that stays JSON."""
    places = list(_places(document))

    def mutate(draw: Draw) -> bytes:
        changed = json.loads(json.dumps(document))
        for _ in range(draw(st.integers(1, 3))):
            *path, last = draw(st.sampled_from(places))
            inner = changed
            try:
                for step in path:
                    inner = inner[step]
                if draw(st.booleans()):
                    inner[last] = draw(st.sampled_from(VALUES))
                else:
                    del inner[last]
            except (KeyError, IndexError, TypeError):  # gone by an earlier change
                continue
        return json.dumps(changed).encode()

    return st.composite(mutate)()


def _places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    entries = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in entries:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from _places(value, (*path, key))

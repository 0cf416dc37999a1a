"""Spoilt HDF5 shards: bytes, and whole files that claim what is not so or lead elsewhere.

libhdf5 is C: that it does not crash on bytes that it never wrote is seen here too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from layersim.features.shard_writer import ShardWriter
from layersim.features.shards import MiddleRows, PhoneRows, ShardRows, part_file
from mutations import mutated_bytes, mutated_json
from spoiling import _given, refuse_faults
from spoilt_reading import ReaderProcess

PROVENANCE = {
    "cache_version": 1,
    "layers": ["0", "1", "2"],
    "frame_layers": ["0", "1"],
    "width": 4,
    "middle": True,
    "phone_set": "arpabet",
    "selection": "all",
    "store": "frames",
    "manifest_sha256": "ab" * 32,
    "encoder": {"checkpoint": "small", "weights_sha256": "0" * 64},
}
UTTERANCES, PHONES = 70, 9
# Of 1,290 files with up to eight spoilt bytes of metadata, libhdf5 2.0.0 hung on two and crashed on one.
FAILURES = 3
ROWS = 10**12  # which no memory has


def shard(folder: Path, provenance: dict[str, object] = PROVENANCE) -> Path:
    rng = np.random.default_rng(0)
    keys = [f"corpus/ü{number}" for number in range(UTTERANCES)]
    middle = MiddleRows(np.arange(PHONES), np.ones((PHONES, 2, 4), dtype=np.float32))
    phones = PhoneRows(
        keys[:PHONES],
        ["ɔ"] * PHONES,
        np.arange(PHONES) / 10,
        np.arange(PHONES) / 10 + 0.05,
        np.arange(PHONES),
        rng.standard_normal((PHONES, 2, 4)).astype(np.float32),
        middle,
    )
    mean, std = rng.standard_normal((2, UTTERANCES, 3, 4)).astype(np.float32)
    counts = np.full(UTTERANCES, 2)
    with ShardWriter(folder, 0, 1, provenance) as writer:
        writer.reserve_frames(counts.tolist(), 2, 4)
        for row in range(UTTERANCES):
            writer.write_frames(row, np.ones((2, 2, 4), dtype=np.float16))
        writer.finish(ShardRows(keys, counts * 500, counts, mean, std, phones))
    return part_file(folder, 0)


def test_a_shard_with_spoilt_bytes_is_read_or_refused(process: ReaderProcess, tmp_path: Path) -> None:
    good = shard(tmp_path).read_bytes()
    cut = [good[:size] for size in (0, 1, 7, 8, 95, 512, 2048, len(good) // 2, len(good) - 1)]
    answers = refuse_faults(
        process, "cache", [good], cut, mutated_bytes([good]), examples=150, library_failures=FAILURES
    )
    assert {"read", "refu"} <= {answer[:4] for answer in answers}


def test_any_byte_of_the_metadata_may_be_wrong(process: ReaderProcess, tmp_path: Path) -> None:
    """The values aside, bytes at a fixed distance are turned round or set to their largest value."""
    good = shard(tmp_path).read_bytes()
    with h5py.File(tmp_path / "part-00000.h5") as file:
        first = file["utterance/mean"].id.get_chunk_info(0).byte_offset
    places = [place for place in range(0, len(good), 401) if not first <= place < first + 64 * 4 * 4]
    spoilt = (
        good[:place] + bytes([change(good[place])]) + good[place + 1 :]
        for number, place in enumerate(places)
        for change in ((lambda byte: byte ^ 0xFF), (lambda _: 0xFF))[number % 2 :][:1]
    )
    refuse_faults(process, "cache", [good], spoilt, None, library_failures=FAILURES)


def test_spoilt_provenance_is_read_or_refused(process: ReaderProcess, tmp_path: Path) -> None:
    good = shard(tmp_path / "good")
    refuse_faults(process, "cache", [good.read_bytes()], [], None)
    spoilt = tmp_path / "spoilt.h5"

    def check(text: bytes) -> None:
        document = json.loads(text)
        spoilt.write_bytes(good.read_bytes())
        with h5py.File(spoilt, "r+") as file:
            for name in list(file.attrs):
                if name not in document:
                    del file.attrs[name]
                elif document[name] != PROVENANCE[name]:
                    del file.attrs[name]
                    file.attrs[name] = json.dumps(document[name])
        answer = process.read("cache", spoilt)
        assert not answer.startswith("fault"), f"{answer}\n{text!r}"

    _given(mutated_json(PROVENANCE), check, 100)


def replace(name: str, **made: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        values = file[name][()]
        del file[name]
        file.create_dataset(name, **{**({} if "shape" in made else {"data": values}), **made})

    return change


def link(name: str, made: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = made

    return change


def external(file: h5py.File) -> None:
    del file["utterance/mean"]
    file.create_dataset(
        "utterance/mean", (UTTERANCES, 3, 4), "<f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
    )


def virtual(file: h5py.File) -> None:
    del file["utterance/mean"]
    layout = h5py.VirtualLayout((UTTERANCES, 3, 4), "<f4")
    layout[:] = h5py.VirtualSource("other.h5", "utterance/mean", (UTTERANCES, 3, 4))
    file.create_virtual_dataset("utterance/mean", layout)


def own_cycle(file: h5py.File) -> None:
    del file["phone"]
    file["phone"] = file["/"]
    file["utterance/utterance"] = file["utterance"]


def attribute(name: str, value: object, group: str = "/") -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        if name in file[group].attrs:
            del file[group].attrs[name]
        file[group].attrs[name] = value

    return change


def offsets(values: list[int]) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        found = file["frame_offsets"][:]
        found[: len(values)] = values
        file["frame_offsets"][...] = found

    return change


def not_utf8(file: h5py.File) -> None:
    table = file["utterance/table"][:]
    raw = table.view("u1").reshape(len(table), -1)
    raw[0, :3] = 0xFF
    file["utterance/table"][...] = table


CLAIMS: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "no products": (lambda file: file.pop("utterance/mean"), "utterance/mean is missing"),
    "no table": (lambda file: file.pop("utterance/table"), "not a layersim cache"),
    "no phones' mean": (lambda file: file.pop("phone/mean"), "phone/mean is missing"),
    "a group for a dataset": (
        lambda file: (file.pop("utterance/mean"), file.create_group("utterance/mean")),
        "is no dataset",
    ),
    "a dataset for a group": (
        lambda file: (file.pop("utterance"), file.create_dataset("utterance", data=1)),
        "is no group",
    ),
    "other shape": (replace("utterance/mean", shape=(UTTERANCES, 12), dtype="<f4"), "has the shape"),
    "no shape": (replace("utterance/mean", data=h5py.Empty("<f4")), "has the shape None"),
    "scalar table": (replace("utterance/table", data=1.0), "has the shape"),
    "table of other columns": (
        replace("utterance/table", data=np.zeros(UTTERANCES)),
        "no column 'utterance'",
    ),
    "doubles": (replace("utterance/mean", dtype="<f8"), "type float64"),
    "texts": (
        replace("utterance/mean", shape=(UTTERANCES, 3, 4), dtype=h5py.string_dtype()),
        "values of the type object",
    ),
    "a million million rows, never written": (
        replace(
            "utterance/table",
            shape=(ROWS,),
            chunks=(64,),
            dtype=[("utterance", "S9"), ("samples", "<i8"), ("frames", "<i8")],
        ),
        "claims",
    ),
    "rows never written": (
        replace("utterance/mean", shape=(UTTERANCES, 3, 4), chunks=(64, 1, 4), dtype="<f4"),
        "claims",
    ),
    "a bomb of zeros": (
        replace("utterance/mean", data=np.zeros((UTTERANCES, 3, 4), "<f4"), compression="gzip"),
        "compressed",
    ),
    "a link to another file": (
        link("utterance/mean", h5py.ExternalLink("/etc/passwd", "/utterance/mean")),
        "link to elsewhere",
    ),
    "a group in another file": (link("phone", h5py.ExternalLink("other.h5", "/phone")), "link to elsewhere"),
    "a table in another file": (
        link("utterance/table", h5py.ExternalLink("other.h5", "/utterance/table")),
        "link to elsewhere",
    ),
    "a link within": (link("utterance/std", h5py.SoftLink("/utterance/mean")), "link to elsewhere"),
    "a link to itself": (link("utterance/std", h5py.SoftLink("/utterance/std")), "link to elsewhere"),
    "values in another file": (external, "in other files"),
    "virtual": (virtual, "in other files"),
    "a group in itself": (own_cycle, "is damaged"),
    "provenance that is a number": (attribute("width", 4), "'width' is no text"),
    "provenance that is a list of texts": (attribute("width", ["4", "5"]), "'width' is no text"),
    "provenance that is no JSON": (attribute("width", "{"), "attribute 'width': cannot be read as JSON"),
    "provenance without end": (attribute("width", "[" * 60_000), "attribute 'width': cannot be read as JSON"),
    "provenance that is no UTF-8": (attribute("width", np.bytes_(b'"\xff"')), "attribute 'width'"),
    "a width beyond all": (attribute("width", str(ROWS)), "has the shape"),
    "a negative width": (attribute("width", "-4"), "has the shape"),
    "a selection spelt otherwise": (attribute("selection", '"alm"'), "selection is 'alm', not 'all'"),
    "a selection of nobody": (attribute("selection", "[1]"), "selection is"),
    "a million million shards": (attribute("shards", ROWS, "utterance"), "1 of 1000000000000 shards"),
    "a negative shard": (attribute("shard", -1, "utterance"), "holds shard -1"),
    "a shard of words": (attribute("shard", "first", "utterance"), "'shard' is no whole number"),
    "frames in disorder": (offsets([0, 10, 3]), "do not ascend"),
    "frames from below": (offsets([-(10**15)]), "do not ascend"),
    "more frames than there are": (
        lambda file: offsets([*range(0, 140, 2), 10**15])(file),
        "frames has the shape",
    ),
    "a key that is no text": (not_utf8, "is damaged"),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_shard_that_claims_what_is_not_so_is_refused(
    name: str, process: ReaderProcess, tmp_path: Path
) -> None:
    file = shard(tmp_path)
    refuse_faults(process, "cache", [file.read_bytes()], [], None)
    change, message = CLAIMS[name]
    (tmp_path / "other.h5").write_bytes(file.read_bytes())
    with h5py.File(file, "r+") as stored:
        change(stored)
    answer = process.read("cache", file)
    assert answer.startswith("refused"), answer
    assert str(file.name) in answer or "shards are there" in answer
    assert message in answer

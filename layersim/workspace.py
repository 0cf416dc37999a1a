"""A study is a folder with a ``layersim.toml`` in it; this module reads it and knows where outputs go.

Conventions
-----------
- A stage's settings (see `layersim.settings`) stand in the table of ``layersim.toml`` that has its name.
- Beside every output stands a ``run.json`` that says how it was made (`layersim.provenance`).
- Paths in ``layersim.toml`` may be absolute or relative to the workspace.

Layout of a workspace::

    layersim.toml
    manifests/CORPUS.csv
    align/CORPUS/phones.csv  words.csv  utterances.csv  emotions.csv  textgrids/SPEAKER/UTTERANCE.TextGrid
    cache/ENCODER/CORPUS/part-00000.h5 ...
    rank/ENCODER/SOURCE-to-TARGET/LEVEL/ranking.json ...
    train/ENCODER/SOURCE-to-TARGET/METHOD/seed-0/model.safetensors ...
    compare/PROTOCOL/ENCODER/SOURCE-to-TARGET/METHOD/seed-0/predictions.csv ...
    tune/ENCODER/SOURCE-to-TARGET/METHOD/best.toml  trials.csv ...
    report/index.html
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import tomlkit
from pydantic import BaseModel, ConfigDict, StrictBool, ValidationError

from layersim.documents import read_json as read_json  # what the stages write is read where it is written
from layersim.documents import read_toml
from layersim.errors import LayersimError
from layersim.settings import FILE_NAME, ConfigT, Settings, refuse_unknown, resolve_settings

Progress = Callable[[str, float, float], None]
"""Called as ``progress(label, done, total)`` while a stage works; the command line draws it."""


def no_progress(label: str, done: float, total: float) -> None:
    """Show nothing: the `Progress` of library use."""


class CorpusEntry(BaseModel):
    """One corpus of a workspace: its manifest, its audio, and its phone times where there are any."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    manifest: Path
    audio_root: Path
    alignments: Path | None = None
    phone_set: str | None = None
    outside_audio_root: StrictBool = False  # whether the manifest's paths may leave audio_root


_NO_PATHS = ("outside_audio_root",)  # entries of a corpus that are neither paths nor names
_NO_NAME = re.compile(r"[/\\\0]|.{200}", re.DOTALL)  # of a folder
_STAGES = ("align", "extract", "rank", "train", "compare", "tune")  # tables of settings
_TOP_KEYS = ("encoder", "source", "target", "corpora", *_STAGES)


@dataclass(frozen=True)
class Workspace:
    """A study's folder and what its ``layersim.toml`` says."""

    root: Path
    encoder: str  # hub id, or an absolute path of a local folder
    source: str | None
    target: str | None
    corpora: dict[str, CorpusEntry]
    tables: dict[str, dict[str, Any]]  # the raw tables of the stages' settings

    @classmethod
    def find(cls, start: Path | None = None) -> Workspace:
        """Read the workspace in ``start`` (default: the current folder) or its nearest parent.

        Raises
        ------
        LayersimError
            If there is none, or its ``layersim.toml`` is wrong.
        """
        folder = (start or Path.cwd()).resolve()
        for candidate in (folder, *folder.parents):
            if (candidate / FILE_NAME).is_file():
                return cls.read(candidate)
        raise LayersimError(
            f"{folder}: no {FILE_NAME} here or above. Make a workspace first: "
            "layersim init DIR --corpus NAME=PATH --corpus NAME=PATH --encoder ENCODER; then cd DIR."
        )

    @classmethod
    def read(cls, root: Path) -> Workspace:
        """Read ``root/layersim.toml``.

        Raises
        ------
        LayersimError
            If the file is not TOML, has unknown keys, or lacks what a study needs.
        """
        file = root / FILE_NAME
        document = read_toml(file)
        refuse_unknown(document, _TOP_KEYS, str(file))
        tables = {name: document.get(name, {}) for name in _STAGES}
        corpora = {}
        for name, entry in _table(document, "corpora", file).items():
            where = f"{file}, table [corpora.{name}]"
            if not isinstance(entry, dict):
                raise LayersimError(f"{file}: [corpora.{name}] must be a table.")
            if name in ("", ".", "..") or _NO_NAME.search(name):
                raise LayersimError(f"{where}: {name!r} cannot name a folder. Rename the corpus.")
            refuse_unknown(entry, CorpusEntry.model_fields, where)
            if no_text := [
                key for key, value in entry.items() if key not in _NO_PATHS and not isinstance(value, str)
            ]:
                raise LayersimError(f"{where}: {no_text[0]} must be a string.")
            paths = {
                key: value if key in _NO_PATHS
                or (key == "phone_set" and not _inside(root, value, where).is_file())
                else (str if key == "phone_set" else Path)(_inside(root, value, where))
                for key, value in entry.items()
            }  # fmt: skip
            try:
                corpora[name] = CorpusEntry.model_validate(paths)
            except ValidationError as error:
                first = error.errors()[0]
                raise LayersimError(f"{where}: {first['loc'][0]}: {first['msg']}.") from None
        for name in tables:
            _table(document, name, file)
        for key in ("encoder", "source", "target"):
            if not isinstance(document.get(key, ""), str):
                raise LayersimError(f"{file}: {key} must be a string.")
        encoder = document.get("encoder", "")
        if encoder and (folder := _inside(root, encoder, f"{file}: encoder")).is_dir():
            encoder = str(folder.resolve())
        workspace = cls(root, encoder, document.get("source"), document.get("target"), corpora, tables)
        for role in ("source", "target"):
            if (name := getattr(workspace, role)) is not None:
                workspace.corpus(name)
        return workspace

    @classmethod
    def create(
        cls, root: Path, encoder: str, corpora: Mapping[str, CorpusEntry], force: bool = False
    ) -> Workspace:
        """Write ``root/layersim.toml`` and read it back; the first two corpora become source and target.

        Paths inside the workspace are written relative to it, others absolute.

        Raises
        ------
        LayersimError
            If the file exists and ``force`` is not set.
        """
        file = root / FILE_NAME
        if file.exists() and not force:
            raise LayersimError(f"{file} exists. Choose another folder, or replace it with --force.")
        names = list(corpora)
        document = tomlkit.document()
        document.add(
            tomlkit.comment(
                "A layersim study. In this folder: layersim align | extract | rank | train | report"
            )
        )
        document.add(
            "encoder",
            tomlkit.item(_relative(root, Path(encoder)) if Path(encoder).is_absolute() else encoder),
        )
        if len(names) > 1:
            document.add(tomlkit.comment("the pair that rank and train take without --source and --target"))
            document.add("source", tomlkit.item(names[0]))
            document.add("target", tomlkit.item(names[1]))
        tables = tomlkit.table(is_super_table=True)
        for name, entry in corpora.items():
            table = tomlkit.table()
            for key, value in entry.model_dump(exclude_defaults=True).items():
                table.add(key, _relative(root, value) if isinstance(value, Path) else value)
            tables.add(name, table)
        document.add("corpora", tables)
        write_text(file, tomlkit.dumps(document))
        return cls.read(root)

    def corpus(self, name: str) -> CorpusEntry:
        """Return the entry of one corpus.

        Raises
        ------
        LayersimError
            If the workspace has no corpus of that name.
        """
        if name not in self.corpora:
            raise LayersimError(
                f"{self.root / FILE_NAME}: no corpus {name!r}. Known: {', '.join(self.corpora) or 'none'}."
            )
        return self.corpora[name]

    def pair(self, source: str | None = None, target: str | None = None) -> tuple[str, str]:
        """Return source and target: as given, else as the file says, else the first two corpora.

        Raises
        ------
        LayersimError
            If the two cannot be told, are the same, or are unknown.
        """
        names = list(self.corpora)
        first = source or self.source or (names[0] if names else None)
        second = target or self.target or (names[1] if len(names) > 1 else None)
        if first is None or second is None:
            raise LayersimError(f"{self.root / FILE_NAME}: two corpora are needed; found {names}.")
        if first == second:
            others = [name for name in names if name != first]
            raise LayersimError(
                f"source and target are both {first!r}. Name two: --source {first} --target "
                f"{others[0] if others else 'NAME'}."
            )
        self.corpus(first), self.corpus(second)
        return first, second

    def settings(self, model: type[ConfigT], flags: Mapping[str, Any] | None = None) -> Settings[ConfigT]:
        """Resolve one stage's settings from flags, this workspace's file and the defaults."""
        return resolve_settings(model, flags, self.tables.get(model.section, {}), str(self.root / FILE_NAME))

    def align_folder(self, corpus: str) -> Path:
        """Where the alignments of one corpus stand."""
        return self.root / "align" / corpus

    def cache_folder(self, corpus: str) -> Path:
        """Where the HDF5 shards of one corpus under this workspace's encoder stand."""
        return self.root / "cache" / encoder_slug(self.encoder) / corpus

    def rank_folder(self, source: str, target: str, level: str) -> Path:
        """Where the ranking of one pair at one level stands."""
        return self.root / "rank" / encoder_slug(self.encoder) / f"{source}-to-{target}" / level

    def train_folder(self, source: str, target: str) -> Path:
        """Where the trained models of one pair stand, one folder per method below it."""
        return self.root / "train" / encoder_slug(self.encoder) / f"{source}-to-{target}"

    def compare_folder(self, protocol: str) -> Path:
        """Where a comparison's units under this workspace's encoder stand, one folder per pair below it."""
        return self.root / "compare" / protocol / encoder_slug(self.encoder)

    def tune_folder(self, source: str, target: str) -> Path:
        """Where the searches for settings of one pair stand, one folder per method below it."""
        return self.root / "tune" / encoder_slug(self.encoder) / f"{source}-to-{target}"

    @property
    def report_folder(self) -> Path:
        """Where the report stands."""
        return self.root / "report"


def _table(document: Mapping[str, Any], name: str, file: Path) -> dict[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise LayersimError(f"{file}: [{name}] must be a table.")
    return cast("dict[str, Any]", table)


def _inside(root: Path, path: str, where: str) -> Path:
    """Return a path that may be relative to the workspace; refuse what no path can be."""
    try:
        inside = Path(os.path.normpath(root / Path(path).expanduser()))
        os.lstat(inside)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (OSError, ValueError, RuntimeError) as error:  # too long; with a NUL; ~ of nobody
        raise LayersimError(f"{where}: {path[:100]!r} cannot be a path: {error}. Mend it.") from None
    return inside


def _relative(root: Path, path: Path) -> str:
    inside = path.resolve().is_relative_to(root.resolve())
    return path.resolve().relative_to(root.resolve()).as_posix() if inside else path.resolve().as_posix()


def encoder_slug(encoder: str) -> str:
    """Name the folder of an encoder: the last folder of a path, or the hub id with ``--`` for ``/``.

    >>> encoder_slug("microsoft/wavlm-base-plus"), encoder_slug("/models/whisper-base/")
    ('microsoft--wavlm-base-plus', 'whisper-base')
    """
    name = Path(encoder).name if Path(encoder).is_absolute() else encoder.replace("/", "--")
    return re.sub(r"[^\w.\-]+", "_", name) or "encoder"


def files_sha256(paths: Iterable[Path]) -> str:
    """Hash the bytes of files, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a temporary name, flushed to disk, then renamed.

    Raises
    ------
    LayersimError
        If it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise LayersimError(
            f"{path}: cannot be written: {error.strerror or error}. What was finished is kept. "
            f"{'Make room' if full else 'Mend that'}, then run the command again."
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a small text file (UTF-8) whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, document: Any) -> None:
    """Write one JSON document (UTF-8, no NaN) whole or not at all."""
    write_text(path, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

"""Reads spoilt files in a process of its own, which may crash, hang or be refused memory.

Run as a script it takes lines ``["reader", "file"]`` and answers each with one line: ``read``,
``refused: ...`` for a LayersimError, or ``fault: ...`` for anything else. A reader's first file is a good
one: what it imports and keeps is there before memory is rationed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

MEMORY = 1 << 29  # bytes that one file may take: the largest here has about a million
SECONDS = 10.0  # that one file may take: the slowest here takes a tenth
READERS: dict[str, Callable[[Path], object]] = {}


class ReaderProcess:
    """A process that reads; started again after a crash. Used as a context."""

    def __enter__(self) -> ReaderProcess:
        self.folder = tempfile.TemporaryDirectory()
        self._process: subprocess.Popen[bytes] | None = None
        self._warm: dict[str, Path] = {}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self.folder.cleanup()

    def warm(self, reader: str, file: Path) -> str:
        """Read a good file first."""
        self._warm[reader] = file
        return self._ask(reader, file)

    def read(self, reader: str, file: Path) -> str:
        """Read a file; returns what became of it."""
        if self._process is None:
            self.warm(reader, self._warm[reader])
        return self._ask(reader, file)

    def _ask(self, reader: str, file: Path) -> str:
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([reader, str(file)]).encode() + b"\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], SECONDS * 6 if not self._asked else SECONDS)[0]:
            self._stop()
            return f"fault: no answer in {SECONDS:g} seconds"
        answer = process.stdout.readline().decode()
        self._asked = True
        if not answer:
            code = process.wait()
            self._stop()
            return f"fault: the process ended with {code} (negative: the signal that ended it)"
        return str(json.loads(answer))

    def _start(self) -> subprocess.Popen[bytes]:
        self._asked = False
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        return self._process

    def _stop(self) -> None:
        if (process := self._process) is not None:
            process.kill()
            process.communicate()
            self._process = None


def _reader(function: Callable[[Path], object]) -> Callable[[Path], object]:
    READERS[function.__name__] = function
    return function


@_reader
def manifest(file: Path) -> object:
    from layersim.corpus.manifest import manifest_sha256, read_manifest
    from layersim.corpus.splits import apply_fold, assign_splits, folds
    from layersim.errors import LayersimError

    table = read_manifest(file)
    for use in (lambda: apply_fold(table, folds("emodb")[0]), lambda: assign_splits(table)):
        with contextlib.suppress(LayersimError):
            use()
    return manifest_sha256(table)


@_reader
def corpus_table(file: Path) -> object:
    from layersim.corpus.folder import AudioFiles
    from layersim.corpus.table import read_table

    return read_table(file, AudioFiles(["flac/03a01Fa.flac", "flac/03a01Nc.flac", "a/b.wav"]), None, "emodb")


@_reader
def corpus_folder(file: Path) -> object:
    """A text of a corpus folder whose audio has names that several layouts know."""
    from layersim.corpus.folder import AudioFiles
    from layersim.corpus.iemocap import read_iemocap
    from layersim.corpus.layouts import Casia, CremaD, Esd, read_named_files
    from layersim.corpus.podcast import read_podcast
    from layersim.errors import LayersimError

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "Transcripts").mkdir()
        (folder / "dialog/EmoEvaluation").mkdir(parents=True)
        (folder / "dialog/transcriptions").mkdir(parents=True)
        places = (
            "0011.txt",
            "VideoDemographics.csv",
            "labels_consensus.csv",
            "Transcripts/a.txt",
            "dialog/EmoEvaluation/a.txt",
            "dialog/transcriptions/a.txt",
        )
        for place in places:
            os.link(file, folder / place)
        audio = AudioFiles(
            [
                "0011/Angry/0011_000351.wav",
                "wangzhe/angry/201.wav",
                "1001_DFA_ANG_XX.wav",
                "Ses01F_impro01_F000.wav",
                "MSP-PODCAST_0001_0008.wav",
            ]
        )
        for read in (
            *(
                lambda layout=layout: read_named_files(layout, folder, audio)
                for layout in (Esd, Casia, CremaD)
            ),
            lambda: read_iemocap(folder, audio),
            lambda: read_podcast(folder, audio, "msp-podcast"),
        ):
            with contextlib.suppress(LayersimError):
                read()
    return None


@_reader
def label_map(file: Path) -> object:
    from layersim.corpus.labels import label_map

    return label_map("emodb", file)


@_reader
def audio(file: Path) -> object:
    from layersim.corpus.audio import audio_samples, read_audio
    from layersim.errors import LayersimError

    with contextlib.suppress(LayersimError):
        audio_samples(file)
    return read_audio(file)


def _phones(file: Path, suffix: str) -> object:
    from layersim.alignment.phone_set import load_phone_set
    from layersim.alignment.readers import read_alignments
    from layersim.alignment.vowels import detect_phone_set

    with tempfile.TemporaryDirectory() as name:
        copy = Path(name, f"u00{suffix}")
        os.link(file, copy)
        found = read_alignments(Path(name) if suffix != ".tsv" else copy, ["u00", "u01", "03a01Fa"])
    labels = found.phones["phone"].tolist()
    detect_phone_set(labels)
    for phone_set in ("arpabet", "mfa-ipa", "pinyin", "classes"):
        for label in labels:
            load_phone_set(phone_set).find(label)
            label.encode("utf-8")
    return found


@_reader
def textgrid(file: Path) -> object:
    return _phones(file, ".TextGrid")


@_reader
def mfa_json(file: Path) -> object:
    return _phones(file, ".json")


@_reader
def mfa_csv(file: Path) -> object:
    return _phones(file, ".csv")


@_reader
def phone_table(file: Path) -> object:
    return _phones(file, ".tsv")


@_reader
def phone_set(file: Path) -> object:
    from layersim.alignment.phone_set import load_phone_set

    return load_phone_set(str(file)).find("AA1")


@_reader
def dictionary(file: Path) -> object:
    from layersim.alignment.montreal.corpus import dictionary_words
    from layersim.alignment.pronunciation.dictionary import read_dictionary

    dictionary_words(file)
    found = read_dictionary(file)
    return found.find("don't"), found.find("always")


@_reader
def mfa_output(file: Path) -> object:
    """What Montreal Forced Aligner writes beside its TextGrids."""
    from layersim.alignment.montreal.output import read_likelihoods, read_unknown_words

    with tempfile.TemporaryDirectory() as name:
        os.link(file, Path(name, "oov_counts_x.txt"))
        read_unknown_words(Path(name))
    return read_likelihoods(file)


@_reader
def transcripts(file: Path) -> object:
    from layersim.alignment.machine_text import _read

    return _read(file)


@_reader
def workspace(file: Path) -> object:
    from layersim.adaptation.settings import TrainConfig
    from layersim.alignment.align import AlignConfig
    from layersim.comparison.settings import CompareConfig, TuneConfig
    from layersim.errors import LayersimError
    from layersim.features.extract import ExtractConfig
    from layersim.similarity.settings import RankConfig
    from layersim.workspace import Workspace

    with tempfile.TemporaryDirectory() as name:
        os.link(file, Path(name, "layersim.toml"))
        found = Workspace.find(Path(name))
    for config in (AlignConfig, ExtractConfig, RankConfig, TrainConfig, CompareConfig, TuneConfig):
        with contextlib.suppress(LayersimError):
            found.settings(config).as_rows()
    source, target = found.pair()
    found.corpus(source).manifest.is_file()
    return (
        found.cache_folder(target),
        found.rank_folder(source, target, "utterance"),
        found.train_folder(source, target),
    )


@_reader
def cache(file: Path) -> object:
    """A cache of one shard, as every later stage reads it."""
    from layersim.corpus.manifest import read_manifest
    from layersim.features.cache import PRODUCTS, FeatureCache
    from layersim.features.dataset import CorpusFeatures
    from layersim.features.resume import is_otherwise, refuse_other_shards

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.link(file, folder / "part-00000.h5")
        is_otherwise(folder, {"width": 4})
        refuse_other_shards(folder, {})
        found = FeatureCache.open(folder)
        read: list[object] = [found.table, found.phones, found.width, found.layers]
        for product in PRODUCTS[: 4 if found.has_middle else 3] if found.phone_set else PRODUCTS[:2]:
            read.append(found.read(product, found.frame_layers[-1]))
        read += list(found.chunks("utterance/mean", found.layers[0]))
        if found.provenance.get("store") == "frames":
            read += [found.frames(key) for key in found.keys[:2]]
        corpus = CorpusFeatures("x", found.table, found, found.phone_set)
        return read, corpus.phones, read_manifest


@_reader
def ranking(file: Path) -> object:
    from layersim.adaptation.anchors import choose_anchors
    from layersim.errors import LayersimError
    from layersim.similarity.write import _remove_earlier

    found: list[object] = []
    for word in ("auto", "best", "worst"):
        with contextlib.suppress(LayersimError):
            found.append(choose_anchors(word, ("0", "1", "2", "3"), lambda _: file).to_json())
    with tempfile.TemporaryDirectory() as name:
        os.link(file, Path(name, "run.json"))
        _remove_earlier(Path(name))
    json.dumps(found, ensure_ascii=False).encode()
    return found


@_reader
def run_json(file: Path) -> object:
    """What later stages read of the run.json of every stage."""
    import pandas as pd

    from layersim.adaptation.anchors import Anchors
    from layersim.adaptation.opening import refuse_stale
    from layersim.alignment.align import AlignConfig
    from layersim.alignment.outputs import find_outputs, is_complete
    from layersim.alignment.result import AlignResult
    from layersim.errors import LayersimError
    from layersim.provenance import run_changes
    from layersim.settings import resolve_settings
    from layersim.workspace import read_json

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.link(file, folder / "run.json")
        for empty in ("phones.csv", "words.csv", "utterances.csv", "emotions.csv"):
            (folder / empty).touch()
        anchors = Anchors("auto", ("1",), "", {"file": str(folder / "ranking.json"), "label_free": False})
        uses: tuple[Callable[[], object], ...] = (
            lambda: run_changes(folder, resolve_settings(AlignConfig), {"a": "b"}),
            lambda: is_complete(folder),
            lambda: find_outputs(folder),
            lambda: refuse_stale(anchors, ()),  # type: ignore[arg-type]
        )
        for use in uses:
            with contextlib.suppress(LayersimError):
                use()
        if (found := find_outputs(folder)) is not None:
            table = pd.DataFrame(
                columns=["utterance_id", "path", "start", "end", "text", "language", "speaker", "emotion"]
            )
            with contextlib.suppress(LayersimError):
                found.refuse_if_stale("a", table)
            return AlignResult.from_json(read_json(folder / "run.json")["results"]).to_table()
    return None


@_reader
def metrics(file: Path) -> object:
    from layersim.adaptation.train import _read_metrics

    with tempfile.TemporaryDirectory() as name:
        os.link(file, Path(name, "metrics.json"))
        return _read_metrics(Path(name))


@_reader
def predictions(file: Path) -> object:
    from layersim.adaptation.run import read_predictions
    from layersim.errors import LayersimError
    from layersim.report.gain import read_runs

    with tempfile.TemporaryDirectory() as name:
        os.link(file, Path(name, "predictions.csv"))
        with contextlib.suppress(LayersimError):
            read_runs([Path(name)])
        return read_predictions(Path(name))


@_reader
def model(file: Path) -> object:
    import torch

    from layersim.adaptation.model_file import load_model

    found = load_model(file)
    shape = (2, len(found.description.layers), found.description.width)
    return found.network(found.statistics.apply(torch.zeros(shape)))


@_reader
def published_figures(file: Path) -> object:
    from layersim.comparison.published import _read_figures

    return _read_figures(file)


def main() -> None:
    """Read what is asked for until there is no more."""
    import resource

    from layersim.errors import LayersimError

    read: set[str] = set()
    out = os.fdopen(os.dup(1), "w")
    sys.stdout = sys.stderr
    for line in sys.stdin:
        name, file = json.loads(line)
        pages = int(Path("/proc/self/statm").read_text().split()[0]) if name in read else None
        if pages is not None:
            limit = pages * resource.getpagesize() + MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error" if name in read else "default")
                READERS[name](Path(file))
            answer = "read"
        except LayersimError as error:
            answer = f"refused: {error}"
            if name not in read:
                answer = f"fault: {answer}"
        except BaseException as error:
            frames = "".join(traceback.format_tb(error.__traceback__)[-3:])
            answer = f"fault: {type(error).__name__}: {str(error)[:300]}\n{frames}"
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        read.add(name)
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()

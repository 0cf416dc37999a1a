"""The speech that is probed: synthetic voices with exact phone times, and corpora of real recordings.

Conventions
-----------
- Waves are mono float32 at 16 kHz.
- ``fold`` numbers disjoint groups of speakers. Probes are tested on whole folds and never train on a speaker
  or (synthetic speech) a sentence that they are tested on.
- ``sentence_fold`` numbers disjoint groups of sentences, for the probe that identifies speakers: it has to
  know the speakers, and must not know the sentence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soxr
from numpy.typing import NDArray

from layersim.alignment.pronunciation.espeak import SAMPLE_RATE as SPEECH_RATE
from layersim.alignment.pronunciation.espeak import Line, synthesise
from layersim.corpus.audio import SAMPLE_RATE, read_audio
from layersim.corpus.importers import import_corpus
from layersim.corpus.splits import apply_fold, folds
from layersim.demo.emotions import EMOTIONS, draw_prosody
from layersim.errors import LayersimError
from mini_probes.sentences import ENGLISH, MANDARIN, TRAINING_SENTENCES

REAL = ("emodb", "ravdess", "casia")
_INNER_FOLDS = 5  # of the synthetic training voices
_SENTENCES_A_VOICE = 4
_SENTENCE_FOLDS = 5  # of a real corpus; RAVDESS has two sentences only


@dataclass(frozen=True)
class Language:
    """One synthetic language: espeak-ng's name of it, its ordinary rate, its voices and sentences."""

    voice: str
    rate: int  # words a minute
    training_voices: tuple[str, ...]
    test_voices: tuple[str, ...]
    sentences: tuple[str, ...]


LANGUAGES = {
    "english": Language(
        voice="en-us",
        rate=175,
        training_voices=("f1", "m1", "belinda", "m3", "Annie", "Michael", "linda", "adam", "Andrea", "ed"),
        test_voices=("anika", "robert", "steph", "Mike", "f5", "m7"),
        sentences=ENGLISH,
    ),
    "mandarin": Language(
        voice="cmn",
        rate=195,
        training_voices=("f2", "m4", "f3", "m5", "aunty", "m8", "Alicia", "david", "f4", "m6"),
        test_voices=("f1", "victor", "steph3", "max", "shelby", "paul"),
        sentences=MANDARIN,
    ),
}


@dataclass(frozen=True)
class ProbeSpeech:
    """Utterances to probe.

    Attributes
    ----------
    name : str
    table : DataFrame
        One utterance a row: ``speaker, emotion, sentence, fold, sentence_fold``.
    test_folds : tuple of int
        Folds to test on; all of them in cross-validation, one where there is a fixed test set.
    waves : sequence of arrays
        In the order of the table; real recordings are read when asked for.
    phones : list of (times, labels), or None
        Per utterance: seconds, shape (P, 2), and P labels.
    folding : str
        How the folds were made, in words.
    identity : str
        Changes whenever the sound does; names cached features.
    """

    name: str
    table: pd.DataFrame
    test_folds: tuple[int, ...]
    waves: Sequence[NDArray[np.float32]]
    phones: list[tuple[NDArray[np.float64], tuple[str, ...]]] | None
    folding: str
    identity: str


def synthetic_speech(name: str, seed: int = 0) -> ProbeSpeech:
    """Speak one language: every voice says four sentences in the demo's four emotions.

    Parameters
    ----------
    name : {"english", "mandarin"}
    seed : int
        Of the prosody.
    """
    language = LANGUAGES[name]
    rng = np.random.default_rng([seed, *name.encode()])
    rows: list[dict[str, Any]] = []
    lines: list[Line] = []
    training = range(TRAINING_SENTENCES)
    test = range(TRAINING_SENTENCES, len(language.sentences))
    for voices, sentences, is_test in (
        (language.training_voices, training, False),
        (language.test_voices, test, True),
    ):
        for number, voice in enumerate(voices):
            turn = [sentences[(2 * number + step) % len(sentences)] for step in range(_SENTENCES_A_VOICE)]
            for sentence in turn:
                for emotion in EMOTIONS:
                    prosody = draw_prosody(emotion, rng)
                    fold = _INNER_FOLDS if is_test else number % _INNER_FOLDS
                    rows.append({"speaker": voice, "emotion": emotion, "sentence": str(sentence),
                                 "fold": fold, "sentence_fold": sentence % 2})  # fmt: skip
                    lines.append(
                        Line(
                            text=language.sentences[sentence],
                            voice=f"{language.voice}+{voice}",
                            rate=round(language.rate * prosody.rate),
                            pitch=round(prosody.pitch),
                            pitch_range=round(prosody.pitch_range),
                            volume=round(prosody.volume),
                        )
                    )
    waves, phones = [], []
    digest = hashlib.sha256()
    for speech in synthesise(lines):
        digest.update(speech.wave.tobytes())
        wave = (speech.wave / 32768).astype(np.float32)
        waves.append(soxr.resample(wave, SPEECH_RATE, SAMPLE_RATE, quality="VHQ").astype(np.float32))
        times = np.array([[phone.start, phone.end] for phone in speech.phones]).reshape(-1, 2)
        phones.append((times, tuple(phone.label for phone in speech.phones)))
    folding = (
        f"test: {len(language.test_voices)} voices and {len(test)} sentences that the "
        f"{len(language.training_voices)} voices and {len(training)} sentences of training do not have; "
        f"inner folds: {_INNER_FOLDS} groups of training voices"
    )
    table = pd.DataFrame(rows)
    return ProbeSpeech(name, table, (_INNER_FOLDS,), waves, phones, folding, digest.hexdigest())


class Recordings(Sequence[NDArray[np.float32]]):
    """Audio files, each read when it is asked for."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, place: Any) -> Any:
        return read_audio(self._files[place])


def real_speech(name: str, folder: Path) -> ProbeSpeech:
    """Read a corpus, those utterances that are in the four emotions, with speaker-independent folds.

    The folds are the corpus's published ones where they are known, else one a speaker where there are fewer
    than ten, else five of whole speakers.
    """
    corpus = import_corpus(name, folder)
    manifest = corpus.manifest[corpus.manifest["emotion"].isin(list(EMOTIONS))].reset_index(drop=True)
    fold, folding = _folds(name, manifest)
    sentences = manifest["text"].astype(str).tolist()
    order = {sentence: place for place, sentence in enumerate(sorted(set(sentences)))}
    sentence_folds = min(_SENTENCE_FOLDS, len(order))
    table = pd.DataFrame(
        {
            "speaker": manifest["speaker"].astype(str).tolist(),
            "emotion": manifest["emotion"].astype(str).tolist(),
            "sentence": sentences,
            "fold": fold,
            "sentence_fold": [order[sentence] % sentence_folds for sentence in sentences],
        }
    )
    files = [corpus.audio_root / path for path in manifest["path"].tolist()]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name} {file.stat().st_size}\n".encode())
    test_folds = tuple(sorted(set(fold)))
    return ProbeSpeech(name, table, test_folds, Recordings(files), None, folding, digest.hexdigest())


def _folds(name: str, manifest: pd.DataFrame) -> tuple[list[int], str]:
    """Number the fold in which each utterance is tested."""
    speakers = manifest["speaker"].astype(str)
    try:
        published = folds(name)
    except LayersimError:
        published = []
    fold = np.full(len(manifest), -1)
    for number, one in enumerate(published):
        fold[(apply_fold(manifest, one)["split"] == "test").to_numpy()] = number
    if published and (fold >= 0).all():
        return fold.tolist(), f"{len(published)} speaker-independent folds, as published"
    names = sorted(set(speakers))
    if len(names) < 10:
        return [names.index(s) for s in speakers], f"one speaker left out at a time ({len(names)} speakers)"
    return [names.index(s) % 5 for s in speakers], "5 folds of whole speakers"

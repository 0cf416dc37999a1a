"""Two small synthetic corpora, English and Mandarin: audio, manifests, and phone times that are exact.

Twelve voices a language (six female, six male), four emotions, three sentences each: 144 utterances of one to
three seconds. Six speakers train, two validate, four test; each speaker says the same sentences in all four
emotions, so that neither sentence nor speaker tells the emotion. Most Mandarin female voices carry
espeak-ng's echo, the others do not: a difference of recording that transfer has to bridge, as between real
corpora.

The same seed gives the same bytes, with the same version of espeak-ng.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from layersim.alignment.pronunciation.espeak import SAMPLE_RATE, Line, Speech, synthesise
from layersim.corpus.manifest import write_manifest
from layersim.demo.emotions import EMOTIONS, draw_prosody
from layersim.demo.sentences import ENGLISH, MANDARIN
from layersim.workspace import CorpusEntry, Progress, no_progress, write_text

PHONE_SET = "espeak-ipa"
_SENTENCES = {"train": range(6), "validation": range(6, 9), "test": range(9, 12)}
_SENTENCES_PER_SPEAKER = 3


@dataclass(frozen=True)
class Recipe:
    """What one corpus is made of.

    Attributes
    ----------
    name, language
        As the manifest has them.
    synthesiser_language : str
        As espeak-ng has it.
    rate : int, words a minute
        Of neutral speech.
    voices : mapping of split to voices
        Each ``(espeak-ng variant, gender)``; one voice is one speaker.
    sentences : tuple of str
        Twelve; see `layersim.demo.sentences`.
    """

    name: str
    language: str
    synthesiser_language: str
    rate: int
    voices: dict[str, tuple[tuple[str, str], ...]]
    sentences: tuple[str, ...]


RECIPES = (
    Recipe(
        name="demo-en",
        language="en",
        synthesiser_language="en-us",
        rate=175,
        voices={
            "train": (
                ("f1", "female"), ("m1", "male"), ("belinda", "female"), ("m3", "male"), ("Annie", "female"),
                ("Michael", "male"),
            ),
            "validation": (("steph", "female"), ("m7", "male")),
            "test": (("anika", "female"), ("robert", "male"), ("grandma", "female"), ("Mike", "male")),
        },
        sentences=ENGLISH,
    ),
    Recipe(
        name="demo-zh",
        language="zh",
        synthesiser_language="cmn",
        rate=195,
        voices={
            "train": (
                ("f2", "female"), ("m4", "male"), ("f3", "female"), ("m5", "male"), ("aunty", "female"),
                ("m8", "male"),
            ),
            "validation": (("f4", "female"), ("m6", "male")),
            "test": (("f5", "female"), ("victor", "male"), ("steph3", "female"), ("max", "male")),
        },
        sentences=MANDARIN,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class _Utterance:
    row: dict[str, Any]  # of the manifest
    line: Line


def make_corpus(
    recipe: Recipe, folder: Path, *, seed: int = 0, progress: Progress = no_progress
) -> CorpusEntry:
    """Write one corpus: ``audio/NAME/*.wav``, ``manifests/NAME.csv`` and ``phones/NAME.csv``.

    Parameters
    ----------
    folder : Path
        The workspace; existing files of these names are replaced.
    seed : int
        Of the prosody.
    progress : callable
        Called once an utterance.

    Returns
    -------
    CorpusEntry
        For ``layersim.toml``; its paths stand under ``folder``.

    Raises
    ------
    LayersimError
        If espeak-ng cannot be used.
    """
    utterances = list(_plan(recipe, np.random.default_rng([seed, *recipe.name.encode("utf-8")])))
    audio_root = folder / "audio"
    rows, phones = [], ["utterance,start,end,phone"]
    label = f"speak {recipe.name}"
    for number, (utterance, speech) in enumerate(
        zip(utterances, synthesise([utterance.line for utterance in utterances]), strict=True), start=1
    ):
        _write_wav(audio_root / str(utterance.row["path"]), speech)
        rows.append(utterance.row)
        identity = utterance.row["utterance_id"]
        phones += [f"{identity},{phone.start:.6f},{phone.end:.6f},{phone.label}" for phone in speech.phones]
        progress(label, number, len(utterances))
    entry = CorpusEntry(
        manifest=folder / "manifests" / f"{recipe.name}.csv",
        audio_root=audio_root,
        alignments=folder / "phones" / f"{recipe.name}.csv",
        phone_set=PHONE_SET,
    )
    write_manifest(pd.DataFrame(rows), entry.manifest)
    write_text(folder / "phones" / f"{recipe.name}.csv", "\n".join(phones) + "\n")
    return entry


def _plan(recipe: Recipe, rng: np.random.Generator) -> Iterator[_Utterance]:
    """Say who says what and how."""
    for split, voices in recipe.voices.items():
        sentences = _SENTENCES[split]
        for number, (variant, gender) in enumerate(voices):
            # train speakers take turns with the even and the odd sentences
            turns = len(sentences) // _SENTENCES_PER_SPEAKER
            for sentence in sentences[number // 2 % turns :: turns]:
                for emotion in EMOTIONS:
                    speaker = f"{recipe.language}-{variant.lower()}"
                    identity = f"{speaker}-{emotion}-{sentence + 1:02d}"
                    prosody = draw_prosody(emotion, rng)
                    row = {
                        "corpus": recipe.name,
                        "utterance_id": identity,
                        "path": f"{recipe.name}/{identity}.wav",
                        "start": float("nan"),
                        "end": float("nan"),
                        "speaker": speaker,
                        "language": recipe.language,
                        "emotion": emotion,
                        "split": split,
                        "text": recipe.sentences[sentence],
                        "source_label": emotion,
                        "gender": gender,
                    }
                    line = Line(
                        text=recipe.sentences[sentence],
                        voice=f"{recipe.synthesiser_language}+{variant}",
                        rate=round(recipe.rate * prosody.rate),
                        pitch=round(prosody.pitch),
                        pitch_range=round(prosody.pitch_range),
                        volume=round(prosody.volume),
                    )
                    yield _Utterance(row, line)


def _write_wav(file: Path, speech: Speech) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(file), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(SAMPLE_RATE)
        stream.writeframes(speech.wave.astype("<i2").tobytes())

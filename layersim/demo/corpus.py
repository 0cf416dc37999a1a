"""Two small synthetic corpora, English and Mandarin: audio, manifests, and phone times that are exact.

24 voices a language (seven female, seventeen male: espeak-ng has few female ones), four emotions, three
sentences each: 288 utterances of one to five seconds. Ten speakers train, four validate, ten test: with ten,
an interval over speakers says something. Each speaker says the same sentences in all four emotions, so that
neither sentence nor speaker tells the emotion. No voice speaks both languages. Speakers also have a pitch and
a rate of their own, since most male voices of espeak-ng share theirs. Each speaker is recorded with one gain,
such that all speakers are equally loud on average: left alone, espeak-ng's voices are up to 12 dB apart in
the same neutral sentence, which whoever records people would level out. How loud a speaker's emotions are
relative to each other is kept.

The same seed gives the same bytes, with the same version of espeak-ng.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from layersim.alignment.pronunciation.espeak import SAMPLE_RATE, Line, Speech, synthesise
from layersim.corpus.manifest import write_manifest
from layersim.demo.emotions import EMOTIONS, brighten, draw_prosody
from layersim.demo.sentences import ENGLISH, MANDARIN
from layersim.workspace import CorpusEntry, Progress, no_progress, write_text

PHONE_SET = "espeak-ipa"
_SENTENCES = {"train": range(9), "validation": range(9, 12), "test": range(12, 18)}
_SENTENCES_PER_SPEAKER = 3
_LEVEL = 1500  # root mean square of a speaker's samples, of 32,768: leaves room for the loudest
_OWN_PITCH, _OWN_RATE = 6, 0.06  # how far a speaker is from the voice's pitch (espeak-ng's scale) and rate


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
        Eighteen; see `layersim.demo.sentences`.
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
                ("Michael", "male"), ("Andy", "male"), ("boris", "male"), ("Reed", "male"),
                ("travis", "male"),
            ),
            "validation": (("steph", "female"), ("m7", "male"), ("Diogo", "male"), ("Mike", "male")),
            "test": (
                ("anika", "female"), ("robert", "male"), ("grandma", "female"), ("max", "male"),
                ("f3", "female"), ("quincy", "male"), ("norbert", "male"), ("adam", "male"), ("Lee", "male"),
                ("pablo", "male"),
            ),
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
                ("f2", "female"), ("m4", "male"), ("f5", "female"), ("m5", "male"), ("shelby", "female"),
                ("m8", "male"), ("Mario", "male"), ("Denis", "male"), ("marcelo", "male"),
                ("edward", "male"),
            ),
            "validation": (("linda", "female"), ("m6", "male"), ("Henrique", "male"), ("mike2", "male")),
            "test": (
                ("f4", "female"), ("victor", "male"), ("Alicia", "female"), ("rob", "male"),
                ("steph2", "female"), ("m2", "male"), ("david", "male"), ("Alex", "male"),
                ("Nguyen", "male"), ("miguel", "male"),
            ),
        },
        sentences=MANDARIN,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class _Utterance:
    row: dict[str, Any]  # of the manifest
    line: Line
    brightness: float  # decibels


def make_corpus(
    recipe: Recipe, folder: Path, *, seed: int = 0, progress: Progress = no_progress
) -> CorpusEntry:
    """Write one corpus: ``audio/NAME/*.wav``, ``manifests/NAME.csv`` and ``exact/NAME-exact-times.csv``.

    Parameters
    ----------
    folder : Path
        The workspace; existing files of these names are replaced.
    seed : int
        Of the prosody and of what is each speaker's own.
    progress : callable
        Called once an utterance.

    Returns
    -------
    CorpusEntry
        For ``layersim.toml``, with the exact times as its alignments; its paths stand under ``folder``.

    Raises
    ------
    LayersimError
        If espeak-ng cannot be used.
    """
    utterances = list(_plan(recipe, np.random.default_rng([seed, *recipe.name.encode("utf-8")])))
    audio_root = folder / "audio"
    phones = ["utterance,start,end,phone"]
    spoken = zip(utterances, synthesise([utterance.line for utterance in utterances]), strict=True)
    done = 0
    for _, group in groupby(spoken, key=lambda pair: pair[0].row["speaker"]):
        of_speaker = []
        for pair in group:
            of_speaker.append(pair)
            done += 1
            progress(f"speaking {recipe.name}", done, len(utterances))
        gain = _gain([speech for _, speech in of_speaker])
        for utterance, speech in of_speaker:
            samples = brighten(gain * speech.wave, SAMPLE_RATE, utterance.brightness)
            _write_wav(audio_root / str(utterance.row["path"]), samples)
            name = utterance.row["utterance_id"]
            phones += [f"{name},{phone.start:.6f},{phone.end:.6f},{phone.label}" for phone in speech.phones]
    entry = CorpusEntry(
        manifest=folder / "manifests" / f"{recipe.name}.csv",
        audio_root=audio_root,
        alignments=folder / "exact" / f"{recipe.name}-exact-times.csv",
        phone_set=PHONE_SET,
    )
    write_manifest(pd.DataFrame([utterance.row for utterance in utterances]), entry.manifest)
    write_text(folder / "exact" / f"{recipe.name}-exact-times.csv", "\n".join(phones) + "\n")
    return entry


def _plan(recipe: Recipe, rng: np.random.Generator) -> Iterator[_Utterance]:
    """Say who says what and how."""
    for split, voices in recipe.voices.items():
        sentences = _SENTENCES[split]
        for number, (variant, gender) in enumerate(voices):
            own_pitch, own_rate = rng.uniform(-_OWN_PITCH, _OWN_PITCH), 1 + rng.uniform(-_OWN_RATE, _OWN_RATE)
            # a woman and a man after the other say the same sentences, the next two the next ones
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
                        rate=round(recipe.rate * own_rate * prosody.rate),
                        pitch=round(prosody.pitch + own_pitch),
                        pitch_range=round(prosody.pitch_range),
                        volume=round(prosody.volume),
                    )
                    yield _Utterance(row, line, prosody.brightness)


def _gain(speeches: Sequence[Speech]) -> float:
    """Return the factor that brings a speaker to the level of all."""
    samples = np.concatenate([speech.wave for speech in speeches]).astype(np.float64)
    return _LEVEL / float(np.sqrt(np.mean(samples**2)))


def _write_wav(file: Path, samples: NDArray[np.floating[Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(file), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(SAMPLE_RATE)
        stream.writeframes(np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes())

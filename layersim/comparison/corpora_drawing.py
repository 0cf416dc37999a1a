"""Figures of the corpora compared: how many utterances their emotions have, and how these look."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from layersim.comparison.running import Units
from layersim.comparison.view import Drawn, Values, direction
from layersim.corpus.audio import SAMPLE_RATE, read_audio
from layersim.corpus.manifest import utterance_keys
from layersim.corpus.recordings import audio_file
from layersim.errors import AudioError
from layersim.features.acoustic.sequences import FLOOR, HOP, WINDOW
from layersim.figures.distribution import class_distribution
from layersim.figures.spectrograms import mel_spectrograms

if TYPE_CHECKING:
    from layersim.features.dataset import CorpusFeatures

logger = logging.getLogger(__name__)

BANDS = 64


def draw_classes(units: Units) -> Iterator[Drawn]:
    """Draw how many utterances of each emotion the corpora have."""
    corpora = compared_corpora(units)
    tables = {name: corpus.table["emotion"].value_counts() for name, corpus in corpora.items()}
    emotions = sorted({str(name) for counts in tables.values() for name in counts.index} - {""})
    counts = [[int(found.get(name, 0)) for name in emotions] for found in tables.values()]
    figure = class_distribution(counts, list(corpora), emotions, title="Utterances per emotion")
    speakers = ", ".join(f"{name}: {corpus.table['speaker'].nunique()}" for name, corpus in corpora.items())
    caption = f"Utterances of each emotion, of all speakers ({speakers}). {_compared(units)}"
    yield Drawn("classes", figure, caption)


def draw_spectrograms(units: Units) -> Iterator[Drawn]:
    """Draw one utterance of each emotion and corpus; nothing where a recording is gone, which is logged."""
    import librosa

    emotions = sorted({name for job in units.jobs for name in job.classes})
    corpora = compared_corpora(units)
    roots = {name: entry.audio_root for job in units.jobs for name, entry in job.workspace.corpora.items()}
    chosen = {name: typical_utterances(corpus, emotions) for name, corpus in corpora.items()}
    cells: dict[tuple[str, str], Values] = {}
    for name, rows in chosen.items():
        for emotion, row in rows.items():
            start, end = (None if np.isnan(row[edge]) else float(row[edge]) for edge in ("start", "end"))
            try:
                wave = read_audio(audio_file(roots[name], str(row["path"])), start, end)
            except AudioError as error:
                logger.warning("no figure of spectrograms: %s", error)
                return
            cells[emotion, name] = mel_levels(wave)
    # Corpora are recorded at levels of their own; between a corpus's emotions the level tells something.
    loudest = {name: max(part.max() for (_, of), part in cells.items() if of == name) for name in corpora}
    cells = {key: part - loudest[key[1]] for key, part in cells.items()}
    # The filters' corners are two more than the bands; a band's centre is the corner that it rises to.
    centres = librosa.mel_frequencies(BANDS + 2, fmin=0, fmax=SAMPLE_RATE / 2)[1:-1]
    figure = mel_spectrograms(
        cells, emotions, list(corpora), centres, HOP / SAMPLE_RATE, "Mel spectrograms",
        level_label="dB below the corpus's loudest",
    )  # fmt: skip
    shown = "; ".join(
        f"{name}: {', '.join(str(row['utterance_id']) for row in rows.values())}"
        for name, rows in chosen.items()
    )
    caption = (
        "One utterance of each emotion and corpus: of those with the emotion the one whose length is nearest "
        f"to the corpus's median. From the top: {shown}."
    )
    yield Drawn("mel", figure, caption)


def typical_utterances(corpus: CorpusFeatures, emotions: list[str]) -> dict[str, pd.Series]:
    """Choose, for each emotion, the utterance whose length is nearest to the corpus's median.

    Returns
    -------
    dict
        Emotion to manifest row; of equals the first by key. An emotion without utterances is left out.
    """
    lengths = dict(zip(corpus.cache.keys, corpus.cache.table["samples"].tolist(), strict=True))
    keys = utterance_keys(corpus.table)
    off = np.array([lengths[key] for key in keys], dtype=np.float64)
    table = corpus.table.assign(key=list(keys), off=np.abs(off - np.median(off))).sort_values(["off", "key"])
    found = {name: table[table["emotion"] == name] for name in emotions}
    return {name: rows.iloc[0] for name, rows in found.items() if len(rows)}


def mel_levels(wave: np.ndarray) -> Values:
    """Compute a whole utterance's mel levels: 64 ms windows every 23.4 ms, as `acoustic.sequences` has them.

    Parameters
    ----------
    wave : ndarray, shape (samples,), 16 kHz, full scale 1

    Returns
    -------
    ndarray, shape (64, frames), dB of a full-scale power of 1, >= -100
    """
    import librosa

    padded = np.pad(wave, (0, max(0, WINDOW - len(wave))))
    power = np.abs(librosa.stft(padded, n_fft=WINDOW, hop_length=HOP, center=False)) ** 2
    mel = librosa.feature.melspectrogram(S=power, sr=SAMPLE_RATE, n_mels=BANDS)
    levels: Values = librosa.power_to_db(mel, ref=1.0, amin=10 ** (FLOOR / 10), top_db=None).astype(
        np.float64
    )
    return levels


def compared_corpora(units: Units) -> Mapping[str, CorpusFeatures]:
    """Return every corpus that takes part, by name."""
    found: dict[str, CorpusFeatures] = {}
    for job in units.jobs:
        if not found.keys() >= set(job.situation.corpora):  # opening one reads its manifest
            found |= {name: corpus for name, corpus in job.corpora.items() if name not in found}
    return found


def _compared(units: Units) -> str:
    """Say which classes are told apart, direction by direction where they differ."""
    classes = {direction(job.situation): job.classes for job in units.jobs}
    if len(set(classes.values())) == 1:
        return f"Told apart are {', '.join(next(iter(classes.values())))}."
    return (
        "Told apart are " + "; ".join(f"{name}: {', '.join(found)}" for name, found in classes.items()) + "."
    )

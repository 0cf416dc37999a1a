"""Training the built-in aligner on a corpus's own recordings.

First the model hears synthetic speech of the same texts (`synthetic_start`), or where espeak-ng does not
speak the language, an even division of the recordings (`even_start`). Then, ten times over, it aligns the
recordings and learns from what it aligned. Up to an hour of speech is trained on, from all speakers alike, so
that training takes minutes however large the corpus.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest

import numpy as np

from layersim.alignment.aligned import Recording
from layersim.alignment.builtin.acoustic_model import SILENCE, UNNAMED, AcousticModel, Span
from layersim.alignment.builtin.cepstra import (
    SHIFT,
    Frames,
    Normaliser,
    cepstra,
    speech_range,
    with_derivatives,
)
from layersim.alignment.builtin.even_start import even_spans
from layersim.alignment.builtin.synthetic_start import synthetic_utterances
from layersim.alignment.phone_set import Kind, PhoneSet, load_phone_set
from layersim.corpus.audio import read_audio
from layersim.errors import AudioError, LayersimError
from layersim.workspace import Progress, no_progress

ROUNDS = 10
_GROWING = 8  # rounds in which Gaussians are added
_SECONDS = 3600.0  # of speech to train on
_SPEAKERS = 200  # to train on
_OF_A_VOICE = 40  # recordings that a speaker's normalisation is measured on
_MUCH_SILENCE = 0.1  # of the speech
_FRAMES_A_GAUSSIAN, _MOST_GAUSSIANS = 200, 2000


@dataclass(frozen=True)
class Heard:
    """A recording to train on."""

    recording: Recording
    frames: Frames  # (T, 39), normalised, without the silence at both ends
    log_energy: Frames  # (T,)
    silence: tuple[Frames, Frames]  # what was cut off


def hear(recording: Recording) -> Frames:
    """Read a recording's frames, whole and not normalised, shape (T, 39).

    Raises
    ------
    AudioError
        If it cannot be read.
    """
    return with_derivatives(cepstra(read_audio(recording.path, recording.start, recording.end)))


def voice_of(recordings: Sequence[Recording]) -> Normaliser | None:
    """Measure one speaker on up to 40 recordings, evenly chosen; None if none can be read.

    Others stand in for chosen ones that cannot be read.
    """
    places = np.linspace(0, len(recordings) - 1, min(len(recordings), _OF_A_VOICE)).astype(int).tolist()
    chosen = dict.fromkeys([*places, *range(len(recordings))])
    readable = (frames for place in chosen if (frames := _try_to_hear(recordings[place])) is not None)
    heard = list(islice(readable, _OF_A_VOICE))
    return Normaliser.of(heard) if heard else None


def by_speaker(recordings: Sequence[Recording]) -> dict[str, list[Recording]]:
    """Group recordings by speaker, in the order of their names."""
    groups: dict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        groups[recording.speaker].append(recording)
    return dict(sorted(groups.items()))


def training_set(recordings: Sequence[Recording], seed: int, progress: Progress = no_progress) -> list[Heard]:
    """Read up to an hour of recordings, the same number of each speaker as far as they go.

    Parameters
    ----------
    seed : int
        Of which recordings are taken where there are more.
    """
    rng = np.random.default_rng(seed)
    groups = by_speaker(recordings)
    names = list(groups)
    if len(names) > _SPEAKERS:
        names = sorted(rng.permutation(names)[:_SPEAKERS].tolist())
    shuffled = [[groups[name][place] for place in rng.permutation(len(groups[name]))] for name in names]
    voices = {}
    for done, name in enumerate(names):
        progress("measuring voices", done, len(names))
        voices[name] = voice_of(groups[name])
    progress("measuring voices", len(names), len(names))
    found: list[Heard] = []
    seconds = 0.0
    for recording in (one for turn in zip_longest(*shuffled) for one in turn if one is not None):
        voice, frames = voices[recording.speaker], _try_to_hear(recording)
        if voice is None or frames is None:
            continue
        first, stop = speech_range(frames[:, 0])
        heard = voice(frames)
        ends = heard[:first], heard[stop:]
        found.append(Heard(recording, heard[first:stop], frames[first:stop, 0], ends))
        seconds += len(frames) * SHIFT
        progress("reading recordings", len(found), sum(map(len, shuffled)))
        if seconds >= _SECONDS:
            break
    return found


def new_model(recordings: Sequence[Recording]) -> AcousticModel:
    """Return an untrained model of the phones of some recordings."""
    labels = {
        label for recording in recordings for word in recording.words for way in word.pronunciations
        for label in way
    }  # fmt: skip
    return AcousticModel(labels, columns=39)


def start_model(
    model: AcousticModel,
    heard: Sequence[Heard],
    voice: str | None,
    phone_set: str,
    seed: int,
    progress: Progress = no_progress,
) -> None:
    """Give a model its first idea of every phone.

    Parameters
    ----------
    voice : str or None
        espeak-ng's, of the recordings' language; None: it has none.
    phone_set : str
        Of the pronunciations.

    Raises
    ------
    LayersimError
        If every recording is too short for its phones.
    """
    sounds = load_phone_set(phone_set)
    spoken: list[tuple[Frames, list[Span]]] = []
    if voice is not None:
        texts = list(dict.fromkeys((one.recording.text, one.recording.words) for one in heard))
        spoken = synthetic_utterances(texts, voice, phone_set, seed, progress)
    if spoken:
        examples = with_own_silence(spoken, heard)
    else:  # no voice, or in every text a word that nobody can pronounce
        divided = [(one.frames, even_spans(one.recording.words, one.log_energy, sounds)) for one in heard]
        examples = [(frames, spans) for frames, spans in divided if spans]
    if not examples:
        raise _nothing_fits(len(heard))
    known = {span.label for _, spans in examples for span in spans}
    model.start(examples, stand_ins(set(model.labels) - known, known, sounds))


def with_own_silence(
    spoken: Sequence[tuple[Frames, list[Span]]], heard: Sequence[Heard]
) -> list[tuple[Frames, list[Span]]]:
    """Put the recordings' own silence in the place of synthetic silence, which sounds like no room at all.

    Recordings that are cut close have little of it; for them synthetic silence does as well or better.
    """
    parts = [part for one in heard for part in one.silence if len(part)]
    if sum(map(len, parts)) < _MUCH_SILENCE * sum(len(one.frames) for one in heard):
        return list(spoken)
    quiet = [(part, [Span(0, len(part), SILENCE, False)]) for part in parts]
    speech = [(frames, [span for span in spans if span.label != SILENCE]) for frames, spans in spoken]
    return [*speech, *quiet]


def stand_ins(lacking: Collection[str], known: Collection[str], sounds: PhoneSet) -> dict[str, list[str]]:
    """Name for each phone that was not heard those that sound like it.

    Phones of the same class, else all vowels or all consonants, else all phones.

    >>> from layersim.alignment.phone_set import load_phone_set
    >>> stand_ins(["ɐ", "spn"], ["ə", "a", "t"], load_phone_set("espeak-ipa"))
    {'ɐ': ['ə'], 'spn': ['a', 't', 'ə']}
    """
    speech = sorted(set(known) - {SILENCE, UNNAMED})
    kinds: tuple[Kind, ...] = ("vowel", "consonant")
    found = {}
    for label in lacking:
        own = [(kind, name) for kind in kinds if (name := sounds.find(label, kind))]
        same = [other for other in speech if any(sounds.find(other, kind) == name for kind, name in own)]
        alike = [other for other in speech if any(sounds.find(other, kind) for kind, _ in own)]
        found[label] = same or alike or speech
    return found


def train_rounds(
    model: AcousticModel, heard: Sequence[Heard], done: int, progress: Progress = no_progress
) -> Iterator[int]:
    """Align and learn, round by round; yields the number of rounds done, for whoever keeps the model.

    Raises
    ------
    LayersimError
        If nothing can be aligned.
    """
    frames = sum(len(one.frames) for one in heard)
    most = max(model.states, min(frames // _FRAMES_A_GAUSSIAN, _MOST_GAUSSIANS))
    for turn in range(done, ROUNDS):
        learnt = []
        for place, one in enumerate(heard):
            progress("training the aligner", turn + place / len(heard), ROUNDS)
            path = model.align(one.recording.words, one.frames, first_time=turn == 0)
            if path is not None:
                learnt.append((one.frames, path))
        if not learnt:
            raise _nothing_fits(len(heard))
        growth = min(1.0, (turn + 1) / _GROWING)
        model.learn(learnt, round(model.states + growth * (most - model.states)))
        progress("training the aligner", turn + 1, ROUNDS)
        yield turn + 1


def _nothing_fits(count: int) -> LayersimError:
    return LayersimError(
        f"none of {count} recordings can be aligned to its text: each is too short for the phones of its "
        "words. Are these the texts of other recordings, or in another language?"
    )


def _try_to_hear(recording: Recording) -> Frames | None:
    try:
        return hear(recording)
    except AudioError:
        return None  # it is a failure of its own when its turn to be aligned comes

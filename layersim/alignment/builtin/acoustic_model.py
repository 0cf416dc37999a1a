"""A monophone GMM-HMM: how each phone sounds, and the most likely times of a transcript's phones.

Conventions
-----------
- A phone is a chain of five states, silence one of three; a state lasts a frame or longer and has a mixture
  of Gaussians with diagonal covariances. The first phone of a word and the others are different phones to
  Kaldi with the same mixtures: so the words can be told from the phones.
- An utterance's words stand in their order; a word is said by any one of its pronunciations; silence may
  stand at both ends and between words. A word without pronunciation is one phone, `UNNAMED`.
- Training is Viterbi training: align, then re-estimate mixtures and transitions from that alignment.
- Kaldi's code does the work (topology, transducers, search, estimation).

References
----------
Povey et al., "The Kaldi speech recognition toolkit", ASRU 2011; scales and priors as its ``train_mono.sh``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from layersim.alignment.aligned import Word
from layersim.alignment.builtin.cepstra import Frames
from layersim.alignment.builtin.kaldi import fst, hmm_gmm
from layersim.alignment.builtin.mixtures import gaussian, grown, mixtures_from_arrays, mixtures_to_arrays

SILENCE = "sil"
UNNAMED = "spn"
STATES = 5  # of a phone: at least 25 ms
_SILENCE_STATES = 3
_STAY = 0.75  # first guess of the probability to stay in a state
_PAUSE = 0.2  # first guess of the probability of silence after a word
_PAUSE_AT_ENDS = 0.5
_ACOUSTIC_SCALE, _SELF_LOOP_SCALE = 0.1, 0.1
_BEAM, _WIDER_BEAM = 20.0, 400.0
_WIDEST_BEAM = 4000.0  # for a model that has not heard this corpus yet
_FLAGS = 15  # kGmmAll


class Span(NamedTuple):
    """One phone of an alignment."""

    first: int  # frame
    stop: int  # behind its last frame
    label: str
    begins_word: bool


@dataclass(frozen=True)
class AlignedPath:
    """The best alignment of one utterance: spans that cover all of its frames, silences included."""

    transitions: NDArray[np.int64]  # (T,) Kaldi's transition id of each frame
    spans: tuple[Span, ...]
    log_likelihood: float  # mean per frame


class AcousticModel:
    """Phones of one corpus and how they sound; silence and `UNNAMED` are always among them.

    Parameters
    ----------
    labels : iterable of str
        The phones.
    columns : int
        Of the frames it will hear.
    """

    def __init__(self, labels: Iterable[str], columns: int) -> None:
        kaldi = hmm_gmm()
        self.labels = (SILENCE, UNNAMED, *sorted(set(labels) - {SILENCE, UNNAMED}))
        self._columns = columns
        # Kaldi counts phones from 1: silence, then for each label one that begins a word and one inside
        self._first_of = {label: 2 * place for place, label in enumerate(self.labels) if place}
        self._first_of[SILENCE] = 1
        self._topology = kaldi.HmmTopology()
        self._topology.read(_topology(2 * len(self.labels) - 1))
        sharing = [[1], *([number, number + 1] for number in list(self._first_of.values()) if number > 1)]
        self._context = kaldi.monophone_context_dependency_shared(
            sharing, self._topology.get_phone_to_num_pdf_classes()
        )
        self._transition_counts: NDArray[np.float64] | None = None
        self._renew_transitions(None)
        self._mixtures = kaldi.AmDiagGmm()
        self._mixtures.init(gaussian(np.zeros(columns), np.ones(columns)), self._context.num_pdfs)

    @property
    def states(self) -> int:
        """How many different states there are."""
        return int(self._context.num_pdfs)

    @property
    def gaussians(self) -> int:
        """How many Gaussians the mixtures have together."""
        return int(self._mixtures.num_gauss)

    def fewest_frames(self, words: Sequence[Word]) -> int:
        """Frames that the shortest pronunciations of some words need."""
        return STATES * sum(min(map(len, word.pronunciations), default=1) for word in words)

    def start(
        self, utterances: Iterable[tuple[Frames, Sequence[Span]]], stand_ins: Mapping[str, Collection[str]]
    ) -> None:
        """Take the first model from utterances whose phones' times are known, one Gaussian a state.

        Parameters
        ----------
        utterances : iterable of (frames, spans)
            Frames that no span covers are not heard.
        stand_ins : mapping
            For labels that no span has: the labels whose spans they share.
        """
        total = np.zeros((self.states, self._columns))
        squares = np.zeros_like(total)
        count = np.zeros(self.states)
        shared = {name: [other for other, own in stand_ins.items() if name in own] for name in self.labels}
        for frames, spans in utterances:
            for span in spans:
                length = span.stop - span.first
                for label in (span.label, *shared[span.label]):
                    number = _SILENCE_STATES if label == SILENCE else STATES
                    places = np.arange(length) * number // max(length, 1)
                    states = np.array([self._state(label, place) for place in range(number)])[places]
                    part = frames[span.first : span.stop].astype(np.float64)
                    np.add.at(total, states, part)
                    np.add.at(squares, states, part**2)
                    np.add.at(count, states, 1.0)
        every = count.sum()
        mean, variance = total.sum(axis=0) / every, squares.sum(axis=0) / every
        variance = variance - mean**2
        mixtures = hmm_gmm().AmDiagGmm()
        for state in range(self.states):
            own_mean, own_variance = mean, variance
            if count[state] >= 3:
                own_mean = total[state] / count[state]
                # a state heard in few frames leans on the variance of all
                scatter = squares[state] - count[state] * own_mean**2
                own_variance = (scatter + 10 * variance) / (count[state] + 10)
            mixtures.add_pdf(gaussian(own_mean, own_variance))
        self._mixtures = mixtures

    def align(self, words: Sequence[Word], frames: Frames, first_time: bool = False) -> AlignedPath | None:
        """Find the most likely times of some words.

        Parameters
        ----------
        frames : ndarray, shape (T, columns), float32
        first_time : bool
            Whether the model has not heard this corpus yet, so that even the right path may look bad.

        Returns
        -------
        AlignedPath or None
            None if no path reaches the end: mostly, because the utterance is too short for its phones.
        """
        if len(frames) < self.fewest_frames(words):
            return None
        kaldi = hmm_gmm()
        graph = self._graph(words)
        kaldi.add_transition_probs(self._transitions, [], 1.0, _SELF_LOOP_SCALE, graph)
        scores = kaldi.DecodableAmDiagGmmScaled(self._mixtures, self._transitions, frames, _ACOUSTIC_SCALE)
        beams = (_WIDER_BEAM, _WIDEST_BEAM) if first_time else (_BEAM, _WIDER_BEAM)
        done, _, _, likelihood, _, path, _ = kaldi.align_utterance_wrapper(
            kaldi.AlignConfig(*beams, False), "utterance", _ACOUSTIC_SCALE, graph, scores, 0, 0, 0, 0.0, 0
        )
        if not done:
            return None
        transitions = np.asarray(path, dtype=np.int64)
        return AlignedPath(transitions, tuple(self._spans(transitions)), float(likelihood) / len(frames))

    def learn(self, heard: Iterable[tuple[Frames, AlignedPath]], gaussians: int) -> None:
        """Re-estimate transitions and mixtures from an alignment, then grow to so many Gaussians."""
        kaldi = hmm_gmm()
        statistics = kaldi.AccumAmDiagGmm()
        statistics.init(self._mixtures, _FLAGS)
        counts = np.zeros(len(self._state_of))
        for frames, path in heard:
            states = self._state_of[path.transitions].tolist()
            for state, frame in zip(states, frames, strict=True):
                statistics.accumulate_for_gmm(self._mixtures, frame, state, 1.0)
            counts += np.bincount(path.transitions, minlength=len(counts))
        self._renew_transitions(counts)
        kaldi.mle_am_diag_gmm_update(kaldi.MleDiagGmmOptions(), statistics, _FLAGS, self._mixtures)
        frames_of = np.zeros(self.states)
        np.add.at(frames_of, self._state_of[1:], counts[1:])
        self._mixtures = grown(self._mixtures, frames_of, gaussians)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that has been learnt."""
        counts = np.zeros(0) if self._transition_counts is None else self._transition_counts
        return {**mixtures_to_arrays(self._mixtures), "transition_counts": counts}

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take what `to_arrays` of a model of the same labels gave."""
        counts = arrays["transition_counts"]
        self._renew_transitions(counts if len(counts) else None)
        self._mixtures = mixtures_from_arrays(arrays)

    def _state(self, label: str, place: int) -> int:
        return int(self._context.compute([self._first_of[label]], place)[1])

    def _renew_transitions(self, counts: NDArray[np.float64] | None) -> None:
        """Set the transitions' probabilities from how often each was taken; None: as guessed."""
        kaldi = hmm_gmm()
        model = kaldi.TransitionModel(self._context, self._topology)
        if counts is not None:
            model.mle_update(counts, kaldi.MleTransitionUpdateConfig())
        self._transitions, self._transition_counts = model, counts
        numbers = range(1, model.num_transition_ids + 1)
        self._state_of = np.array([0, *map(model.transition_id_to_pdf, numbers)])
        self._phone_of = np.array([0, *map(model.transition_id_to_phone, numbers)])
        self._leaves = np.array([False, *map(model.is_final, numbers)])
        self._stays = np.array([False, *map(model.is_self_loop, numbers)])

    def _graph(self, words: Sequence[Word]) -> Any:
        """Every way of saying some words, as Kaldi's transducer of transitions."""
        lexicon = fst().StdVectorFst()
        begin, between, pause = (lexicon.add_state() for _ in range(3))
        lexicon.start = begin
        lexicon.set_final(between, 0.0)

        def arc(source: int, phone: int, word: int, chance: float, goal: int) -> None:
            lexicon.add_arc(source, fst().StdArc(phone, word, float(-np.log(chance)), goal))

        arc(begin, 0, 0, 1 - _PAUSE_AT_ENDS, between)
        arc(begin, 1, 0, _PAUSE_AT_ENDS, between)
        arc(pause, 1, 0, 1.0, between)
        numbers = {ways: place for place, ways in enumerate(dict.fromkeys(map(_ways, words)), start=1)}
        for ways, number in numbers.items():
            for phones in ways:
                here, said = between, number
                for place, label in enumerate(phones):
                    phone = self._first_of[label] + (place > 0)
                    if place + 1 < len(phones):
                        following = lexicon.add_state()
                        arc(here, phone, said, 1.0, following)
                        here, said = following, 0
                    else:
                        arc(here, phone, said, 1 - _PAUSE, between)
                        arc(here, phone, said, _PAUSE, pause)
        fst().arcsort(lexicon, sort_type="olabel")
        kaldi = hmm_gmm()
        options = kaldi.TrainingGraphCompilerOptions(transition_scale=0.0, self_loop_scale=0.0)
        compiler = kaldi.TrainingGraphCompiler(self._transitions, self._context, lexicon, [], options)
        return compiler.compile_graph_from_text([numbers[_ways(word)] for word in words])

    def _spans(self, transitions: NDArray[np.int64]) -> Iterable[Span]:
        """Cut a path into phones; Kaldi puts the stays of a phone's last state behind the way out of it."""
        phones, leaves = self._phone_of[transitions], self._leaves[transitions]
        first = 0
        for place in np.flatnonzero(leaves).tolist():
            stop = place + 1
            while (
                stop < len(transitions)
                and self._stays[transitions[stop]]
                and (self._state_of[transitions[stop]] == self._state_of[transitions[place]])
            ):
                stop += 1
            phone = int(phones[place])
            label = SILENCE if phone == 1 else self.labels[phone // 2]
            yield Span(first, stop, label, phone > 1 and phone % 2 == 0)
            first = stop


def _ways(word: Word) -> tuple[tuple[str, ...], ...]:
    return word.pronunciations or ((UNNAMED,),)


def _topology(phones: int) -> str:
    """Write the chains of states in Kaldi's form: phone 1 is silence."""

    def entry(numbers: Iterable[int], states: int) -> str:
        chain = "".join(
            f"<State> {place} <PdfClass> {place} <Transition> {place} {_STAY} "
            f"<Transition> {place + 1} {1 - _STAY} </State>\n"
            for place in range(states)
        )
        names = " ".join(map(str, numbers))
        return (
            f"<TopologyEntry>\n<ForPhones> {names} </ForPhones>\n{chain}<State> {states} </State>\n"
            "</TopologyEntry>\n"
        )

    return f"<Topology>\n{entry([1], _SILENCE_STATES)}{entry(range(2, phones + 1), STATES)}</Topology>\n"

"""What one process of a comparison works on: a method on one pair under one encoder, with all its seeds."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersim.adaptation.anchors import Anchors, Kind, choose_anchors
from layersim.adaptation.finetune.audio import find_recordings
from layersim.adaptation.finetune.learn import encoder_loader
from layersim.adaptation.finetune.method import finetune_method
from layersim.adaptation.method import Method, OwnSettings, define_method
from layersim.adaptation.methods import parse_method
from layersim.adaptation.opening import open_features
from layersim.adaptation.settings import Mode, TrainConfig
from layersim.comparison.settings import CompareConfig
from layersim.comparison.situations import Situation, trials_of
from layersim.comparison.trial import Trial
from layersim.errors import LayersimError
from layersim.settings import Settings
from layersim.similarity.rank import rank_layers
from layersim.similarity.settings import RankConfig
from layersim.workspace import Progress, Workspace, no_progress, write_json

if TYPE_CHECKING:
    from layersim.adaptation.finetune.audio import Recordings
    from layersim.encoders.encoder import Encoder
    from layersim.features.dataset import CorpusFeatures

QUICK: dict[str, Any] = {"bootstraps": 0, "permutations": 0, "probe_limit": 0}
_RANKINGS: dict[Kind, dict[str, Any]] = {
    "utterance": {},
    "phoneme": {"level": "phoneme"},
    "phoneme-label-free": {"label_free": True},
}


@dataclass(frozen=True)
class Job:
    """All seeds of one method on one pair under one encoder: what one process works on.

    Attributes
    ----------
    workspace : Workspace
        With the encoder set.
    word : str
        The method.
    train : Settings
        Of ``[train]``; its seeds and methods do not count here.
    rank : Settings
        Of ``[rank]``: how anchors are ranked in each trial, on what the trial may see.
    """

    workspace: Workspace
    situation: Situation
    word: str
    config: CompareConfig
    train: Settings[TrainConfig]
    rank: Settings[RankConfig]
    own: OwnSettings
    classes: tuple[str, ...]

    @property
    def pair_folder(self) -> Path:
        """Where the units of this pair stand."""
        return self.workspace.compare_folder(self.config.protocol) / self.situation.slug

    def folder(self, seed: int) -> Path:
        """Where one unit stands."""
        return self.pair_folder / self.name / f"seed-{seed}"

    @property
    def name(self) -> str:
        """The method in a table and in a folder's name: ``la`` on the Group, ``la-best``, ``probe-3``."""
        word = re.sub(r"^la:auto(?=$|\+)", "la", parse_method(self.word).word)
        word = re.sub(r"^la-class:auto:label-free(?=$|\+)", "la-class", word)
        return word.replace(":", "-").replace(",", "-")

    @property
    def seeds(self) -> range:
        """The seeds asked for; one, where a seed bears on nothing."""
        count = self.config.seeds if parse_method(self.word).definition.seeded else 1
        return range(self.config.seed, self.config.seed + count)

    @cached_property
    def corpora(self) -> dict[str, CorpusFeatures]:
        """The corpora by name, with the features that the method reads."""
        inputs = parse_method(self.word).definition.inputs
        return {name: open_features(self.workspace, name, inputs) for name in self.situation.corpora}

    @cached_property
    def trials(self) -> list[Trial]:
        """Who is where, in the order in which they are worked on."""
        upper_row = parse_method(self.word).definition.supervised
        return trials_of(self.situation, self.corpora, self.config, self.classes, upper_row)

    @property
    def layers(self) -> tuple[str, ...]:
        """Those of the features."""
        return next(iter(self.corpora.values())).cache.layers

    @property
    def finetune(self) -> Mode | None:
        """How the encoder itself is trained, if it is."""
        return parse_method(self.word).finetune

    @cached_property
    def encoder(self) -> Callable[[], Encoder]:
        """Loads the encoder of the features, once; for a method that trains it."""
        described = next(iter(self.corpora.values())).cache.provenance["encoder"]
        return encoder_loader(self.workspace.encoder, described, self.config.device)

    @cached_property
    def recordings(self) -> Recordings:
        """The recordings of all corpora, by key; for a method that trains the encoder.

        Raises
        ------
        LayersimError
            If one cannot be used.
        """
        found = [find_all_heard(self.workspace, corpus) for corpus in self.corpora.values()]
        return {key: clip for recordings in found for key, clip in recordings.items()}

    def method(self, trial: Trial) -> Method:
        """Spell out the method for a trial; anchors are ranked on what the trial may see."""

        def choose(word: str) -> Anchors:
            return choose_anchors(word, self.layers, lambda kind: self._ranking(trial, kind))

        return self.method_with(choose)

    def method_with(self, choose: Callable[[str], Anchors]) -> Method:
        """Spell out the method with anchors that ``choose`` gives.

        Raises
        ------
        LayersimError
            If a layer is not there, or a setting is wrong.
        """
        request = parse_method(self.word)
        if request.finetune is None:
            return define_method(self.word, self.layers, self.train, choose, self.own)
        on_features = define_method(
            request.word.removesuffix(request.suffix), self.layers, self.train, choose, self.own
        )
        return finetune_method(on_features, self.train, self.own, request.finetune, "the method's name")

    def refuse_leaking(self, kind: Kind) -> None:
        """Refuse anchors that would be ranked with the labels of those who are tested.

        Raises
        ------
        LayersimError
        """
        if kind != "phoneme-label-free" and any(trial.transductive for trial in self.trials):
            raise LayersimError(
                f"{self.word}: under the transductive protocol the test set's own emotion labels would "
                "choose the anchors. Take such as read none: la:auto:label-free, la:all, or a list."
            )

    def _ranking(self, trial: Trial, kind: Kind) -> Path:
        """Rank the layers on a trial's train splits; the document says with which settings."""
        self.refuse_leaking(kind)
        file = rankings_folder(self) / f"trial-{trial.fold or 1}" / kind / "ranking.json"
        emotions = None if kind == "phoneme-label-free" else self.classes
        config = self.rank.config.model_copy(update={**QUICK, "emotions": emotions, **_RANKINGS[kind]})
        document = rank_layers(trial.source, trial.target, config).to_json()
        document["resolved"] = None  # intervals, which would tell, are not computed here
        write_json(file, document)
        return file


def find_all_heard(
    workspace: Workspace, corpus: CorpusFeatures, progress: Progress = no_progress
) -> Recordings:
    """Find the recordings of a corpus that a trial may have: of all utterances in a split.

    Raises
    ------
    LayersimError
        If one cannot be used.
    """
    heard = corpus.table[corpus.table["split"] != ""]
    return find_recordings(heard, workspace.corpus(corpus.name).audio_root, progress)


def rankings_folder(job: Job) -> Path:
    """Where the rankings of a job's trials stand; other numbers of folds have other folders."""
    return job.pair_folder / "rankings" / f"of-{len(job.trials)}"

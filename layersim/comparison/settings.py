"""The settings of ``layersim compare`` and ``layersim tune``."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import field_validator

from layersim.settings import StageConfig, setting

Protocol = Literal["folds", "splits", "transductive"]
Objective = Literal["source-validation", "entropy", "snd"]

BASELINES = ("cc-std", "cc-std-all", "cc-spk", "cc-spk-all")
PAPER_METHODS = ("cc", "ensemble", "fewshot", "pa", "pa-avg", "pa-atn", "la:auto")
ANCHOR_SETS = ("la:auto", "la:all", "la:best", "la:worst", "la:random:1", "la:random:2", "la:random:3")


class CompareConfig(StageConfig):
    """What `layersim.comparison.compare` can be told."""

    section: ClassVar[str] = "compare"

    methods: tuple[str, ...] = setting(
        (*PAPER_METHODS, *ANCHOR_SETS[1:], "la-class"),
        f"methods to compare; {', '.join(BASELINES)} are always among them",
        min_length=1,
    )
    pairs: tuple[str, ...] | None = setting(
        None,
        "SOURCE:TARGET, such as emodb:casia, or A+B:C for corpora merged; A:A is the upper row; none given: "
        "every corpus to every other",
    )
    clips: tuple[int, ...] | None = setting(
        None, "target-data study: how many labelled target utterances join the source, such as 0,30,80,150"
    )
    encoders: tuple[str, ...] | None = setting(None, "checkpoint folders or hub ids; none given: the study's")
    protocol: Protocol = setting(
        "folds",
        "folds: the target's speakers in turn, each tested by models whose adaptation has not heard it; "
        "splits: those of the manifests; transductive: the unlabelled target is the test set too",
    )
    folds: int = setting(5, "speaker-independent folds of the target; the published ones where known", ge=2)
    emotions: tuple[str, ...] | None = setting(
        None, "classes to tell apart; none given: all that both corpora have"
    )
    seeds: int = setting(5, "runs per method, each with a seed of its own", ge=1)
    seed: int = setting(0, "seed of the first run; the others count up", ge=0)
    bootstraps: int = setting(2000, "speaker bootstrap replicates of an interval", ge=100)
    jobs: int = setting(
        0,
        "processes at a time, each with one thread (0: one per core); what trains an encoder on a GPU does "
        "so alone",
        ge=0,
    )
    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto", "where methods that train the encoder itself do so; all others use the CPU"
    )

    matrix: bool = setting(False, "compare every corpus with itself too: A:A, its own labels, the upper row")

    @field_validator("clips")
    @classmethod
    def _clips_are_counts(cls, clips: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if clips is not None and (min(clips, default=0) < 0 or len(set(clips)) < len(clips)):
            raise ValueError(f"different numbers of at least 0 are needed, got {', '.join(map(str, clips))}")
        return clips

    @field_validator("methods", "pairs", "encoders", "emotions")
    @classmethod
    def _each_once(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names is not None and len(set(names)) < len(names):
            raise ValueError(f"each may stand once, got {', '.join(names)}")
        return names

    @property
    def all_methods(self) -> tuple[str, ...]:
        """The methods with the baselines that are always shown."""
        return tuple(dict.fromkeys((*BASELINES, *self.methods)))


class TuneConfig(StageConfig):
    """What `layersim.comparison.tuning` can be told."""

    section: ClassVar[str] = "tune"

    trials: int = setting(30, "finished trials in all, those of an earlier call counted", ge=1)
    objective: Objective = setting(
        "source-validation",
        "what settings are chosen by, the higher the better, mean over the seeds. source-validation: UAR on "
        "the source's validation speakers; entropy: negative mean entropy of the predictions for the "
        "unlabelled target; snd: soft neighbourhood density of these predictions (Saito et al. 2021)",
    )
    seeds: int = setting(
        3, "runs per trial, each with a seed of its own; one, where a seed bears on nothing", ge=1
    )
    seed: int = setting(0, "seed of the search and of a trial's first run; its others count up", ge=0)
    startup: int = setting(
        10,
        "trials before the search learns from what it found: the settings as they stand, then random ones",
        ge=1,
    )
    timeout: float | None = setting(
        None, "seconds after which no further trial begins; none given: no limit", gt=0, allow_inf_nan=False
    )
    space: tuple[str, ...] = setting(
        (),
        "KEY=LOW:HIGH, KEY=LOW:HIGH:log, KEY=A|B|C, or KEY=VALUE to fix it: replaces an entry of the "
        "method's own search space, or adds one",
    )

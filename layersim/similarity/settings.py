"""The settings of ``layersim rank``, and which of them imply or exclude each other."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from layersim.errors import UsageError
from layersim.settings import FLAG, Settings, StageConfig, setting

Level = Literal["utterance", "phoneme"]
Metric = Literal["pairwise", "centroid"]
Features = Literal["raw", "centred", "zscored"]
PhoneClasses = Literal["vowels", "consonants"]

PAPER = "Upadhyay, Busso & Lee, Interspeech 2024"
LABEL_FREE = "label_free"

# What means something for segments only.
_OF_SEGMENTS = ("vowels", "classes", "middle", "min_frames", "speaker_cap")


class RankConfig(StageConfig):
    """Settings of ``layersim rank``."""

    section: ClassVar[str] = "rank"

    level: Level = setting("utterance", "Compare whole utterances, or vowel segments (phoneme).")
    label_free: bool = setting(
        False, "Compare vowels rather than emotions: reads no emotion label of either corpus (phoneme level)."
    )
    metric: Metric = setting(
        "pairwise", "pairwise: mean cosine over all cross pairs; centroid: cosine of the means.", paper=PAPER
    )
    features: Features = setting(
        "centred",
        "raw; centred: each corpus's mean removed; zscored: each corpus standardised (phoneme: per vowel).",
    )
    paper: bool = setting(False, "The paper's plain form: pairwise cosine of raw features, no speaker cap.")
    emotions: tuple[str, ...] | None = setting(
        None, "Emotions to compare; default: all that both train splits have.", min_length=1
    )
    vowels: tuple[str, ...] | None = setting(
        None, "Phoneme level: classes to compare; default: all that both train splits have.", min_length=1
    )
    classes: PhoneClasses = setting(
        "vowels", "Phoneme level: vowels, or consonants (needs features of all phones)."
    )
    middle: bool = setting(False, "Phoneme level: the middle third of each segment instead of all of it.")
    min_frames: int = setting(
        0, "Phoneme level: segments of fewer frames (with middle: of their middle third) are left out.", ge=0
    )
    speaker_cap: int = setting(
        20,
        "Phoneme level: the segments of one speaker in one cell weigh together as at most this many; "
        "0: no cap.",
        ge=0,
    )
    minimum_cell: int = setting(
        3,
        "Utterances (phoneme level: segments) that a cell needs in each corpus; smaller cells are refused.",
        ge=1,
    )
    bootstraps: int = setting(1000, "Speaker bootstrap replicates; 0 for no intervals.", ge=0)
    permutations: int = setting(200, "Label permutations of the null; 0 for no null.", ge=0)
    include_layer_zero: bool = setting(False, "Let layer 0, the input of the first block, be picked too.")
    probe_limit: int = setting(
        2000, "Utterances a side that the linear probe reads at most; 0 for no probe.", ge=0
    )
    seed: int = setting(0, "Seed of speaker draws, permutations and the probe's sample.", ge=0)

    def implied(self) -> dict[str, tuple[Any, str]]:
        """Return what ``paper`` and ``label_free`` set: field to value and origin."""
        found: dict[str, tuple[Any, str]] = {}
        if self.paper:
            origin = f"paper: {PAPER}"
            found |= {"metric": ("pairwise", origin), "features": ("raw", origin), "speaker_cap": (0, origin)}
        if self.label_free:
            found |= {"level": ("phoneme", LABEL_FREE), "emotions": (None, LABEL_FREE)}
        return found

    def effective(self) -> RankConfig:
        """Return the settings with what ``paper`` and ``label_free`` imply."""
        return self.model_copy(update={name: value for name, (value, _) in self.implied().items()})

    @property
    def cap(self) -> int:
        """The speaker cap in force: none at utterance level."""
        return self.speaker_cap if self.level == "phoneme" else 0

    @property
    def folder(self) -> str:
        """Name of the folder that the ranking goes into."""
        return f"{self.level}-label-free" if self.label_free else self.level


def effective_settings(settings: Settings[RankConfig]) -> Settings[RankConfig]:
    """Apply what some settings imply for others, and name the origin of what is set so.

    Raises
    ------
    UsageError
        If flags contradict each other, or one was given that has no meaning here.
    """
    config, given = settings.config, [name for name, origin in settings.origins.items() if origin == FLAG]
    if config.label_free and "level" in given and config.level != "phoneme":
        raise UsageError("--label-free compares vowels: leave --level out, or name --level phoneme.")
    for name, (_, origin) in config.implied().items():
        if name not in given or name == "level":
            continue
        if origin == LABEL_FREE:
            raise UsageError(f"--label-free reads no emotion label: leave {_flag(name)} out.")
        raise UsageError(f"paper is set and fixes the {name}: leave {_flag(name)} out, or set paper = false.")
    effective = config.effective()
    strange = [name for name in _OF_SEGMENTS if name in given and effective.level != "phoneme"]
    if strange:
        raise UsageError(f"{', '.join(map(_flag, strange))} is about vowel segments: add --level phoneme.")
    origins = {**settings.origins, **{name: origin for name, (_, origin) in config.implied().items()}}
    if config.label_free and "level" in given:
        origins["level"] = FLAG
    return Settings(effective, origins)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"

"""What the demo tells: its story in the terminal, the words at the top of its report, its JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersim.encoders.checkpoint import EMBEDDED
from layersim.workspace import Workspace, encoder_slug

if TYPE_CHECKING:
    from layersim.adaptation.result import TrainResult
    from layersim.alignment.result import AlignResult
    from layersim.features.result import ExtractResult
    from layersim.report.story import Chapter
    from layersim.similarity.ranking import Ranking

_COLUMNS = 100

_OWN_ENCODER = (
    f"{EMBEDDED} is a demonstration encoder: small, pretrained without labels on synthetic speech, of the "
    "same synthesiser and voices that speak here. For research, use WavLM, Whisper or XLSR."
)
_OWN_ALIGNER = (
    "The built-in aligner begins with speech of the same synthesiser: expect less on recordings of people."
)
_REAL = (
    "layersim init STUDY --corpus emodb=FOLDER --corpus ravdess=FOLDER --encoder microsoft/wavlm-base-plus",
    "cd STUDY",
    "layersim align && layersim extract && layersim rank && layersim train && layersim report",
)


def about(workspace: Workspace, comparisons: Mapping[str, str]) -> str:
    """Say what this study is, for the top of its report.

    Parameters
    ----------
    comparisons : mapping of corpus to sentence
        How its alignments compare with the exact times.
    """
    source, target = workspace.pair()
    paragraphs = [
        f"This study was made by layersim demo. {source} and {target} are synthetic: espeak-ng's voices say "
        "everyday sentences in English and in Mandarin, with four emotions as changes of speech rate, "
        "pitch, pitch range, loudness and brightness. Which way each moves is taken from the literature "
        "(Murray & Arnott 1993; Banse & Scherer 1996; Scherer 2003; Juslin & Laukka 2003), how far is "
        "chosen. So emotion is prosody here and nothing else, and the same in both languages: what is found "
        "shows what layersim does, and is no finding about human speech.",
        "Phones were found by layersim align, as they must be in real recordings, and the phoneme level uses "
        "these. As the speech is synthetic, the exact times are known too. "
        + " ".join(f"{corpus}: {said}." for corpus, said in comparisons.items())
        + f" {_OWN_ALIGNER}",
    ]
    if encoder_slug(workspace.encoder) == EMBEDDED:
        paragraphs.append(_OWN_ENCODER)
    paragraphs.append(
        "Next: see whether it matters which layers are picked (layersim train --anchors worst, --anchors "
        "all), what CORAL does (layersim train --gamma 0 --force), and what the layer-anchoring "
        "paper's plain similarity picks (layersim rank --paper --force). Then real corpora: "
        f"{_REAL[0]}; in that folder, the same commands as here."
    )
    return "\n\n".join(paragraphs) + "\n"


@dataclass(frozen=True)
class DemoResult:
    """What the demo made, stage by stage."""

    root: Path
    encoder: str  # as layersim.toml names it
    aligned: tuple[AlignResult, ...]
    comparisons: Mapping[str, str]  # corpus -> how its alignments compare with the exact times
    extracted: tuple[ExtractResult, ...]
    rankings: tuple[Ranking, ...]  # utterance level, phoneme level
    training: TrainResult
    story: tuple[Chapter, ...]
    report: Path
    seconds: Mapping[str, float]  # of each stage

    def to_json(self) -> dict[str, Any]:
        """Return every stage's result as one JSON document."""
        return {
            "workspace": str(self.root),
            "encoder": self.encoder,
            "exact_times": dict(self.comparisons),
            "align": [aligned.to_json() for aligned in self.aligned],
            "extract": [extracted.to_json() for extracted in self.extracted],
            "rank": [ranking.to_json() for ranking in self.rankings],
            "train": self.training.to_json(),
            "story": {chapter.title: list(chapter.sentences) for chapter in self.story},
            "report": str(self.report),
            "seconds": {name: round(seconds, 1) for name, seconds in self.seconds.items()},
        }

    def to_table(self) -> str:
        """Tell the story: what was made, which layers, how sure, what it bought, what to run next."""
        stages = ", ".join(f"{name} {seconds:.0f}" for name, seconds in self.seconds.items())
        lines = [
            f"A synthetic study in {self.root}",
            f"made in {sum(self.seconds.values()):.0f} seconds ({stages}), with {encoder_slug(self.encoder)}",
            "",
        ]
        for aligned, extracted in zip(self.aligned, self.extracted, strict=True):
            vowels = f", {extracted.phones.vowels:,} vowels" if extracted.phones else ""
            lines.append(
                f"{extracted.corpus}: {extracted.utterances} utterances, "
                f"{60 * extracted.hours:.1f} minutes{vowels}"
            )
            lines += _item(f"layersim align: {self.comparisons[aligned.corpus]}")
            lines += [line for note in aligned.notes for line in _item(note)]
        lines += _item(_OWN_ALIGNER)
        for chapter in self.story:
            lines += ["", chapter.title]
            lines += [line for sentence in chapter.sentences for line in _item(sentence)]
        if encoder_slug(self.encoder) == EMBEDDED:
            lines += ["", *textwrap.wrap(_OWN_ENCODER, _COLUMNS)]
        return "\n".join([*lines, "", f"Report: {self.report}", "", *self._next_steps()])

    def _next_steps(self) -> list[str]:
        return [
            "What to run next, here:",
            f"  cd {self.root}",
            "  layersim train --anchors worst         # does it matter which layers are picked?",
            "  layersim rank --paper --force          # the layer-anchoring paper's plain similarity",
            "  layersim report",
            "and on real corpora (examples/ has more):",
            *(f"  {line}" for line in _REAL),
        ]


def _item(sentence: str) -> list[str]:
    joined = sentence.replace(" %", "\N{NO-BREAK SPACE}%")  # no line begins with a per cent sign
    lines = textwrap.wrap(
        joined, _COLUMNS, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]

"""One corpus from its utterances to its outputs, language by language, with whatever aligner."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from layersim.alignment.aligned import Alignment, Failure, Recording
from layersim.alignment.aligners import Aligned, Aligner
from layersim.alignment.comparison_note import comparison_note
from layersim.alignment.flags import FLAGS, low_score, shape_flags, speech_share
from layersim.alignment.machine_text import Transcriber, transcribe_missing
from layersim.alignment.outcome import Outcome, summarise_emotions, worse_emotions
from layersim.alignment.outputs import PHONES, OutputWriter
from layersim.alignment.preparation import NO_TEXT, CorpusJob, Utterance
from layersim.alignment.result import AlignResult, alignment_notes, describe_alignment
from layersim.alignment.segments import BEYOND_AUDIO, cut_at
from layersim.errors import AudioError, LayersimError, summarise_faults
from layersim.provenance import write_run
from layersim.settings import FILE_NAME, Settings
from layersim.workspace import Progress, files_sha256

logger = logging.getLogger(__name__)

WORK, TRANSCRIPTS = "work", "transcripts.csv"


def align_corpus(
    job: CorpusJob,
    aligner: Aligner,
    settings: Settings[Any],
    transcriber: Callable[[], Transcriber] | None,
    progress: Progress,
) -> AlignResult:
    """Align one corpus and write its outputs, ``run.json`` last.

    Parameters
    ----------
    transcriber : callable, optional
        Loads what writes missing texts; called if one is missing.

    Raises
    ------
    LayersimError
        If not one utterance can be aligned, or its phones are of several sets or of none that is known.
    """
    began = time.monotonic()
    utterances, inputs = job.utterances, dict(job.inputs)
    if transcriber is not None:
        utterances = _write_missing_texts(job, transcriber, progress)
        if (job.folder / TRANSCRIPTS).is_file():
            inputs["transcripts"] = files_sha256([job.folder / TRANSCRIPTS])
    utterances = [
        replace(utterance, failure=NO_TEXT) if utterance.failure is None and not utterance.text else utterance
        for utterance in utterances
    ]
    writer = OutputWriter(job.folder)
    outcomes: dict[str, Outcome] = {}
    used: dict[str, Aligned] = {}  # by language
    groups: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        if utterance.failure is None:
            groups[utterance.language].append(utterance)
    for language, group in sorted(groups.items()):
        folder = job.folder / WORK / f"{aligner.name}-{re.sub(r'[^A-Za-z0-9-]', '_', language)}"
        used[language] = aligner.align([_recording(u) for u in group], folder, language, progress)
        _phone_set(job, used)  # before results are read: that is when the built-in aligner trains, for hours
    for language in used:
        outcomes |= _follow(groups[language], used[language], writer)
    everything = [
        outcomes.get(utterance.utterance_id) or Outcome(utterance, utterance.failure)
        for utterance in utterances
    ]
    if not any(outcome.failure is None for outcome in everything):
        reasons = Counter(outcome.failure for outcome in everything).most_common()
        raise LayersimError(
            summarise_faults(
                f"{job.corpus}: not one of {len(everything)} utterances could be aligned",
                [f"{count} x {reason}" for reason, count in reasons],
                "Check the texts, the language and the recordings: layersim corpus check.",
            )
        )
    writer.finish(everything, summarise_emotions(everything))
    warnings = worse_emotions(everything)
    for warning in warnings:
        logger.warning("%s: %s", job.corpus, warning)
    notes = [*warnings, *alignment_notes(job, everything, used, settings.config.transcribe)]
    if job.alignments is not None and job.phone_set is not None:
        names = [outcome.utterance.utterance_id for outcome in everything if outcome.failure is None]
        phones, own = job.folder / PHONES, _phone_set(job, used)
        try:
            notes.append(comparison_note(phones, own, job.alignments, job.phone_set, names))
        except LayersimError as error:  # what is wrong with the others spoils nothing here
            notes.append(f"not compared with {job.alignments.name}: {error}")
    result = describe_alignment(
        job, aligner.name, _phone_set(job, used), everything, used, notes, time.monotonic() - began
    )
    write_run(job.folder, "align", {"corpus": job.corpus}, settings, inputs, result.to_json(), notes)
    return result


def _write_missing_texts(
    job: CorpusJob, transcriber: Callable[[], Transcriber], progress: Progress
) -> list[Utterance]:
    """Fill empty texts; what a person wrote stays."""
    missing = [utterance for utterance in job.utterances if utterance.failure is None and not utterance.text]
    if not missing:
        return job.utterances
    label = f"transcribing {job.corpus}"
    texts = transcribe_missing(missing, job.folder / TRANSCRIPTS, transcriber(), label, progress)
    found = []
    for utterance in job.utterances:
        text = texts.get(utterance.utterance_id)
        if isinstance(text, AudioError):
            utterance = replace(utterance, failure=str(text))
        elif text is not None:
            failure = None if text else "no text: the model heard no words; write it into the manifest"
            utterance = replace(utterance, text=text, machine_text=True, failure=failure)
        found.append(utterance)
    return found


def _recording(utterance: Utterance) -> Recording:
    return Recording(
        utterance.utterance_id, utterance.speaker, utterance.path, utterance.start, utterance.end,
        utterance.text,
    )  # fmt: skip


def _phone_set(job: CorpusJob, used: dict[str, Aligned]) -> str:
    """Return the phone set of a corpus: as layersim.toml says, or as the aligner does.

    Raises
    ------
    LayersimError
        If it is not known, or the corpus's languages have different ones.
    """
    if job.phone_set is not None and job.alignments is None:
        return job.phone_set
    sets = {language: aligned.phone_set for language, aligned in used.items()}
    if len(set(sets.values())) > 1:
        found = ", ".join(f"{phone_set} ({language})" for language, phone_set in sets.items())
        raise LayersimError(
            f"{job.corpus}: its languages have phones of different sets: {found}. Make a corpus of each "
            "language (layersim corpus import), and align them apart."
        )
    for language, phone_set in sets.items():
        if phone_set is not None:
            return phone_set
        raise LayersimError(
            f"{job.corpus}: no built-in phone set knows the phones of {used[language].pronunciations}. Name "
            f"one, or a file of your own: phone_set under [corpora.{job.corpus}] in {FILE_NAME}."
        )
    raise LayersimError(f"{job.corpus}: no utterance has all that alignment needs.")


def _follow(group: Sequence[Utterance], aligned: Aligned, writer: OutputWriter) -> dict[str, Outcome]:
    """Take an aligner's results as they come; what it leaves out is a failure."""
    utterance_of = {utterance.utterance_id: utterance for utterance in group}
    outcomes: dict[str, Outcome] = {}
    for result in aligned.results:
        utterance = utterance_of[result.utterance_id]
        unknown = aligned.unknown_in.get(utterance.utterance_id, 0)
        fitting = _within(result, utterance) if isinstance(result, Alignment) else result
        outcomes[utterance.utterance_id] = (
            _outcome(utterance, fitting, unknown, writer)
            if isinstance(fitting, Alignment)
            else Outcome(utterance, fitting.reason, unknown_words=unknown)
        )
    for name, utterance in utterance_of.items():
        outcomes.setdefault(name, Outcome(utterance, "the aligner gave nothing for it"))
    scores = [o.log_likelihood for o in outcomes.values() if o.log_likelihood is not None]
    lowest = low_score(scores)
    if lowest is None:
        return outcomes
    return {
        name: replace(outcome, flags=tuple(flag for flag in FLAGS if flag in {*outcome.flags, "score"}))
        if outcome.log_likelihood is not None and outcome.log_likelihood < lowest
        else outcome
        for name, outcome in outcomes.items()
    }


def _within(alignment: Alignment, utterance: Utterance) -> Alignment | Failure:
    """Cut what stands over a recording's end by rounding; refuse what is of another recording."""
    seconds = utterance.seconds or alignment.seconds
    if not alignment.phones:
        return Failure(alignment.utterance_id, "the aligner found no phone in it")
    last = max(segment.end for segment in (*alignment.words, *alignment.phones))
    if last > seconds + BEYOND_AUDIO:
        reason = f"its alignment ends at {last:.3f} s and its recording at {seconds:.3f} s; of another one?"
        return Failure(alignment.utterance_id, reason)
    words, phones = cut_at(alignment.words, seconds), cut_at(alignment.phones, seconds)
    return replace(alignment, seconds=seconds, words=words, phones=phones)


def _outcome(utterance: Utterance, alignment: Alignment, unknown_words: int, writer: OutputWriter) -> Outcome:
    try:
        textgrid = writer.add(utterance, alignment)
    except LayersimError as error:  # intervals that overlap
        return Outcome(utterance, str(error))
    return Outcome(
        utterance=utterance,
        failure=None,
        textgrid=textgrid,
        log_likelihood=alignment.log_likelihood,
        speech_share=speech_share(alignment.phones),
        phones=len(alignment.phones),
        words=len(alignment.words),
        unknown_words=unknown_words,
        flags=tuple(shape_flags(alignment, unknown_words)),
    )

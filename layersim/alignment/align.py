"""The align stage: the times of every word and phone, for whole corpora.

All utterances of a corpus take part, of every split and every emotion: no label is looked at but for the
summary. The aligners keep what they have under ``align/CORPUS/work``; a run that was stopped goes on there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal

from filelock import FileLock, Timeout

from layersim.alignment.align_corpus import TRANSCRIPTS, WORK, align_corpus
from layersim.alignment.aligners import Aligner, choose_aligner
from layersim.alignment.machine_text import Transcriber
from layersim.alignment.outputs import is_complete, read_run
from layersim.alignment.preparation import CorpusJob, read_utterances
from layersim.alignment.result import AlignResult, LeftAlone
from layersim.errors import LayersimError, UsageError
from layersim.provenance import run_changes
from layersim.settings import Settings, StageConfig, setting
from layersim.workspace import Progress, Workspace, files_sha256, no_progress

# Settings that change how long a run takes and not what it gives.
_WITHOUT_EFFECT = ("jobs", "device")


class AlignConfig(StageConfig):
    """Settings of the align stage."""

    section: ClassVar[str] = "align"

    aligner: Literal["auto", "mfa", "builtin"] = setting(
        "auto",
        "mfa: the Montreal Forced Aligner; builtin: needs no download; auto: mfa if it is installed and has "
        "models of the language, else builtin.",
    )
    dictionary: str | None = setting(
        None,
        "Pronunciations: a file in MFA's format, or the name of one of MFA's dictionaries "
        "(none: builtin asks espeak-ng or pypinyin, mfa takes its own for the language).",
    )
    acoustic_model: str | None = setting(
        None, "One of MFA's acoustic models, or a file (none: its own for the language)."
    )
    transcribe: str | None = setting(
        None, "Whisper checkpoint that writes the texts that the manifest lacks (none: they are not aligned)."
    )
    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto", "Where that checkpoint runs (auto: a GPU if any)."
    )
    jobs: int = setting(0, "Processes at once (0: as many as there are cores).", ge=0)
    seed: int = setting(0, "Seed of what the built-in aligner draws.", ge=0)


LoadTranscriber = Callable[[str, str], Transcriber]
"""Called with a checkpoint and a device, when the first text is missing."""


def align(
    workspace: Workspace,
    settings: Settings[AlignConfig],
    corpora: Sequence[str] | None = None,
    load_transcriber: LoadTranscriber | None = None,
    progress: Progress = no_progress,
    force: bool = False,
    aligner: Aligner | None = None,
) -> list[AlignResult | LeftAlone]:
    """Align a workspace's corpora and write TextGrids, tables and a summary by emotion.

    Parameters
    ----------
    corpora : sequence of str, optional
        Their names; None: all that do not name alignments of their own.
    load_transcriber : callable, optional
        Loads the checkpoint that ``transcribe`` names; needed with that setting alone.
    progress : callable
        Gets files as ``checking NAME``, utterances as ``transcribing NAME``, and the aligner's own.
    force : bool
        Replace alignments that were made otherwise. What an aligner has kept of the same recordings, texts
        and settings is used again; delete ``align/CORPUS/work`` to have it made anew.
    aligner : Aligner, optional
        Set up already; None: as the settings say.

    Returns
    -------
    list of AlignResult or LeftAlone
        In the order of the corpora. Alignments that are there and would be made the same way are not made
        again.

    Raises
    ------
    LayersimError
        If a manifest or setting is wrong, a corpus has no texts, alignments made otherwise stand there and
        ``force`` is not set, or not one utterance can be aligned.
    """
    config = settings.config
    names = list(workspace.corpora) if corpora is None else list(dict.fromkeys(corpora))
    if not names:
        raise LayersimError(f"{workspace.root}: the workspace has no corpus. Add one: layersim init.")
    if config.transcribe is not None and load_transcriber is None:
        raise ValueError("load_transcriber: expected a callable, since the settings name a checkpoint")
    entries = {name: workspace.corpus(name) for name in names}
    left = {} if corpora else {name: entry for name, entry in entries.items() if entry.alignments}
    jobs = {name: _prepare(workspace, name, config, progress) for name in names if name not in left}
    dictionary = _dictionary(workspace.root, config)
    acoustic_model = _acoustic_model(workspace.root, config)
    _refuse_two_languages(config, jobs)
    chosen, finished = {}, set()
    for name, job in jobs.items():
        chosen[name] = aligner or choose_aligner(
            config.aligner, job.languages, dictionary=dictionary, acoustic_model=acoustic_model,
            phone_set=None if job.alignments else job.phone_set, seed=config.seed, jobs=config.jobs,
        )  # fmt: skip
        job.inputs["aligner"] = chosen[name].name
        if isinstance(dictionary, Path):
            job.inputs["dictionary"] = files_sha256([dictionary])
        if acoustic_model is not None and Path(acoustic_model).is_file():
            job.inputs["acoustic_model"] = files_sha256([Path(acoustic_model)])
        if _is_finished(job, settings, force):
            finished.add(name)

    @cache
    def transcriber() -> Transcriber:
        if config.transcribe is None or load_transcriber is None:
            raise ValueError("no checkpoint is named")
        return load_transcriber(config.transcribe, config.device)

    results: list[AlignResult | LeftAlone] = []
    for name in names:
        if name in left:
            results.append(LeftAlone(corpus=name, alignments=str(left[name].alignments)))
        elif name in finished:
            results.append(AlignResult.from_json(read_run(jobs[name].folder)["results"]))
        else:
            write = transcriber if config.transcribe is not None else None
            with _alone(jobs[name].folder):
                results.append(align_corpus(jobs[name], chosen[name], settings, write, progress))
    return results


def _prepare(workspace: Workspace, name: str, config: AlignConfig, progress: Progress) -> CorpusJob:
    entry = workspace.corpus(name)
    utterances, inputs = read_utterances(name, entry, progress)
    if config.transcribe is None and not any(utterance.text for utterance in utterances):
        raise LayersimError(
            f"{entry.manifest}: no utterance has a text, and what is not known cannot be aligned. Fill the "
            "column text, or let a model write it: layersim align --transcribe MODEL (a Whisper checkpoint); "
            "or leave this corpus out: layersim align --corpus OTHER."
        )
    folder = workspace.align_folder(name)
    if config.transcribe is not None and (folder / TRANSCRIPTS).is_file():
        inputs["transcripts"] = files_sha256([folder / TRANSCRIPTS])
    return CorpusJob(name, folder, utterances, inputs, entry.alignments, entry.phone_set)


def _dictionary(root: Path, config: AlignConfig) -> Path | str | None:
    """Return a dictionary's file, or its name in MFA."""
    name = config.dictionary
    if name is None:
        return None
    file = root / Path(name).expanduser()
    if file.is_file():
        return file.resolve()
    if "/" in name or "\\" in name or file.suffix:
        raise LayersimError(f"dictionary {file}: no such file. Name a dictionary in MFA's format.")
    return name


def _acoustic_model(root: Path, config: AlignConfig) -> str | None:
    """Return an acoustic model's file, or its name in MFA."""
    name = config.acoustic_model
    file = None if name is None else root / Path(name).expanduser()
    return str(file.resolve()) if file is not None and file.is_file() else name


def _refuse_two_languages(config: AlignConfig, jobs: dict[str, CorpusJob]) -> None:
    """A dictionary and an acoustic model are of one language."""
    languages = {language: name for name, job in reversed(jobs.items()) for language in job.languages}
    given = [name for name in ("dictionary", "acoustic_model") if getattr(config, name) is not None]
    if given and len(languages) > 1:
        found = ", ".join(f"{language} ({name})" for language, name in sorted(languages.items()))
        raise UsageError(
            f"{given[0]}: is of one language, and the corpora have {found}. Name the corpora that it is for: "
            "--corpus NAME."
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep another run out of a corpus's folder; a lock of a run that was killed is none."""
    (folder / WORK).mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / WORK / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LayersimError(
            f"{folder}: another layersim align is at work there. Wait until it has ended, or stop it."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _is_finished(job: CorpusJob, settings: Settings[AlignConfig], force: bool) -> bool:
    """Whether these very alignments stand there; others are refused, or made anew with ``force``."""
    changes = run_changes(job.folder, settings, job.inputs, but=_WITHOUT_EFFECT)
    if changes and not force:
        raise LayersimError(
            f"{job.folder}: holds alignments made differently ({'; '.join(changes)}). "
            "Replace them with --force."
        )
    return changes == [] and not force and is_complete(job.folder)

"""Measure the aligners against reference times; print the tables of `reports/benchmarks.md`.

Usage::

    python reports/alignment_accuracy.py DATA MFA_RUN WORK

``DATA`` holds ``emodb`` (metadata.csv, audio, phones_merged.csv with the corpus's hand labels) and ``casia``
(metadata.csv, audio, syllables.csv with the corpus's own syllable times). ``MFA_RUN`` holds a recorded run of
the Montreal Forced Aligner on synthetic speech: ``en`` and ``zh`` (audio and .lab files in speaker folders),
``en.dict`` and ``zh.dict``, ``en.ref.json`` and ``zh.ref.json`` (exact phone times), ``output/en`` and
``output/zh`` (TextGrids). ``WORK`` is where the built-in aligner keeps its models; models that are there
already are taken, and their speed is then not measured.

Every aligner sees texts and audio only. How vowels are matched and what the figures mean is said in
`layersim.alignment.accuracy`. Intervals are 95 % over speakers drawn with replacement.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from layersim.alignment.accuracy import VowelMatch, accuracy, match_vowels, together, vowels_of
from layersim.alignment.aligned import Alignment, Failure, Recording
from layersim.alignment.builtin.aligner import align_builtin
from layersim.alignment.phone_set import load_phone_set
from layersim.alignment.pronunciation.pronounce import pronounce
from layersim.alignment.readers import read_alignments
from layersim.alignment.segments import Segment
from layersim.corpus.importers import import_corpus
from layersim.corpus.manifest import read_manifest
from layersim.demo.corpus import RECIPES, make_corpus
from layersim.metrics import percentile_interval, speaker_weights

Vowels = dict[str, list[Segment]]  # utterance id -> its vowels
Key = Callable[[Recording], str]

_STOPS = "ptkʈ"  # first letters of the stops and affricates of Mandarin
_COLUMNS = ("vowels", "missed %", "extra %", "≤ 10 ms %", "≤ 20 ms %", "95 % interval", "≤ 25 ms %",
            "≤ 50 ms %", "median ms", "bias start ms", "bias end ms", "IoU")  # fmt: skip


def main() -> None:
    """Measure everything and print Markdown."""
    parser = argparse.ArgumentParser(description="Measure the aligners against reference times.")
    parser.add_argument("data", type=Path)
    parser.add_argument("mfa_run", type=Path)
    parser.add_argument("work", type=Path)
    arguments = parser.parse_args()
    emodb(arguments.data / "emodb", arguments.work)
    casia(arguments.data / "casia", arguments.work)
    for language in ("en", "zh"):
        recorded_run(arguments.mfa_run, language, arguments.work)
    demo(arguments.work)


def emodb(folder: Path, work: Path) -> None:
    """Emo-DB's hand labels: the aligner as it is, without its parts, by emotion and by speaker."""
    recordings, emotions = _recordings("emodb", folder)
    reference = vowels_of(
        read_alignments(folder / "phones_merged.csv", [r.utterance_id for r in recordings]).phones,
        load_phone_set("sampa-de"),
    )
    labelled = [recording for recording in recordings if recording.utterance_id in reference]
    texts = [recording.text for recording in labelled]
    print(f"\n### Emo-DB, hand labels ({len(labelled)} utterances, 10 speakers)\n")
    _heading("setting")
    rows: dict[str, Vowels] = {}
    for name, variants, synthetic in (
        ("builtin", True, True), ("without pronunciation variants", False, True),
        ("without the synthetic start", True, False),
    ):  # fmt: skip
        said = pronounce(texts, "de", variants=variants)
        spoken = [replace(r, words=words) for r, words in zip(labelled, said.words, strict=True)]
        rows[name] = _align(
            spoken, work / f"emodb-{name.replace(' ', '-')}", "de" if synthetic else "none", said.phone_set
        )
        _row(name, labelled, reference, rows[name])
    found = rows["builtin"]
    print("\nBy emotion and by speaker (the first row of the table above):\n")
    _heading("group")
    for key in (lambda recording: emotions[recording.utterance_id], lambda recording: recording.speaker):
        for name, group in _groups(labelled, key).items():
            _row(name, group, reference, found)


def casia(folder: Path, work: Path) -> None:
    """CASIA's own syllable times: both boundaries of every syllable."""
    recordings, emotions = _recordings("casia", folder)
    said = pronounce([recording.text for recording in recordings], "zh")
    spoken = [replace(r, words=words) for r, words in zip(recordings, said.words, strict=True)]
    results = _run(spoken, work / "casia", "zh", said.phone_set)
    table = pd.read_csv(folder / "syllables.csv", keep_default_na=False)
    table = table[table["syllable"] != "SIL"]
    times = {name: rows[["start", "end"]].to_numpy() for name, rows in table.groupby("utt_id")}
    errors: dict[str, list[np.ndarray]] = {"all": []}
    initials: dict[str, list[np.ndarray]] = {}  # first phone of a syllable -> its errors
    failed = other = 0
    for recording in recordings:
        result, own = results[recording.utterance_id], times.get(recording.utterance_id)
        if isinstance(result, Failure):
            failed += 1
            continue
        if own is None or len(own) != len(result.words):
            other += 1
            continue
        difference = np.array([(word.start, word.end) for word in result.words]) - own
        for name in ("all", emotions[recording.utterance_id], recording.speaker):
            errors.setdefault(name, []).append(difference)
        first_phones = {phone.start: phone.label for phone in reversed(result.phones)}
        for word, row in zip(result.words, difference, strict=True):
            initials.setdefault(first_phones[word.start], []).append(row[None])
    begin_with_a_stop = [parts for label, parts in initials.items() if label[0] in _STOPS]
    others = [parts for label, parts in initials.items() if label[0] not in _STOPS]
    errors["begins with a stop or affricate"] = [row for parts in begin_with_a_stop for row in parts]
    errors["begins with another sound"] = [row for parts in others for row in parts]
    print(f"\n### CASIA, the corpus's own syllable times ({len(recordings)} utterances, 4 speakers)\n")
    print(f"Left out: {other} utterances with another number of syllables, or none; {failed} not aligned.\n")
    print(
        "| group | syllables | ≤ 20 ms % | ≤ 50 ms % | ≤ 100 ms % | median ms | bias start ms | bias end ms |"
    )
    print("| --- " * 8 + "|")
    for name, parts in errors.items():
        values = np.concatenate(parts) * 1000
        shares = " | ".join(f"{100 * (np.abs(values) <= limit).mean():.1f}" for limit in (20, 50, 100))
        print(
            f"| {name} | {len(values):,} | {shares} | {np.median(np.abs(values)):.1f} | "
            f"{np.median(values[:, 0]):+.1f} | {np.median(values[:, 1]):+.1f} |"
        )


def recorded_run(folder: Path, language: str, work: Path) -> None:
    """Synthetic speech with exact times: MFA as it was recorded, and the built-in aligner on the same."""
    exact = json.loads((folder / f"{language}.ref.json").read_text(encoding="utf-8"))
    phone_set = load_phone_set("espeak-ipa")
    reference = {
        name: [Segment(start, end, label) for label, start, end in rows if phone_set.find(label)]
        for name, rows in exact.items()
    }
    recordings = [
        Recording(name, name.split("/")[0], folder / language / f"{name}.wav", None, None,
                  (folder / language / f"{name}.lab").read_text(encoding="utf-8").strip())
        for name in exact
    ]  # fmt: skip
    recorded = read_alignments(folder / "output" / language, list(exact))
    print(f"\n### Synthetic speech with exact times, {language} ({len(recordings)} utterances, 3 voices)\n")
    _heading("aligner")
    _row("MFA 3.4.3, recorded", recordings, reference, vowels_of(recorded.phones, phone_set))
    given = folder / f"{language}.dict"
    for name, dictionary, spoken_by_espeak in (
        ("builtin, MFA's dictionary, even start", given, False), ("builtin, MFA's dictionary", given, True),
        ("builtin", None, True),
    ):  # fmt: skip
        said = pronounce([recording.text for recording in recordings], language, dictionary)
        spoken = [replace(r, words=words) for r, words in zip(recordings, said.words, strict=True)]
        place = work / f"recorded-{language}-{'own' if dictionary is None else 'dictionary'}"
        if not spoken_by_espeak:
            place = place.with_name(f"{place.name}-even")
        found = _align(spoken, place, language if spoken_by_espeak else "none", said.phone_set)
        _row(name, recordings, reference, found)


def demo(work: Path) -> None:
    """The demo's two corpora, whose times are exact: emotional prosody, voices of many kinds."""
    print("\n### The demo's synthetic corpora, exact times\n")
    _heading("corpus")
    with TemporaryDirectory() as scratch:
        for recipe in RECIPES:
            entry = make_corpus(recipe, Path(scratch))
            if entry.alignments is None:
                raise ValueError("the demo writes its phones")
            manifest = read_manifest(entry.manifest)
            recordings = _of_manifest(manifest, entry.audio_root)
            reference = vowels_of(
                read_alignments(entry.alignments, manifest["utterance_id"].tolist()).phones,
                load_phone_set("espeak-ipa"),
            )
            said = pronounce([recording.text for recording in recordings], recipe.language)
            spoken = [replace(r, words=words) for r, words in zip(recordings, said.words, strict=True)]
            found = _align(spoken, work / recipe.name, recipe.language, said.phone_set)
            _row(f"{recipe.name}, builtin", recordings, reference, found)


def _recordings(name: str, folder: Path) -> tuple[list[Recording], dict[str, str]]:
    found = import_corpus(name, folder)
    emotions = dict(zip(found.manifest["utterance_id"], found.manifest["emotion"], strict=True))
    return _of_manifest(found.manifest, found.audio_root), emotions


def _of_manifest(manifest: pd.DataFrame, audio_root: Path) -> list[Recording]:
    columns = (manifest[name].tolist() for name in ("utterance_id", "speaker", "path", "text"))
    return [
        Recording(name, speaker, audio_root / path, None, None, text)
        for name, speaker, path, text in zip(*columns, strict=True)
    ]


def _run(
    recordings: Sequence[Recording], folder: Path, language: str, phone_set: str | None
) -> dict[str, Alignment | Failure]:
    """Align with one process; the time that training and aligning took goes to stderr."""
    trained = (folder / "model.safetensors").is_file()
    seconds = 0.0

    def aligned() -> dict[str, Alignment | Failure]:
        found = align_builtin(
            recordings, folder, language=language, phone_set=phone_set or "", seed=0, jobs=1
        )
        return {result.utterance_id: result for result in found}

    began = time.perf_counter()
    results = aligned()
    whole = time.perf_counter() - began
    seconds = sum(result.seconds for result in results.values() if isinstance(result, Alignment))
    if not trained:
        for part in (folder / "parts").glob("*.json"):
            part.unlink()
        began = time.perf_counter()
        if aligned() != results:
            raise ValueError("the same model gave other times")
        after = time.perf_counter() - began
        print(
            f"{folder.name}: {seconds:.0f} s of audio; {seconds / whole:.1f} x real time with training, "
            f"{seconds / after:.1f} x after training, one process",
            file=sys.stderr,
        )
    return results


def _align(recordings: Sequence[Recording], folder: Path, language: str, phone_set: str | None) -> Vowels:
    """Return the vowels that the built-in aligner finds."""
    sounds = load_phone_set(phone_set or "")
    results = _run(recordings, folder, language, phone_set)
    failures = [result for result in results.values() if isinstance(result, Failure)]
    if failures:
        print(f"{folder.name}: {len(failures)} failures, such as {failures[0]}", file=sys.stderr)
    return {
        name: [phone for phone in result.phones if sounds.find(phone.label)]
        for name, result in results.items()
        if isinstance(result, Alignment)
    }


def _groups(recordings: Iterable[Recording], key: Key) -> dict[str, list[Recording]]:
    groups: dict[str, list[Recording]] = {}
    for recording in recordings:
        groups.setdefault(key(recording), []).append(recording)
    return dict(sorted(groups.items()))


def _heading(first: str) -> None:
    print("| " + " | ".join((first, *_COLUMNS)) + " |")
    print("| --- " * (len(_COLUMNS) + 1) + "|")


def _row(
    name: str, recordings: Sequence[Recording], reference: Mapping[str, list[Segment]], found: Vowels
) -> None:
    """Print one line: the recordings' vowels against the reference's."""
    by_speaker = {
        speaker: together(
            match_vowels(reference[r.utterance_id], found.get(r.utterance_id, [])) for r in group
        )
        for speaker, group in _groups(recordings, lambda recording: recording.speaker).items()
    }
    result = accuracy(together(by_speaker.values()))
    shares = {limit: f"{100 * share:.1f}" for limit, share in result.within.items()}
    cells = [
        f"{result.vowels:,}", f"{100 * result.missed:.1f}", f"{100 * result.extra:.1f}", shares[0.01],
        shares[0.02], _interval(list(by_speaker.values())), shares[0.025], shares[0.05],
        f"{1000 * result.median_error:.1f}", f"{1000 * result.bias_start:+.1f}",
        f"{1000 * result.bias_end:+.1f}", f"{result.overlap:.2f}",
    ]  # fmt: skip
    print("| " + " | ".join((name, *cells)) + " |", flush=True)


def _interval(speakers: Sequence[VowelMatch]) -> str:
    """Share of boundaries within 20 ms: 95 % over speakers drawn with replacement; needs three."""
    if len(speakers) < 3:
        return "–"
    hits = np.array([(np.abs(match.errors) <= 0.02 + 1e-6).sum() for match in speakers])
    counts = np.array([match.errors.size for match in speakers])
    weights = speaker_weights(len(speakers), 1000, np.random.default_rng(0))
    interval = percentile_interval((weights @ hits) / (weights @ counts))
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"


if __name__ == "__main__":
    main()

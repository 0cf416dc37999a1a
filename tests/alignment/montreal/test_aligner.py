"""The driver of the Montreal Forced Aligner, against a recorded run of it and a stand-in for its program."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from layersim.alignment.aligned import Alignment, Failure, Recording
from layersim.alignment.montreal.aligner import MfaResult, align_with_mfa
from layersim.errors import LayersimError

# A program with MFA's commands. It refuses arguments that MFA 3 would refuse, writes down what it was called
# with and what it found in the corpus folder, prints as MFA does (rich), and answers with the recorded
# TextGrids of the files behind the corpus's links; without a recorded run, with a sound per letter, `spn` for
# words that are not in its dictionary.
STAND_IN = """
import csv, json, os, pathlib, shutil, sys, time, wave
here = pathlib.Path(__file__).parent
plan = json.loads((here / "plan.json").read_text("utf-8"))
arguments = sys.argv[1:]
command = arguments[0]

def note(kind, **what):
    with (here / "calls.jsonl").open("a") as stream:
        stream.write(json.dumps({"kind": kind, **what}) + "\\n")

if command == "version":
    print(plan["version"])
    sys.stderr.write(plan.get("version_stderr", ""))
    sys.exit(plan.get("version_code", 0))

valued = {"--temporary_directory", "--num_jobs", "--output_format", "--output_directory",
          "--acoustic_model_path", "--language"}
flags = {"--clean", "--no_clean", "--ignore_acoustics", "--output_analysis"}
places, options, rest = [], {}, arguments[1:]
while rest:
    word = rest.pop(0)
    if word in valued:
        options[word] = rest.pop(0)
    elif word in flags:
        options[word] = True
    elif word.startswith("-"):
        sys.exit(f"Error: no such option {word}")
    else:
        places.append(word)
if len(places) != {"validate": 2, "align": 4, "train": 3}[command]:
    sys.exit(f"Error: wrong number of arguments: {places}")
corpus, scratch = pathlib.Path(places[0]), pathlib.Path(options["--temporary_directory"])
for path in (places[0], options.get("--output_directory", ""), places[-1]):
    if path.startswith(str(scratch)):
        sys.exit("Error: must be outside of MFA's temporary directory")
found = {}
for file in sorted(corpus.rglob("*.lab")):
    audio = next(f for f in file.parent.iterdir() if f.stem == file.stem and f.suffix != ".lab")
    found[file.relative_to(corpus).with_suffix("").as_posix()] = {
        "text": file.read_text("utf-8"), "audio": os.readlink(audio) if audio.is_symlink() else None,
        "file": str(audio)}
note(command, places=places, options=options, found=found, begun=scratch.exists(), pid=os.getpid(),
     arguments=arguments)
scratch.mkdir(parents=True, exist_ok=True)

if plan.get("rich") == command:  # as MFA does; slow to import
    import logging, warnings
    warnings.simplefilter("ignore")
    from rich.console import Console
    from rich.logging import RichHandler
    from tqdm.rich import tqdm
    logger = logging.getLogger("mfa")
    logger.setLevel("INFO")
    logger.addHandler(RichHandler(console=Console(stderr=True), show_path=False, log_time_format=""))
    logger.info("Generating MFCCs...")
    with tqdm(total=4) as bar:
        for _ in range(4):
            bar.update(1)
            time.sleep(0.25)  # rich draws ten times a second
    for number in range(1, 4):
        logger.info(f"monophone - Iteration {number} of 3")
if plan.get("hang") and command != "validate":
    time.sleep(600)
failing = plan.get("fail", {}).get(command)
if failing and not (failing.get("only_begun") and "--clean" in options):
    sys.stderr.write(failing["says"] + "\\n")
    sys.exit(failing["code"])
if command == "validate":
    output = pathlib.Path(options["--output_directory"])
    output.mkdir(parents=True)
    lines = [f"{word}\\t{count}\\n" for word, count in plan.get("oov", {}).items()]
    (output / "oov_counts_english.txt").write_text("".join(lines), "utf-8")
    sys.exit(0)

output = pathlib.Path(options["--output_directory"] if command == "train" else places[3])
if command == "train":
    pathlib.Path(places[2]).write_bytes(b"model")
recorded = plan.get("recorded") and pathlib.Path(plan["recorded"])
likelihoods = {}
if recorded:
    with (recorded / "alignment_analysis.csv").open(newline="") as stream:
        likelihoods = {(row["speaker"], row["file"]): row for row in csv.DictReader(stream)}
rows = []
for place, entry in found.items():
    if place.rpartition("/")[2] in plan.get("drop", []):
        continue
    target = output / f"{place}.TextGrid"
    target.parent.mkdir(parents=True, exist_ok=True)
    if recorded:
        source = pathlib.Path(entry["audio"])
        shutil.copy(recorded / source.parent.name / f"{source.stem}.TextGrid", target)
        rows.append({**likelihoods[source.parent.name, source.stem], "file": target.stem,
                     "speaker": target.parent.name})
        continue
    with wave.open(entry["file"]) as sound:
        seconds = sound.getnframes() / sound.getframerate()
    words = entry["text"].split()
    step = plan.get("stretch", 1.0) * seconds / sum(map(len, words))
    at, tiers = 0.0, {"words": [], "phones": []}
    for word in words:
        labels = ["spn"] * len(word) if word in plan.get("oov", {}) else list(word)
        if labels[0] == "spn":
            tiers["phones"].append((at, at + step * len(word), "spn"))
        else:
            tiers["phones"] += [(at + n * step, at + (n + 1) * step, label) for n, label in enumerate(labels)]
        tiers["words"].append((at, at + step * len(word), word))
        at += step * len(word)
    lines = [f'File type = "ooTextFile"', 'Object class = "TextGrid"', "", f"0 {at} <exists> 2"]
    for name, intervals in tiers.items():
        lines.append(f'"IntervalTier" "{name}" 0 {at} {len(intervals)}')
        lines += [f'{start} {end} "{label}"' for start, end, label in intervals]
    target.write_text("\\n".join(lines), "utf-8")
    rows.append({"file": target.stem, "speaker": target.parent.name, "overall_log_likelihood": "-50.5"})
if rows and not plan.get("no_analysis"):
    with (output / "alignment_analysis.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
output.mkdir(parents=True, exist_ok=True)
"""


@dataclass
class StandIn:
    """The stand-in's folder and what it was called with."""

    folder: Path

    def plan(self, **what: Any) -> None:
        (self.folder / "plan.json").write_text(json.dumps({"version": "3.4.3", **what}), "utf-8")

    def calls(self) -> list[dict[str, Any]]:
        file = self.folder / "calls.jsonl"
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


@pytest.fixture
def mfa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A stand-in for ``mfa``, first on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "mfa"
    script.write_text(f"#!{sys.executable}\n{STAND_IN}", "utf-8")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    stand_in = StandIn(folder)
    stand_in.plan()
    return stand_in


@pytest.fixture
def speech(tmp_path: Path, write_tone: Callable[..., Path]) -> list[Recording]:
    """Three short utterances of two speakers."""
    rows = [("a", "Eva M.", "one two"), ("b", "Eva M.", "two zwei"), ("c", "bo", "one")]
    return [
        Recording(name, speaker, write_tone(tmp_path / f"audio/{name}.wav", 1.0, seed=n), None, None, text)
        for n, (name, speaker, text) in enumerate(rows)
    ]


def align(recordings: Sequence[Recording], folder: Path, **options: Any) -> MfaResult:
    defaults: dict[str, Any] = {"language": "en", "dictionary": None, "acoustic_model": None, "jobs": 2}
    return align_with_mfa(recordings, folder, **{**defaults, **options})


def recorded_recordings(shared: Path, language: str) -> list[Recording]:
    return [
        Recording(f"{lab.parent.name}/{lab.stem}", lab.parent.name, lab.with_suffix(".wav"), None, None,
                  lab.read_text("utf-8"))
        for lab in sorted((shared / "mfa_run" / language).rglob("*.lab"))
    ]  # fmt: skip


# ---- the recorded run ----


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_recorded_run_is_read_whole_and_its_times_are_those_of_the_synthesiser(
    shared: Path, tmp_path: Path, mfa: StandIn, language: str
) -> None:
    run = shared / "mfa_run"
    mfa.plan(recorded=str(run / "output" / language))
    recordings = recorded_recordings(shared, language)
    result = align(recordings, tmp_path / "mfa", language=language, dictionary=str(run / f"{language}.dict"))
    assert [r.utterance_id for r in result.results] == [r.utterance_id for r in recordings]
    assert all(isinstance(r, Alignment) for r in result.results)
    assert result.version == "3.4.3"
    reference = json.loads((run / f"{language}.ref.json").read_text("utf-8"))
    with (run / f"output/{language}/alignment_analysis.csv").open(newline="") as stream:
        scores = {f"{row['speaker']}/{row['file']}": row for row in csv.DictReader(stream)}
    offs = []
    for aligned in result.results:
        assert isinstance(aligned, Alignment)
        name = aligned.utterance_id
        assert aligned.log_likelihood == float(scores[name]["overall_log_likelihood"])
        assert aligned.seconds == pytest.approx(float(scores[name]["end"]), abs=1e-3)
        spoken = (run / language / f"{name}.lab").read_text("utf-8").lower().split()
        assert [word.label for word in aligned.words] == spoken
        for phone in aligned.phones:
            starts = [start for label, start, _ in reference[name] if label == phone.label]
            if starts:
                offs.append(min(abs(start - phone.start) for start in starts))
    assert len(offs) > 300
    assert median(offs) < 0.03  # the recorded run's README: median 13 and 16 ms at vowels; here all phones


def test_the_commands_are_those_of_mfa_3(tmp_path: Path, mfa: StandIn, speech: list[Recording]) -> None:
    align(speech, tmp_path / "out", dictionary="english_us_arpa", acoustic_model="english_us_arpa", jobs=3)
    below = tmp_path.resolve() / "out"
    validate, aligning = mfa.calls()
    assert validate["arguments"] == [
        "validate", f"{below}/corpus", "english_us_arpa", "--acoustic_model_path", "english_us_arpa",
        "--ignore_acoustics", "--output_directory", f"{below}/validation",
        "--temporary_directory", f"{below}/checks", "--num_jobs", "3", "--clean",
    ]  # fmt: skip
    assert aligning["arguments"] == [
        "align", f"{below}/corpus", "english_us_arpa", "english_us_arpa", f"{below}/output",
        "--output_format", "long_textgrid",
        "--temporary_directory", f"{below}/scratch", "--num_jobs", "3", "--clean",
    ]  # fmt: skip


def test_a_dictionary_file_alone_has_a_model_trained(
    tmp_path: Path, mfa: StandIn, speech: list[Recording]
) -> None:
    dictionary = tmp_path / "my.dict"
    dictionary.write_text("one\to n\n", "utf-8")
    result = align(speech, tmp_path / "out", dictionary=str(dictionary))
    below = tmp_path.resolve() / "out"
    validate, training = mfa.calls()
    assert "--acoustic_model_path" not in validate["arguments"]
    assert training["arguments"] == [
        "train", f"{below}/corpus", str(dictionary.resolve()), f"{below}/trained.zip",
        "--output_directory", f"{below}/output", "--output_format", "long_textgrid",
        "--temporary_directory", f"{below}/scratch", "--num_jobs", "2", "--clean", "--output_analysis",
    ]  # fmt: skip
    assert (below / "trained.zip").exists()
    assert [type(r) for r in result.results] == [Alignment] * 3


def test_han_text_is_parted_by_the_words_of_the_users_dictionary(
    tmp_path: Path, mfa: StandIn, speech: list[Recording]
) -> None:
    dictionary = tmp_path / "my.dict"
    dictionary.write_text("下雨\tɕ a\n就是\tt ɕ\n也\ti\n", "utf-8")
    recording = Recording("u", "s", speech[0].path, None, None, "就是下雨也去。")
    align([recording], tmp_path / "a", language="zh", dictionary=str(dictionary),
          acoustic_model="mandarin_mfa")  # fmt: skip
    align([recording], tmp_path / "b", language="zh")
    own_check, own, check, named = mfa.calls()
    assert own["found"]["s/u"]["text"] == "就是 下雨 也 去\n"
    assert [call["options"].get("--language") for call in (own_check, own)] == ["unknown", "unknown"]
    assert named["found"]["s/u"]["text"] == "就是下雨也去。\n"  # MFA's own tokenizer parts it
    assert named["places"][1:3] == ["mandarin_china_mfa", "mandarin_mfa"]
    assert "--language" not in named["options"]
    assert "--language" not in check["options"]


# ---- what is reported ----


def test_what_mfa_drops_is_a_failure_with_a_reason(
    tmp_path: Path, mfa: StandIn, speech: list[Recording]
) -> None:
    mfa.plan(drop=["a", "b"], oov={"zwei": 4})
    result = align(speech, tmp_path / "out")
    assert [(type(r), r.utterance_id) for r in result.results] == [
        (Failure, "a"),
        (Failure, "b"),
        (Alignment, "c"),
    ]
    first, second, _ = result.results
    assert isinstance(first, Failure)
    assert first.reason == (
        "MFA wrote no alignment of it. Check that the transcript is what is said: 'one two'."
    )
    assert isinstance(second, Failure)
    assert second.reason == (
        "MFA wrote no alignment of it. The dictionary lacks 1 of its words: zwei. Add them, and check that "
        "the transcript is what is said."
    )


def test_unknown_words_are_counted_and_their_utterances_stay(
    tmp_path: Path, mfa: StandIn, speech: list[Recording]
) -> None:
    mfa.plan(oov={"zwei": 1, "one": 2})
    result = align(speech, tmp_path / "out")
    second = result.results[1]
    assert isinstance(second, Alignment)
    assert [p.label for p in second.phones] == ["t", "w", "o"]
    assert [w.label for w in second.words] == ["two", "zwei"]
    assert result.unknown == {"one": 2, "zwei": 1}
    assert result.unknown_in == {"a": 1, "b": 1, "c": 1}
    assert result.notes == [
        "the dictionary lacks 2 words (3 occurrences): one (2), zwei (1)",
        "3 unknown words (spn) in 3 utterances have no phones: a (1), b (1), c (1)",
    ]
    assert result.results[2] == Failure(
        "c", "the dictionary has none of its words. Add them to the dictionary."
    )


def test_utterances_without_text_or_audio_never_reach_mfa(
    tmp_path: Path, mfa: StandIn, speech: list[Recording]
) -> None:
    bad = [
        Recording("d", "bo", speech[0].path, None, None, "  "),
        Recording("e", "bo", tmp_path / "gone.wav", None, None, "one"),
        Recording("f", "bo", speech[0].path, 0.5, 9.0, "one"),
    ]
    result = align([*bad, *speech], tmp_path / "out")
    assert [type(r) for r in result.results] == [Failure] * 3 + [Alignment] * 3
    reasons = [r.reason for r in result.results if isinstance(r, Failure)]
    assert reasons[0] == "it has no transcript. Add its text to the manifest."
    assert reasons[1].endswith("gone.wav: no such file. Check the manifest's path and the audio root.")
    assert "a.wav" in reasons[2]
    assert set(mfa.calls()[-1]["found"]) == {"Eva_M/a", "Eva_M/b", "bo/c"}


def test_without_anything_to_align_mfa_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = align([Recording("a", "s", tmp_path / "a.wav", None, None, "")], tmp_path / "out")
    assert result.results == [Failure("a", "it has no transcript. Add its text to the manifest.")]


def test_an_alignment_that_is_longer_than_its_audio_is_a_failure(
    tmp_path: Path, mfa: StandIn, speech: list[Recording]
) -> None:
    mfa.plan(stretch=1.5)
    first = align(speech, tmp_path / "out").results[0]
    assert isinstance(first, Failure)
    assert first.reason.endswith("a.TextGrid: reaches to 1.5 s, and the audio only to 1 s")


def test_without_alignment_analysis_there_are_no_likelihoods(
    tmp_path: Path, mfa: StandIn, speech: list[Recording]
) -> None:
    assert [r.log_likelihood for r in align(speech, tmp_path / "a").results if isinstance(r, Alignment)] == [
        -50.5
    ] * 3
    mfa.plan(no_analysis=True)
    result = align(speech, tmp_path / "b")
    assert [r.log_likelihood for r in result.results if isinstance(r, Alignment)] == [None] * 3
    assert result.notes == ["MFA wrote no alignment_analysis.csv: no log-likelihoods"]


def test_the_phone_set_is_that_of_the_models_else_that_of_the_labels(
    tmp_path: Path, mfa: StandIn, speech: list[Recording]
) -> None:
    assert align(speech, tmp_path / "a", acoustic_model="english_us_arpa").phone_set == "arpabet"
    assert align(speech, tmp_path / "b").phone_set == "mfa-ipa"
    dictionary = tmp_path / "my.dict"
    dictionary.write_text("one\to n\n", "utf-8")
    own = align(speech, tmp_path / "c", dictionary=str(dictionary))
    assert own.phone_set is not None
    assert own.notes[0].startswith(f"phone set {own.phone_set}, found from the labels: it has ")


# ---- progress, failures, interruption ----


def test_progress_is_that_of_mfas_steps(tmp_path: Path, mfa: StandIn, speech: list[Recording]) -> None:
    mfa.plan(rich="train")
    dictionary = tmp_path / "my.dict"
    dictionary.write_text("one\to n\n", "utf-8")
    seen: list[tuple[str, float, float]] = []
    align(speech, tmp_path / "out", dictionary=str(dictionary), progress=lambda *what: seen.append(what))
    bar = [done for label, done, total in seen if label == "mfa train: Generating MFCCs" and total == 100]
    assert bar == sorted(bar)
    assert {25, 50, 75} & set(bar)
    assert bar[-1] == 100
    assert [what for what in seen if "monophone" in what[0]] == [
        ("mfa train: monophone", n, 3) for n in (1, 2, 3)
    ]
    assert ("preparing MFA's corpus", 3, 3) in seen
    assert seen[-1] == ("reading MFA's alignments", 3, 3)


def test_a_failing_mfa_is_quoted(tmp_path: Path, mfa: StandIn, speech: list[Recording]) -> None:
    says = "NoAlignmentsError:\n\nThere were no successful alignments."
    mfa.plan(rich="align", fail={"align": {"code": 1, "says": says}})
    with pytest.raises(LayersimError, match=r"mfa align failed with exit code 1\. It said last:") as caught:
        align(speech, tmp_path / "out")
    message = str(caught.value)
    assert "\n  NoAlignmentsError:\n  There were no successful alignments.\n" in message
    assert "\x1b" not in message
    assert "%" not in message  # bars are no words
    assert message.endswith(f"All that it said: {tmp_path.resolve()}/out/mfa.log")
    log = (tmp_path / "out/mfa.log").read_text("utf-8")
    assert "$ mfa align " in log
    assert "INFO Generating MFCCs..." in log


@pytest.mark.parametrize("kind", ["acoustic", "dictionary"])
def test_a_model_that_is_not_downloaded_is_named_with_its_command(
    tmp_path: Path, mfa: StandIn, speech: list[Recording], kind: str
) -> None:
    says = (
        "╭─ Error ─────────────────────────────────────────────────────────╮\n"
        "│ Invalid value for 'ACOUSTIC_MODEL_PATH':                         │\n"
        "│ PretrainedModelNotFoundError:                                    │\n"
        f'│ Could not find a model named "german_mfa" for                   │\n'
        f"│ {kind}.                                                          │\n"
        "╰─────────────────────────────────────────────────────────────────╯"
    )
    mfa.plan(fail={"validate": {"code": 2, "says": says}, "align": {"code": 2, "says": says}})
    with pytest.raises(LayersimError, match=f"Download it: mfa model download {kind} german_mfa$"):
        align(speech, tmp_path / "out", language="de")


def test_a_validator_that_fails_does_not_keep_mfa_from_aligning(
    tmp_path: Path, mfa: StandIn, speech: list[Recording]
) -> None:
    mfa.plan(fail={"validate": {"code": 1, "says": "TypeError: not all arguments converted"}})
    result = align(speech, tmp_path / "out")
    assert [type(r) for r in result.results] == [Alignment] * 3
    log = tmp_path.resolve() / "out/mfa.log"
    assert result.notes == [f"mfa validate failed, so that unknown words are not listed: {log} says why"]


def test_a_run_that_aligns_nothing_is_an_error(tmp_path: Path, mfa: StandIn, speech: list[Recording]) -> None:
    mfa.plan(drop=["a", "b", "c"])
    with pytest.raises(
        LayersimError, match=r"MFA aligned none of 3 utterances\. Check that the dictionary \(eng"
    ):
        align(speech, tmp_path / "out")
    mfa.plan()
    assert isinstance(align(speech, tmp_path / "out").results[0], Alignment)  # nothing was taken for complete


def test_a_finished_folder_is_read_without_mfa(
    tmp_path: Path, mfa: StandIn, speech: list[Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    mfa.plan(oov={"zwei": 1})
    first = align(speech, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "mfa.json", "mfa.log", "output", "validation",
    ]  # fmt: skip
    monkeypatch.setenv("PATH", str(tmp_path))
    assert align(speech, tmp_path / "out") == first
    assert len(mfa.calls()) == 2
    with pytest.raises(LayersimError, match="no program 'mfa' on PATH"):  # other inputs
        align(speech, tmp_path / "out", acoustic_model="english_us_arpa")


def test_changed_inputs_are_aligned_anew(tmp_path: Path, mfa: StandIn, speech: list[Recording]) -> None:
    align(speech, tmp_path / "out")
    changed = [*speech[:2], Recording("c", "bo", speech[2].path, None, None, "two")]
    third = align(changed, tmp_path / "out").results[2]
    assert isinstance(third, Alignment)
    assert [w.label for w in third.words] == ["two"]
    assert len(mfa.calls()) == 4


def test_an_interrupted_run_goes_on_in_mfas_scratch_folder(
    tmp_path: Path, mfa: StandIn, speech: list[Recording]
) -> None:
    mfa.plan(fail={"align": {"code": 1, "says": "killed"}})
    with pytest.raises(LayersimError, match="killed"):
        align(speech, tmp_path / "out")
    mfa.plan()
    align(speech, tmp_path / "out")
    validate, first, second = mfa.calls()  # it is not validated twice
    assert (validate["kind"], first["begun"], second["begun"]) == ("validate", False, True)
    assert "--clean" in first["options"]
    assert "--no_clean" in second["options"]


def test_a_scratch_folder_that_mfa_cannot_go_on_from_is_left_behind(
    tmp_path: Path, mfa: StandIn, speech: list[Recording], caplog: pytest.LogCaptureFixture
) -> None:
    mfa.plan(fail={"align": {"code": 1, "says": "killed"}})
    with pytest.raises(LayersimError, match="killed"):
        align(speech, tmp_path / "out")
    mfa.plan(fail={"align": {"code": 1, "says": "database is malformed", "only_begun": True}})
    result = align(speech, tmp_path / "out")
    assert [type(r) for r in result.results] == [Alignment] * 3
    assert "MFA could not go on from where it had stopped; it starts anew" in caplog.text
    mfa.plan(version="3.3.8")  # of another version nothing is gone on from
    align(speech[:2], tmp_path / "out")
    assert "--clean" in mfa.calls()[-1]["options"]


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="process groups are POSIX's")
def test_mfa_ends_when_its_caller_is_interrupted(
    tmp_path: Path, mfa: StandIn, speech: list[Recording]
) -> None:
    mfa.plan(hang=True)
    script = f"""
        from pathlib import Path
        from layersim.alignment.aligned import Recording
        from layersim.alignment.montreal.aligner import align_with_mfa
        recording = Recording("a", "s", Path({str(speech[0].path)!r}), None, None, "one")
        align_with_mfa([recording], Path({str(tmp_path / "out")!r}), language="en", dictionary=None,
                       acoustic_model=None, jobs=1)
    """
    caller = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stderr=subprocess.PIPE)
    patience = time.monotonic() + 60
    while not any(call["kind"] == "align" for call in mfa.calls()):
        assert caller.poll() is None, caller.communicate()[1]
        assert time.monotonic() < patience
        time.sleep(0.05)
    pid = mfa.calls()[-1]["pid"]
    caller.send_signal(signal.SIGINT)
    _, said = caller.communicate(timeout=30)
    assert b"KeyboardInterrupt" in said
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# ---- the program itself ----


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"version": "2.2.17"},
         r"mfa: is a Montreal Forced Aligner of version 2\.2\.17; supported is 3\.x, since 4\.0 renames its "
         r"commands\. Install one: conda create -n aligner -c conda-forge montreal-forced-aligner=3$"),
        ({"version": "4.0.0"}, r"of version 4\.0\.0; supported is 3\.x"),
        ({"version": "None"}, r"of no known version \('None'\); supported is 3\.x"),
        ({"version": "", "version_code": 1,
          "version_stderr": "Traceback\n\nModuleNotFoundError: No module named '_kalpy'\n"},
         r"does not run \(exit code 1; it said: ModuleNotFoundError: No module named '_kalpy'\)\. If it came "
         r"with pip, that will not do: its package lacks Kaldi\. Install it with conda: conda create -n"),
    ],
)  # fmt: skip
def test_another_version_is_refused_before_anything_runs(
    tmp_path: Path, mfa: StandIn, speech: list[Recording], plan: dict[str, Any], message: str
) -> None:
    mfa.plan(**plan)
    with pytest.raises(LayersimError, match=message):
        align(speech, tmp_path / "out")
    assert mfa.calls() == []
    assert not (tmp_path / "out").exists()


def test_without_mfa_the_conda_command_is_given(
    tmp_path: Path, speech: list[Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LayersimError, match="no program 'mfa' on PATH") as caught:
        align(speech, tmp_path / "out")
    assert "conda create -n aligner -c conda-forge montreal-forced-aligner;" in str(caught.value)
    assert "pip will not do" in str(caught.value)


def test_jobs_are_at_least_one(tmp_path: Path, speech: list[Recording]) -> None:
    with pytest.raises(ValueError, match="jobs: expected at least 1, got 0"):
        align(speech, tmp_path / "out", jobs=0)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mfa") is None, reason="no Montreal Forced Aligner on PATH")
def test_the_real_program_trains_on_the_recorded_corpus_and_aligns_it(shared: Path, tmp_path: Path) -> None:
    recordings = recorded_recordings(shared, "en")
    result = align(recordings, tmp_path / "out", dictionary=str(shared / "mfa_run/en.dict"))
    aligned = [r for r in result.results if isinstance(r, Alignment)]
    assert len(aligned) >= 27
    assert all(r.log_likelihood is not None for r in aligned)

"""The align stage around an aligner that spaces phones evenly."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from layersim.alignment.align import AlignConfig, align
from layersim.alignment.aligned import Alignment, Failure, Recording
from layersim.alignment.aligners import Aligned
from layersim.alignment.outputs import find_outputs
from layersim.alignment.readers import read_alignments
from layersim.alignment.result import AlignResult, LeftAlone
from layersim.alignment.segments import Segment
from layersim.corpus.manifest_rows import COLUMNS
from layersim.errors import LayersimError, UsageError
from layersim.settings import resolve_settings
from layersim.workspace import CorpusEntry, Progress, Workspace

EMOTIONS = ("anger", "neutral", "sadness")


@dataclass
class EvenAligner:
    """Gives every letter of a text the same length, from 0.1 s on; words between blanks."""

    phone_set: str | None = "arpabet"
    step: float = 0.05
    fail: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    calls: list[tuple[str, list[str]]] = field(default_factory=list)
    name: str = "builtin"

    def align(
        self, recordings: Sequence[Recording], folder: Path, language: str, progress: Progress
    ) -> Aligned:
        self.calls.append((language, [recording.utterance_id for recording in recordings]))
        folder.mkdir(parents=True, exist_ok=True)
        results = [
            self._one(recording) for recording in recordings if recording.utterance_id not in self.forget
        ]
        return Aligned(results[::-1], self.phone_set, "letters", "even 1.0", {"zzz": 2}, {"u01": 2})

    def _one(self, recording: Recording) -> Alignment | Failure:
        if recording.utterance_id in self.fail:
            return Failure(recording.utterance_id, "too short for its phones")
        words, phones, time = [], [], 0.1
        for word in recording.text.split():
            begin = time
            for letter in word:
                phones.append(Segment(time, time + self.step, letter))
                time += self.step
            words.append(Segment(begin, time, word))
        score = -60.0 - int(recording.utterance_id[-2:]) % 5
        return Alignment(recording.utterance_id, 9.0, tuple(words), tuple(phones), score)


def manifest_rows(name: str, count: int = 12, **changes: Any) -> pd.DataFrame:
    rows = [
        {
            "corpus": name, "utterance_id": f"u{number:02d}", "path": f"audio/u{number:02d}.wav",
            "start": np.nan, "end": np.nan, "speaker": f"s{number % 3}", "language": "en",
            "emotion": EMOTIONS[number // 3 % 3], "split": ("train", "validation", "test")[number % 3],
            "text": "AH IY", "source_label": "", **changes,
        }
        for number in range(count)
    ]  # fmt: skip
    return pd.DataFrame(rows)[list(COLUMNS)]


Make = Callable[..., Workspace]


@pytest.fixture
def make(tmp_path: Path, write_tone: Callable[..., Path]) -> Make:
    """A workspace of corpora: ``make(english=manifest_rows("english"), ...)``."""

    def made(
        entries: dict[str, dict[str, Any]] | None = None, toml: str = "", **manifests: pd.DataFrame
    ) -> Workspace:
        corpora = {}
        for name, manifest in manifests.items():
            folder = tmp_path / name
            for path in manifest["path"]:
                if not (folder / path).exists():
                    write_tone(folder / path, 0.6)
            manifest.to_csv(folder / "manifest.csv", index=False)
            corpora[name] = CorpusEntry(
                manifest=folder / "manifest.csv", audio_root=folder, **(entries or {}).get(name, {})
            )
        root = tmp_path / "study"
        Workspace.create(root, "small", corpora, force=True)
        if toml:
            with (root / "layersim.toml").open("a", encoding="utf-8") as stream:
                stream.write(toml)
        return Workspace.read(root)

    return made


def settings(**flags: Any) -> Any:
    return resolve_settings(AlignConfig, flags)


def table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def only(results: list[AlignResult | LeftAlone]) -> AlignResult:
    (result,) = results
    assert isinstance(result, AlignResult)
    return result


def test_a_corpus_is_aligned_whole_whatever_the_split_and_written_in_the_manifests_order(make: Make) -> None:
    workspace, aligner = make(english=manifest_rows("english")), EvenAligner()
    result = only(align(workspace, settings(), aligner=aligner))
    assert aligner.calls == [("en", [f"u{number:02d}" for number in range(12)])]
    assert (result.utterances, result.aligned, result.failed, result.phones, result.words) == (
        12,
        12,
        0,
        48,
        24,
    )
    folder = workspace.align_folder("english")
    phones = table(folder / "phones.csv")
    assert [row["utterance_id"] for row in phones[::4]] == [f"u{number:02d}" for number in range(12)]
    assert phones[1] == {"utterance_id": "u00", "start": "0.150000", "end": "0.200000", "phone": "H"}
    assert table(folder / "words.csv")[1] == {
        "utterance_id": "u00", "start": "0.200000", "end": "0.300000", "word": "IY"
    }  # fmt: skip
    row = table(folder / "utterances.csv")[1]
    assert (row["utterance_id"], row["seconds"], row["machine_text"], row["phones"]) == (
        "u01",
        "0.6",
        "0",
        "4",
    )
    assert (row["flags"], row["failure"]) == ("unknown words", "")
    run = json.loads((folder / "run.json").read_text("utf-8"))
    assert run["command"] == "layersim align --corpus english"
    assert run["results"]["phone_set"] == "arpabet"
    assert result.log_likelihood_median == pytest.approx(np.median([-60.0 - n % 5 for n in range(12)]))
    assert [file.name for file in sorted(folder.iterdir())] == [
        "emotions.csv", "phones.csv", "run.json", "textgrids", "utterances.csv", "words.csv", "work",
    ]  # fmt: skip


def test_the_table_and_the_textgrids_read_back_as_the_same_alignment(make: Make) -> None:
    rows = manifest_rows("english")
    rows.loc[3, "utterance_id"] = "s0/deep/u03"
    workspace = make(english=rows)
    align(workspace, settings(), aligner=EvenAligner())
    folder, names = workspace.align_folder("english"), rows["utterance_id"].tolist()
    flat, grids = (read_alignments(folder / part, names) for part in ("phones.csv", "textgrids"))
    pd.testing.assert_frame_equal(flat.phones, grids.phones)
    assert len(flat.phones) == 48
    assert flat.missing == grids.missing == []


def test_textgrids_open_in_praatio_and_in_praat_itself(make: Make) -> None:
    import parselmouth
    from praatio import textgrid

    workspace = make(english=manifest_rows("english"))
    align(workspace, settings(), aligner=EvenAligner())
    file = workspace.align_folder("english") / "textgrids/s1/u01.TextGrid"
    grid = textgrid.openTextgrid(str(file), includeEmptyIntervals=False)
    assert grid.tierNames == ("words", "phones")
    assert [(round(s, 6), round(e, 6), label) for s, e, label in grid.getTier("words").entries] == [
        (0.1, 0.2, "AH"), (0.2, 0.3, "IY"),
    ]  # fmt: skip
    praat = parselmouth.praat
    opened = parselmouth.Data.read(str(file))
    assert praat.call(opened, "Get total duration") == pytest.approx(0.6)
    assert praat.call(opened, "Get number of tiers") == 2
    assert praat.call(opened, "Get label of interval", 2, 3) == "H"  # the first is the silence before


def test_names_that_a_file_system_refuses_or_takes_for_the_same_get_files_of_their_own(make: Make) -> None:
    rows = manifest_rows("english", 4)
    rows["utterance_id"] = ["a:b00", "a?b01", "A_B02", "a_b02"]
    rows["speaker"] = ["s/1", "s/1", "s/1", "s/1"]
    rows["split"] = "train"
    workspace = make(english=rows)
    align(workspace, settings(), aligner=EvenAligner())
    folder = workspace.align_folder("english")
    grids = [row["textgrid"] for row in table(folder / "utterances.csv")]
    assert sorted(grids) == [
        "textgrids/s_1/A_B02-2.TextGrid", "textgrids/s_1/a_b00.TextGrid", "textgrids/s_1/a_b01.TextGrid",
        "textgrids/s_1/a_b02.TextGrid",
    ]  # fmt: skip
    assert all((folder / name).is_file() for name in grids)


def test_every_failure_is_listed_with_its_reason_and_counted_by_emotion(make: Make, tmp_path: Path) -> None:
    rows = manifest_rows("english")
    rows.loc[0, "text"] = "  "
    rows.loc[1, "language"] = ""
    workspace = make(english=rows)
    (tmp_path / "english/audio/u02.wav").unlink()
    result = only(align(workspace, settings(), aligner=EvenAligner(fail=("u03",), forget=("u04",))))
    reasons = {
        row["utterance_id"]: row["failure"]
        for row in table(workspace.align_folder("english") / "utterances.csv")
        if row["failure"]
    }
    assert list(reasons) == ["u00", "u01", "u02", "u03", "u04"]
    expected = ("no text: fill .* --transcribe", "no language", "no such file", "too short", "gave nothing")
    for reason, wanted in zip(reasons.values(), expected, strict=True):
        assert re.search(wanted, reason)
    assert [(row.emotion, row.failed) for row in result.by_emotion] == [
        ("anger", 3), ("neutral", 2), ("sadness", 0),
    ]  # fmt: skip
    assert "5 utterances have no alignment: anger 3 of 6, neutral 2 of 3" in result.notes


def test_what_is_there_already_is_not_made_again(make: Make) -> None:
    workspace, aligner = make(english=manifest_rows("english")), EvenAligner()
    first = only(align(workspace, settings(), aligner=aligner))
    run = (workspace.align_folder("english") / "run.json").read_bytes()
    second = only(align(workspace, settings(jobs=3), aligner=aligner))  # how many at once changes nothing
    assert len(aligner.calls) == 1
    assert second == first.model_copy(update={"done_already": True})
    assert "done already" in second.to_table()
    assert "done already" not in first.to_table()
    assert (workspace.align_folder("english") / "run.json").read_bytes() == run


def test_other_texts_labels_settings_or_aligners_are_refused_without_force(make: Make) -> None:
    workspace = make(english=manifest_rows("english"))
    align(workspace, settings(), aligner=EvenAligner())
    cases = [
        (manifest_rows("english", text="AH"), {}, "builtin", "input 'texts' has changed"),
        (
            manifest_rows("english", speaker="s9", split="train"),
            {},
            "builtin",
            "input 'recordings' has changed",
        ),
        (manifest_rows("english", emotion="fear"), {}, "builtin", "input 'emotions' has changed"),
        (manifest_rows("english"), {"seed": 4}, "builtin", "seed: 0 there, 4 now"),
        (manifest_rows("english"), {}, "mfa", "input 'aligner' has changed"),
    ]
    for manifest, flags, name, message in cases:
        manifest.to_csv(workspace.corpus("english").manifest, index=False)
        with pytest.raises(
            LayersimError, match=rf"made differently \({message}\)\. Replace them with --force"
        ):
            align(workspace, settings(**flags), aligner=EvenAligner(name=name))
    manifest_rows("english", text="AH").to_csv(workspace.corpus("english").manifest, index=False)
    result = only(align(workspace, settings(), aligner=EvenAligner(), force=True))
    assert result.words == 12
    moved = manifest_rows("english", text="AH").iloc[::-1]
    moved.to_csv(workspace.corpus("english").manifest, index=False)  # the order of rows says nothing
    assert only(align(workspace, settings(), aligner=EvenAligner())).done_already


def test_a_run_that_was_killed_leaves_what_was_there(make: Make) -> None:
    @dataclass
    class Killed(EvenAligner):
        def _one(self, recording: Recording) -> Alignment | Failure:
            if recording.utterance_id == "u05":
                raise KeyboardInterrupt
            return super()._one(recording)

    workspace = make(english=manifest_rows("english"))
    align(workspace, settings(), aligner=EvenAligner())
    folder = workspace.align_folder("english")
    whole = {
        file: file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and "work" not in file.relative_to(folder).parts
    }
    with pytest.raises(KeyboardInterrupt):
        align(workspace, settings(seed=1), aligner=Killed(), force=True)
    assert {file: file.read_bytes() for file in whole} == whole
    assert only(align(workspace, settings(), aligner=Killed())).done_already
    align(workspace, settings(seed=1), aligner=EvenAligner(), force=True)
    assert not (folder / "textgrids-new").exists()


def test_a_first_run_that_was_killed_leaves_nothing_that_counts(make: Make) -> None:
    @dataclass
    class Killed(EvenAligner):
        def _one(self, recording: Recording) -> Alignment | Failure:
            raise KeyboardInterrupt

    workspace = make(english=manifest_rows("english"))
    with pytest.raises(KeyboardInterrupt):
        align(workspace, settings(), aligner=Killed())
    assert find_outputs(workspace.align_folder("english")) is None
    align(workspace, settings(), aligner=EvenAligner())
    assert find_outputs(workspace.align_folder("english")) is not None


def test_textgrids_of_utterances_that_are_gone_go_too(make: Make) -> None:
    workspace = make(english=manifest_rows("english"))
    align(workspace, settings(), aligner=EvenAligner())
    manifest_rows("english", 6).to_csv(workspace.corpus("english").manifest, index=False)
    align(workspace, settings(), aligner=EvenAligner(), force=True)
    assert len(list(workspace.align_folder("english").rglob("*.TextGrid"))) == 6


def test_a_corpus_with_alignments_of_its_own_is_left_alone_unless_it_is_named(
    make: Make, tmp_path: Path
) -> None:
    own = tmp_path / "hand.csv"
    own.write_text("utterance_id,start,end,phone\nu00,0.1,0.2,AH\n", encoding="utf-8")
    named = {"english": {"alignments": own, "phone_set": "arpabet"}}
    workspace = make(named, english=manifest_rows("english"), german=manifest_rows("german", language="de"))
    aligner = EvenAligner(phone_set="espeak-ipa")
    left, made = align(workspace, settings(), aligner=aligner)
    assert isinstance(left, LeftAlone)
    assert "english: left alone" in left.to_table()
    assert "layersim align --corpus english" in left.to_table()
    assert left.to_json() == {"corpus": "english", "alignments": str(own), "left_alone": True}
    assert made.corpus == "german"
    assert not workspace.align_folder("english").exists()
    result = only(align(workspace, settings(), ["english"], aligner=aligner))
    assert result.phone_set == "espeak-ipa"
    assert any("remove alignments and phone_set from [corpora.english]" in note for note in result.notes)
    assert any("hand.csv" in note and "vowel" in note for note in result.notes)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "not compared with hand.csv: .*hand.csv"),
        ("utterance_id,start,end,phone\nother,0.1,0.2,AH\n", "not compared with hand.csv: .*no alignment of"),
        ("utterance_id,start,end,phone\nu00,0.2,0.1,AH\n", "not compared with hand.csv: .*before its start"),
    ],
)
def test_alignments_that_cannot_be_compared_with_do_not_cost_the_new_ones(
    make: Make, tmp_path: Path, content: str | None, said: str
) -> None:
    own = tmp_path / "hand.csv"
    if content is not None:
        own.write_text(content, encoding="utf-8")
    workspace = make(
        {"english": {"alignments": own, "phone_set": "arpabet"}}, english=manifest_rows("english")
    )
    result = only(align(workspace, settings(), ["english"], aligner=EvenAligner()))
    assert result.aligned == 12
    assert any(re.match(said, note, re.DOTALL) for note in result.notes)
    assert find_outputs(workspace.align_folder("english")) is not None


def test_languages_of_one_corpus_are_aligned_apart(make: Make) -> None:
    rows = manifest_rows("mixed")
    rows.loc[rows.index % 2 == 1, "language"] = "zh"
    aligner = EvenAligner()
    workspace = make(mixed=rows)
    result = only(align(workspace, settings(), aligner=aligner))
    assert aligner.calls == [
        ("en", [f"u{number:02d}" for number in range(0, 12, 2)]),
        ("zh", [f"u{number:02d}" for number in range(1, 12, 2)]),
    ]
    assert result.pronunciations == {"en": "letters", "zh": "letters"}
    work = workspace.align_folder("mixed") / "work"
    assert {"builtin-en", "builtin-zh"} <= {folder.name for folder in work.iterdir()}


def test_languages_with_different_phone_sets_are_refused_before_anything_is_aligned(make: Make) -> None:
    def work() -> Iterator[Alignment | Failure]:
        raise RuntimeError("results were read")
        yield

    @dataclass
    class ByLanguage(EvenAligner):
        def align(
            self, recordings: Sequence[Recording], folder: Path, language: str, progress: Progress
        ) -> Aligned:
            found = super().align(recordings, folder, language, progress)
            return replace(found, results=work(), phone_set={"en": "arpabet", "zh": "pinyin"}[language])

    rows = manifest_rows("mixed")
    rows.loc[rows.index % 2 == 1, "language"] = "zh"
    with pytest.raises(LayersimError, match=r"different sets: arpabet \(en\), pinyin \(zh\)"):
        align(make(mixed=rows), settings(), aligner=ByLanguage())


def test_phones_of_no_known_set_need_one_that_the_workspace_names(make: Make) -> None:
    with pytest.raises(
        LayersimError, match=r"phones of letters\. Name one.*phone_set under \[corpora.english\]"
    ):
        align(make(english=manifest_rows("english")), settings(), aligner=EvenAligner(phone_set=None))
    workspace = make({"english": {"phone_set": "arpabet"}}, english=manifest_rows("english"))
    assert only(align(workspace, settings(), aligner=EvenAligner(phone_set=None))).phone_set == "arpabet"


def test_a_corpus_without_texts_says_how_to_get_some(make: Make) -> None:
    workspace = make(english=manifest_rows("english", text=""))
    with pytest.raises(
        LayersimError, match=r"no utterance has a text.*column text.*layersim align --transcribe"
    ):
        align(workspace, settings(), aligner=EvenAligner())


def test_if_nothing_can_be_aligned_the_reasons_are_said(make: Make) -> None:
    workspace = make(english=manifest_rows("english"))
    everything = tuple(f"u{number:02d}" for number in range(12))
    with pytest.raises(LayersimError, match=r"not one of 12 utterances(.|\n)*12 x too short for its phones"):
        align(workspace, settings(), aligner=EvenAligner(fail=everything))
    assert find_outputs(workspace.align_folder("english")) is None


def test_phones_beyond_the_recordings_end_are_a_failure_and_rounding_is_cut(make: Make) -> None:
    workspace = make(english=manifest_rows("english", text="ABCD EFGHI"))  # 0.1 + 9 x step, of 0.6 s
    result = only(align(workspace, settings(), aligner=EvenAligner(step=0.0570)))  # ends at 0.613 s
    assert result.failed == 0
    rows = table(workspace.align_folder("english") / "phones.csv")
    assert rows[8]["end"] == "0.600000"
    with pytest.raises(
        LayersimError, match=r"12 x its alignment ends at 0.640 s and its recording at 0.600 s"
    ):
        align(workspace, settings(seed=1), aligner=EvenAligner(step=0.06), force=True)


def test_overlapping_phones_are_a_failure_of_their_utterance_alone(make: Make) -> None:
    @dataclass
    class Overlapping(EvenAligner):
        def _one(self, recording: Recording) -> Alignment | Failure:
            found = super()._one(recording)
            assert isinstance(found, Alignment)
            if recording.utterance_id == "u05":
                return replace(found, phones=(*found.phones, Segment(0.12, 0.2, "X")))
            return found

    result = only(align(make(english=manifest_rows("english")), settings(), aligner=Overlapping()))
    assert (result.aligned, result.failed) == (11, 1)


def test_a_dictionary_of_one_language_is_not_for_corpora_of_two(make: Make, tmp_path: Path) -> None:
    (tmp_path / "my.dict").write_text("ah\tAH\n", encoding="utf-8")
    workspace = make(english=manifest_rows("english"), german=manifest_rows("german", language="de"))
    flags = {"dictionary": str(tmp_path / "my.dict")}
    with pytest.raises(
        UsageError, match=r"dictionary: is of one language.*de \(german\), en \(english\).*--corpus"
    ):
        align(workspace, settings(**flags), aligner=EvenAligner())
    assert only(align(workspace, settings(**flags), ["english"], aligner=EvenAligner())).aligned == 12
    (tmp_path / "my.dict").write_text("ah\tAH AH\n", encoding="utf-8")
    with pytest.raises(LayersimError, match="input 'dictionary' has changed"):
        align(workspace, settings(**flags), ["english"], aligner=EvenAligner())
    with pytest.raises(LayersimError, match=r"none\.dict: no such file"):
        align(workspace, settings(dictionary="none.dict"), ["english"], aligner=EvenAligner())


class FakeTranscriber:
    """Writes ``AH``, and nothing for what lies below ``quiet``."""

    name = "fake 0123"

    def __init__(self, texts: Sequence[str] = ("AH",), die_after: int = 999) -> None:
        self.texts, self.left, self.languages = texts, die_after, list[str]()

    def transcribe(self, waves: Sequence[Any], languages: Sequence[str]) -> list[str]:
        if len(self.languages) + len(waves) > self.left:
            raise KeyboardInterrupt
        self.languages += languages
        return [self.texts[number % len(self.texts)] for number, _ in enumerate(waves)]


def test_missing_texts_are_written_by_the_model_and_marked_and_others_stay(make: Make) -> None:
    rows = manifest_rows("english")
    rows.loc[rows.index >= 8, "text"] = ""
    workspace, writer = make(english=rows), FakeTranscriber(("AH  AH AH", "", "AH"))
    asked: list[tuple[str, str]] = []

    def load(checkpoint: str, device: str) -> FakeTranscriber:
        asked.append((checkpoint, device))
        return writer

    flags = settings(transcribe="small-whisper")
    result = only(align(workspace, flags, load_transcriber=load, aligner=EvenAligner()))
    assert (asked, writer.languages) == ([("small-whisper", "auto")], ["en"] * 4)
    assert (result.machine_texts, result.failed) == (4, 1)
    rows_out = table(workspace.align_folder("english") / "utterances.csv")
    assert [(row["text"], row["machine_text"]) for row in rows_out[7:]] == [
        ("AH IY", "0"), ("AH AH AH", "1"), ("", "1"), ("AH", "1"), ("AH AH AH", "1"),
    ]  # fmt: skip
    assert "the model heard no words" in rows_out[9]["failure"]
    assert any("4 texts were written by small-whisper, not by a person" in note for note in result.notes)
    again = only(align(workspace, flags, load_transcriber=load, aligner=EvenAligner()))
    assert (again.done_already, len(asked)) == (True, 1)


def test_a_text_corrected_by_a_person_counts_as_another_input_and_is_kept(make: Make) -> None:
    rows = manifest_rows("english")
    rows.loc[rows.index >= 8, "text"] = ""
    workspace, flags = make(english=rows), settings(transcribe="small-whisper")
    align(workspace, flags, load_transcriber=lambda *_: FakeTranscriber(), aligner=EvenAligner())
    file = workspace.align_folder("english") / "transcripts.csv"
    file.write_text(file.read_text("utf-8").replace(",AH\n", ",AH AH\n", 1), encoding="utf-8")
    with pytest.raises(LayersimError, match="input 'transcripts' has changed"):
        align(workspace, flags, load_transcriber=lambda *_: FakeTranscriber(), aligner=EvenAligner())
    align(workspace, flags, load_transcriber=lambda *_: FakeTranscriber(), aligner=EvenAligner(), force=True)
    assert table(workspace.align_folder("english") / "utterances.csv")[8]["text"] == "AH AH"


def test_a_text_is_that_of_its_stretch_to_the_last_digit(make: Make) -> None:
    rows = manifest_rows("english", 1, text="", path="audio/long.wav", start=0.10000001, end=0.5)
    workspace, flags = make(english=rows), settings(transcribe="small-whisper")
    for start, texts in ((0.10000001, "AH"), (0.10000002, "AH AH")):
        rows["start"] = start
        rows.to_csv(workspace.corpus("english").manifest, index=False)
        writer = FakeTranscriber(texts=(texts,))
        load = {"load_transcriber": lambda *_, writer=writer: writer}
        result = only(align(workspace, flags, aligner=EvenAligner(), force=True, **load))
        assert result.phones == len(texts.replace(" ", ""))


def test_transcribing_goes_on_where_it_was_killed(make: Make) -> None:
    workspace, flags = make(english=manifest_rows("english", text="")), settings(transcribe="small-whisper")
    killed = FakeTranscriber(die_after=8)
    with pytest.raises(KeyboardInterrupt):
        align(workspace, flags, load_transcriber=lambda *_: killed, aligner=EvenAligner())
    file = workspace.align_folder("english") / "transcripts.csv"
    assert len(table(file)) == 8
    file.write_text(file.read_text("utf-8") + "u08,audio/u08.wav,,,en,fa", encoding="utf-8")  # cut short
    fresh = FakeTranscriber()
    align(workspace, flags, load_transcriber=lambda *_: fresh, aligner=EvenAligner())
    assert len(fresh.languages) == 4
    assert [row["utterance_id"] for row in table(file)] == [f"u{number:02d}" for number in range(12)]


def test_a_recording_that_cannot_be_read_is_a_failure_of_its_own_when_transcribing(
    make: Make, tmp_path: Path
) -> None:
    workspace = make(english=manifest_rows("english", text=""))
    soundfile.write(tmp_path / "english/audio/u03.wav", np.zeros(9_600), 16_000)  # a header that looks right
    flags = settings(transcribe="small-whisper")
    result = only(
        align(workspace, flags, load_transcriber=lambda *_: FakeTranscriber(), aligner=EvenAligner())
    )
    assert (result.failed, result.machine_texts) == (1, 11)
    assert "every sample is zero" in table(workspace.align_folder("english") / "utterances.csv")[3]["failure"]


def test_a_spoilt_table_of_transcripts_is_a_named_error(make: Make) -> None:
    workspace = make(english=manifest_rows("english", text=""))
    file = workspace.align_folder("english") / "transcripts.csv"
    file.parent.mkdir(parents=True)
    flags = settings(transcribe="small-whisper")
    for content, message in (
        ("utterance,text\n", "expected the columns utterance_id"),
        ("utterance_id,path,start,end,language,model,text\nu00,AH\n", "row 2: has 2 cells, not 7"),
    ):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(LayersimError, match=message):
            align(workspace, flags, load_transcriber=lambda *_: FakeTranscriber(), aligner=EvenAligner())


def test_the_workspaces_file_holds_settings_too(make: Make) -> None:
    workspace = make(toml="\n[align]\nseed = 7\n", english=manifest_rows("english"))
    resolved = workspace.settings(AlignConfig)
    assert (resolved.config.seed, resolved.origins["seed"]) == (7, "user (layersim.toml)")


def test_an_acoustic_models_file_is_looked_for_from_the_workspace_on_and_its_content_counts(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make(toml='\n[align]\nacoustic_model = "my.zip"\n', english=manifest_rows("english"))
    model = workspace.root / "my.zip"
    model.write_bytes(b"one")
    asked: list[str | None] = []

    def choose(*_: Any, **others: Any) -> EvenAligner:
        asked.append(others["acoustic_model"])
        return EvenAligner(name="mfa")

    monkeypatch.setattr("layersim.alignment.align.choose_aligner", choose)
    resolved = workspace.settings(AlignConfig)
    assert only(align(workspace, resolved)).aligned == 12
    assert asked == [str(model.resolve())]
    model.write_bytes(b"two")
    with pytest.raises(LayersimError, match="input 'acoustic_model' has changed"):
        align(workspace, resolved)


def test_unknown_words_of_an_utterance_that_failed_are_counted_too(make: Make) -> None:
    workspace = make(english=manifest_rows("english"))
    align(workspace, settings(), aligner=EvenAligner(fail=("u01",)))  # two of its words are unknown
    row = table(workspace.align_folder("english") / "utterances.csv")[1]
    assert (row["utterance_id"], row["failure"], row["unknown_words"]) == (
        "u01",
        "too short for its phones",
        "2",
    )


def test_a_run_that_fails_leaves_the_alignments_that_were_there_whole(make: Make) -> None:
    class Failing(EvenAligner):
        def align(
            self, recordings: Sequence[Recording], folder: Path, language: str, progress: Progress
        ) -> Aligned:
            found = super().align(recordings, folder, language, progress)

            def one_and_no_more() -> Iterator[Alignment | Failure]:
                yield from list(found.results)[:1]
                raise LayersimError("the dictionary is spoilt")

            return replace(found, results=one_and_no_more())

    workspace = make(english=manifest_rows("english"))
    align(workspace, settings(), aligner=EvenAligner())
    folder = workspace.align_folder("english")
    before = {file: file.read_bytes() for file in sorted(folder.rglob("*.*")) if file.is_file()}
    with pytest.raises(LayersimError, match="the dictionary is spoilt"):
        align(workspace, settings(), aligner=Failing(), force=True)
    assert all(file.read_bytes() == content for file, content in before.items())
    again = only(align(workspace, settings(), aligner=EvenAligner()))
    assert again.done_already


@pytest.mark.parametrize("gone", ["words.csv", "phones.csv", "textgrids/s0/u00.TextGrid"])
def test_what_is_gone_is_made_again(make: Make, gone: str) -> None:
    workspace = make(english=manifest_rows("english"))
    align(workspace, settings(), aligner=EvenAligner())
    file = workspace.align_folder("english") / gone
    content = file.read_bytes()
    file.unlink()
    assert not only(align(workspace, settings(), aligner=EvenAligner())).done_already
    assert file.read_bytes() == content


def test_force_mends_what_was_edited(make: Make) -> None:
    workspace = make(english=manifest_rows("english"))
    align(workspace, settings(), aligner=EvenAligner())
    file = workspace.align_folder("english") / "phones.csv"
    content = file.read_bytes()
    file.write_text("utterance_id,start,end,phone\n", encoding="utf-8")
    assert only(align(workspace, settings(), aligner=EvenAligner())).done_already
    align(workspace, settings(), aligner=EvenAligner(), force=True)
    assert file.read_bytes() == content


def test_two_runs_at_once_on_one_corpus_are_refused(make: Make) -> None:
    workspace = make(english=manifest_rows("english"))

    class Again(EvenAligner):
        def align(
            self, recordings: Sequence[Recording], folder: Path, language: str, progress: Progress
        ) -> Aligned:
            with pytest.raises(LayersimError, match=r"another layersim align is at work there\. Wait"):
                align(workspace, settings(), aligner=EvenAligner())
            return super().align(recordings, folder, language, progress)

    assert only(align(workspace, settings(), aligner=Again())).aligned == 12

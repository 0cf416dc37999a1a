"""MFA's corpus folder: names, links, cut wavs, transcripts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from layersim.alignment.aligned import Failure, Recording
from layersim.alignment.montreal.corpus import (
    Entry,
    dictionary_words,
    part_han,
    plan_corpus,
    safe_names,
    write_corpus,
)
from layersim.alignment.montreal.program import Folders
from layersim.workspace import no_progress


def written(recordings: list[Recording], folder: Path) -> tuple[list[Entry], list[Failure]]:
    entries, failures = plan_corpus(recordings)
    kept, more = write_corpus(folder, entries, (), no_progress)
    return kept, [*failures, *more]


def test_the_corpus_folder_is_one_of_speakers_with_links_and_transcripts(
    tmp_path: Path, write_tone: Callable[..., Path]
) -> None:
    plain = write_tone(tmp_path / "audio/plain.wav", 1.0)
    flac = write_tone(tmp_path / "audio/lossless.FLAC", 1.0)
    stereo = write_tone(tmp_path / "audio/stereo.wav", 1.0, rate=44_100, channels=2)
    odd = write_tone(tmp_path / "audio/odd.aiff", 0.5).rename(tmp_path / "audio/odd.aif")
    recordings = [
        Recording("ses 1/u.1", "Müller, Eva", plain, None, None, " one,\n two "),
        Recording("ses 1/u 1", "Müller; Eva", flac, None, None, "drei"),
        Recording("x", "s", stereo, None, None, "four"),
        Recording("X", "S", plain, 0.25, 0.75, "five"),
        Recording("y", "s", odd, None, None, "six"),
        Recording("z", "s", plain, 0.5, None, "seven"),
    ]
    entries, failures = written(recordings, tmp_path / "corpus")
    assert failures == []
    assert [(e.folder, e.name) for e in entries] == [
        ("M_ller_Eva", "ses_1_u_1"), ("M_ller_Eva-2", "ses_1_u_1-2"),
        ("s", "x"), ("S-2", "X-2"), ("s", "y"), ("s", "z"),
    ]  # fmt: skip
    files = sorted(p.relative_to(tmp_path / "corpus").as_posix() for p in (tmp_path / "corpus").rglob("*.*"))
    assert files == [
        "M_ller_Eva-2/ses_1_u_1-2.flac", "M_ller_Eva-2/ses_1_u_1-2.lab",
        "M_ller_Eva/ses_1_u_1.lab", "M_ller_Eva/ses_1_u_1.wav",
        "S-2/X-2.lab", "S-2/X-2.wav", "s/x.lab", "s/x.wav", "s/y.lab", "s/y.wav", "s/z.lab", "s/z.wav",
    ]  # fmt: skip
    links = {p.name: p.readlink() for p in (tmp_path / "corpus").rglob("*.*") if p.is_symlink()}
    assert links == {"ses_1_u_1.wav": plain.resolve(), "ses_1_u_1-2.flac": flac.resolve()}
    assert (tmp_path / "corpus/M_ller_Eva/ses_1_u_1.lab").read_text("utf-8") == "one, two\n"
    assert [e.seconds for e in entries] == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5]
    for place, seconds in (("s/x", 1.0), ("S-2/X-2", 0.5), ("s/y", 0.5), ("s/z", 0.5)):
        info = soundfile.info(tmp_path / f"corpus/{place}.wav")
        assert (info.channels, info.samplerate, info.duration, info.subtype) == (1, 16_000, seconds, "PCM_16")
    cut, _ = soundfile.read(tmp_path / "corpus/S-2/X-2.wav")
    whole, _ = soundfile.read(plain)
    np.testing.assert_allclose(cut, whole[4_000:12_000], atol=2**-15)


def test_without_links_a_wav_is_written(
    tmp_path: Path, write_tone: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError("operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    recording = Recording("u", "s", write_tone(tmp_path / "u.flac", 0.5), None, None, "one")
    _, failures = written([recording], tmp_path / "corpus")
    assert failures == []
    assert sorted(p.name for p in (tmp_path / "corpus/s").iterdir()) == ["u.lab", "u.wav"]


def test_audio_that_turns_out_unusable_is_a_failure(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros((16_000, 2)), 16_000)
    recording = Recording("u", "s", tmp_path / "silent.wav", None, None, "one")
    entries, failures = written([recording], tmp_path / "corpus")
    assert entries == []
    assert failures == [
        Failure("u", f"{(tmp_path / 'silent.wav').resolve()}: every sample is zero. Remove it.")
    ]


def test_the_same_id_twice_is_the_callers_mistake(tmp_path: Path) -> None:
    recording = Recording("u", "s", tmp_path / "u.wav", None, None, "one")
    with pytest.raises(ValueError, match="expected different utterance ids"):
        plan_corpus([recording, recording])


@given(st.lists(st.text(max_size=120)))
def test_names_are_safe_and_never_collide(originals: list[str]) -> None:
    names = safe_names(originals)
    assert set(names) == set(originals)
    assert len({name.casefold() for name in names.values()}) == len(names)
    assert all(name.isascii() and 0 < len(name) < 120 for name in names.values())
    assert all(name.replace("_", "").replace("-", "").isalnum() for name in names.values())


def test_names_that_look_numbered_do_not_collide_with_numbered_ones() -> None:
    assert list(safe_names(["a", "a-2", "A", "a!"]).values()) == ["a", "a-2", "A-3", "a-4"]


def test_han_text_is_parted_and_other_text_kept() -> None:
    words = {"上海", "老师", "上海老师", "哥"}
    assert part_han("早上海 老师OK，well-known上海老师。", words, 4) == "早 上海 老师 OK well-known 上海老师"


def test_words_of_a_dictionary_are_its_first_fields(tmp_path: Path) -> None:
    (tmp_path / "d.dict").write_text("one\tw a n\none 0.9\tw o n\n\n早上\t0.1\tts\n", "utf-8")
    assert dictionary_words(tmp_path / "d.dict") == {"one", "早上"}


def test_no_folder_of_mfas_begins_with_another(tmp_path: Path) -> None:
    folders = [str(path) for path in vars(Folders.below(tmp_path)).values()]
    assert len(folders) == 7
    assert not [(a, b) for a in folders for b in folders if a != b and b.startswith(a)]

"""Which aligner is taken, and what it is given."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from layersim.alignment.aligned import Alignment, Failure, Recording
from layersim.alignment.aligners import Builtin, Montreal, choose_aligner
from layersim.alignment.montreal.program import Program
from layersim.alignment.segments import Segment
from layersim.errors import LayersimError
from layersim.workspace import no_progress


def choose(aligner: Any = "auto", languages: tuple[str, ...] = ("en",), **changes: Any) -> Any:
    nothing: dict[str, Any] = {
        "dictionary": None, "acoustic_model": None, "phone_set": None, "seed": 0, "jobs": 2,
    }  # fmt: skip
    return choose_aligner(aligner, languages, **{**nothing, **changes})


@pytest.mark.parametrize(
    ("found", "languages", "changes", "name"),
    [
        (True, ("en", "de"), {}, "mfa"),
        (False, ("en",), {}, "builtin"),
        (True, ("en", "gsw"), {}, "builtin"),  # MFA has no model of Swiss German
        (True, ("gsw",), {"dictionary": Path("my.dict")}, "builtin"),
        (True, ("de",), {"dictionary": Path("my.dict")}, "mfa"),
        (
            False,
            ("en",),
            {"acoustic_model": "english_mfa"},
            "mfa",
        ),  # only MFA has that: it will say what it lacks
        (False, ("en",), {"dictionary": "english_us_arpa"}, "mfa"),
    ],
)
def test_auto_is_mfa_where_it_is_and_serves_the_languages(
    monkeypatch: pytest.MonkeyPatch,
    found: bool,
    languages: tuple[str, ...],
    changes: dict[str, Any],
    name: str,
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/mfa" if found else None)
    monkeypatch.setattr(
        "layersim.alignment.montreal.program.Program.find", lambda: Program("/usr/bin/mfa", "3.2")
    )
    assert choose("auto", languages, **changes).name == name


def test_auto_is_builtin_and_says_why_where_mfa_does_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = tmp_path / "mfa"  # as pip installs it
    program.write_text("#!/bin/sh\necho \"No module named '_kalpy'\" >&2\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert choose("auto").name == "builtin"
    assert "the built-in aligner is taken, since MFA cannot be" in caplog.text
    assert "No module named '_kalpy'" in caplog.text
    assert choose("mfa").name == "mfa"  # asked for by name: it says itself what it lacks


def test_the_built_in_aligner_refuses_what_only_mfa_has() -> None:
    with pytest.raises(
        LayersimError, match=r"acoustic_model: the built-in aligner trains its own.*--aligner mfa"
    ):
        choose("builtin", acoustic_model="english_mfa")
    with pytest.raises(LayersimError, match=r"dictionary 'english_us_mfa': no such file.*--aligner mfa"):
        choose("builtin", dictionary="english_us_mfa")
    assert choose("builtin", dictionary=Path("my.dict")) == Builtin(Path("my.dict"), None, 0, 2)
    assert choose("mfa", dictionary=Path("my.dict")) == Montreal("my.dict", None, 2)


def recording(name: str, text: str) -> Recording:
    return Recording(name, "s", Path(f"{name}.wav"), None, None, text)


def test_the_built_in_aligner_gets_words_and_what_has_none_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {}

    def fake(recordings: list[Recording], folder: Path, **others: Any) -> Any:
        asked.update(others, names=[one.utterance_id for one in recordings], words=recordings[0].words)
        for one in recordings:
            yield Alignment(one.utterance_id, 1.0, (), (Segment(0.0, 0.1, "AH0"),), -60.0)

    monkeypatch.setattr("layersim.alignment.builtin.aligner.align_builtin", fake)
    dictionary = tmp_path / "my.dict"
    dictionary.write_text("the\tDH AH0\ncat\tK AE1 T\n", encoding="utf-8")
    found = choose("builtin", dictionary=dictionary, seed=3).align(
        [recording("a", "The cat."), recording("b", "the dog"), recording("c", "dog"), recording("d", "...")],
        tmp_path, "en", no_progress,
    )  # fmt: skip
    results = list(found.results)
    assert asked["names"] == ["a", "b"]
    assert (asked["language"], asked["phone_set"], asked["seed"], asked["jobs"]) == ("en", "arpabet", 3, 2)
    assert [word.pronunciations for word in asked["words"]] == [(("DH", "AH0"),), (("K", "AE1", "T"),)]
    failures = {result.utterance_id: result.reason for result in results if isinstance(result, Failure)}
    assert failures["c"].startswith("none of its words has a pronunciation: dog. Add them to a dictionary")
    assert failures["d"] == "its text has no words: '...'"
    assert found.phone_set == "arpabet"
    assert (found.unknown, found.unknown_in) == ({"dog": 2}, {"a": 0, "b": 1, "c": 1, "d": 0})
    assert "1 words have no pronunciation: dog (2)" in found.notes
    assert found.version.startswith("kaldi-hmm-gmm ")


def test_mfas_findings_are_handed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, Any] = {}

    def fake(recordings: list[Recording], folder: Path, **others: Any) -> Any:
        asked.update(others)
        return SimpleNamespace(
            results=[Failure("a", "dropped")], phone_set="mfa-ipa", version="3.2.1", notes=["a note"],
            unknown={"dog": 2}, unknown_in={"a": 2},
        )  # fmt: skip

    monkeypatch.setattr("layersim.alignment.montreal.aligner.align_with_mfa", fake)
    found = choose("mfa").align([recording("a", "the dog")], tmp_path, "en", no_progress)
    assert {name: asked[name] for name in ("language", "dictionary", "acoustic_model", "jobs")} == {
        "language": "en", "dictionary": None, "acoustic_model": None, "jobs": 2,
    }  # fmt: skip
    assert (found.phone_set, found.pronunciations, found.version) == (
        "mfa-ipa",
        "english_us_mfa",
        "MFA 3.2.1",
    )
    assert (list(found.results), found.unknown, found.notes) == (
        [Failure("a", "dropped")],
        {"dog": 2},
        ["a note"],
    )

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from layersim.workspace import CorpusEntry, Workspace


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    entries = {
        name: CorpusEntry(manifest=tmp_path / f"{name}.csv", audio_root=tmp_path)
        for name in ("german", "english")
    }
    monkeypatch.chdir(tmp_path)
    return Workspace.create(tmp_path, "some/tiny", entries)


def run(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    import layersim_cli.main as command_line

    monkeypatch.setattr(sys, "argv", ["layersim", "tune", *arguments])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    out, err = capsys.readouterr()
    assert out == ""
    code = ended.value.code
    assert isinstance(code, int)
    return code, " ".join(err.split())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["wcnn"], 2, "error: methods: unknown key 'wcnn'. Did you mean 'wccn'"),
        (["supervised"], 2, "error: supervised: learns from the target's labels"),
        (["cc", "--objective", "test"], 2, "error: flag: setting 'objective'"),
        (["cc", "--trials", "0"], 2, "error: flag: setting 'trials'"),
        (["cc", "--source", "german", "--target", "german"], 1, "source and target are both 'german'"),
        (["cc"], 1, "layersim extract"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(
    workspace: Workspace, arguments: list[str], code: int, message: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    found, err = run(arguments, monkeypatch, capsys)
    assert found == code
    assert message in err
    assert not (workspace.root / "tune").exists()


def test_flags_reach_the_stage_and_override_the_file(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import layersim_cli.main as command_line

    toml = workspace.root / "layersim.toml"
    text = '\n[tune]\ntrials = 7\nobjective = "snd"\n\n[train.wccn]\ndropout = 0.1\n'
    toml.write_text(toml.read_text("utf-8") + text, "utf-8")
    seen = {}

    class Nothing:
        def to_table(self) -> str:
            return ""

    def stage(*arguments: object, **options: object) -> Nothing:
        seen["call"] = arguments, options
        return Nothing()

    monkeypatch.setattr("layersim.comparison.tuning.tune", stage)
    words = ["wccn", "--trials", "5", "--space", "dropout=0:0.5,embedding=32|64", "--space", "smoothing=0.2",
             "--set", "wccn.epochs=3", "--emotions", "anger,sadness", "--force"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["layersim", "tune", *words])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert not ended.value.code
    (_, method, settings, train, source, target, own), options = seen["call"]  # type: ignore[misc]
    assert (method, source, target, options["force"]) == ("wccn", "german", "english", True)  # type: ignore[index]
    assert (settings.config.trials, settings.config.objective) == (5, "snd")  # type: ignore[attr-defined]
    assert settings.config.space == ("dropout=0:0.5", "embedding=32|64", "smoothing=0.2")  # type: ignore[attr-defined]
    assert train.config.emotions == ("anger", "sadness")  # type: ignore[attr-defined]
    assert own.flags == {"wccn": {"epochs": 3}}  # type: ignore[attr-defined]
    assert own.tables == {"wccn": {"dropout": 0.1}}  # type: ignore[attr-defined]

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pytest

from layersim.errors import LayersimError
from layersim.provenance import run_changes, write_run
from layersim.settings import StageConfig, resolve_settings, setting
from layersim.workspace import CorpusEntry, Workspace, encoder_slug, files_sha256, write_json


class ToyConfig(StageConfig):
    section: ClassVar[str] = "rank"
    gamma: float = setting(0.1, "weight of the loss, no unit", ge=0)
    weight_decay: float = setting(5e-4, "weight decay", paper="Tang et al. 2023")
    seeds: int = setting(5, "number of runs")


def make_workspace(root: Path, extra: str = "") -> Workspace:
    root.mkdir(parents=True, exist_ok=True)
    entries = {
        name: CorpusEntry(manifest=root / f"manifests/{name}.csv", audio_root=Path("/audio") / name)
        for name in ("emodb", "casia", "esd")
    }
    Workspace.create(root, "microsoft/wavlm-base-plus", entries)
    if extra:
        with (root / "layersim.toml").open("a", encoding="utf-8") as stream:
            stream.write(extra)
    return Workspace.read(root)


def test_a_created_workspace_reads_back_the_same(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws")
    assert workspace.pair() == ("emodb", "casia")
    assert workspace.corpus("esd").audio_root == Path("/audio/esd")
    assert workspace.corpus("esd").manifest == tmp_path / "ws/manifests/esd.csv"
    assert 'manifest = "manifests/esd.csv"' in (tmp_path / "ws/layersim.toml").read_text("utf-8")


def test_a_workspace_is_found_from_a_folder_below_it(tmp_path: Path) -> None:
    make_workspace(tmp_path / "ws")
    (tmp_path / "ws/deep/er").mkdir(parents=True)
    assert Workspace.find(tmp_path / "ws/deep/er").root == tmp_path / "ws"


def test_no_workspace_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(LayersimError, match="layersim init DIR --corpus NAME=PATH"):
        Workspace.find(tmp_path)


def test_a_workspace_is_never_overwritten_without_force(tmp_path: Path) -> None:
    make_workspace(tmp_path)
    with pytest.raises(LayersimError, match="--force"):
        make_workspace(tmp_path)


def test_flag_overrides_file_overrides_default_and_each_origin_is_known(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "\n[rank]\ngamma = 0.5\nseeds = 7\n")
    settings = workspace.settings(ToyConfig, {"seeds": 3, "gamma": None})
    assert (settings.config.gamma, settings.config.seeds, settings.config.weight_decay) == (0.5, 3, 5e-4)
    assert settings.origins == {
        "gamma": "user (layersim.toml)",
        "seeds": "user (flag)",
        "weight_decay": "paper: Tang et al. 2023",
    }


def test_an_unknown_key_names_the_nearest_known_one(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "\n[rank]\ngama = 0.5\n")
    with pytest.raises(LayersimError, match=r"table \[rank\]: unknown key 'gama'. Did you mean 'gamma'"):
        workspace.settings(ToyConfig)


def test_a_wrong_value_names_file_table_and_value() -> None:
    with pytest.raises(LayersimError, match=r"study.toml, table \[rank\]: setting 'gamma'.*got -1"):
        resolve_settings(ToyConfig, {}, {"gamma": -1}, "study.toml")
    with pytest.raises(LayersimError, match="flag: setting 'gamma'"):
        resolve_settings(ToyConfig, {"gamma": -1})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("encoder = ", "cannot be read as TOML"),
        ("encodr = 'x'", "unknown key 'encodr'. Did you mean 'encoder'"),
        ("encoder = 3", "encoder must be a string"),
        ("corpora = 1", r"\[corpora\] must be a table"),
        ("[corpora.a]\nmanifest = 'a.csv'", "audio_root"),
        ("[corpora.a]\nmanifest = 'a.csv'\naudio = 'b'", "unknown key 'audio'. Did you mean 'audio_root'"),
        ("source = 'b'\n[corpora.a]\nmanifest = 'a.csv'\naudio_root = 'a'", "no corpus 'b'. Known: a"),
    ],
)
def test_a_broken_file_is_a_named_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "layersim.toml").write_text(text, encoding="utf-8")
    with pytest.raises(LayersimError, match=message):
        Workspace.read(tmp_path)


def test_a_pair_needs_two_different_known_corpora(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    assert workspace.pair("esd", "emodb") == ("esd", "emodb")
    assert workspace.pair(target="esd") == ("emodb", "esd")
    with pytest.raises(LayersimError, match="both 'casia'"):
        workspace.pair("casia")
    with pytest.raises(LayersimError, match=r"no corpus 'iemocap'\. Known: emodb, casia, esd"):
        workspace.pair("iemocap")


def test_run_json_holds_the_command_and_every_setting_with_its_origin(tmp_path: Path) -> None:
    study = {"source": "emodb", "target": "casia", "encoder": "whisper base"}
    settings = resolve_settings(ToyConfig, {"seeds": 2})
    write_run(tmp_path, "rank", study, settings, {"manifest": "ab"}, {"best": "3"}, notes=["3 short"])
    run = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert {row["name"]: row["origin"] for row in run["settings"]}["seeds"] == "user (flag)"
    assert run["inputs"] == {"manifest": "ab"}
    assert run["command"] == "layersim rank --source emodb --target casia --encoder 'whisper base' --seeds 2"
    assert (run["source"], run["target"], run["results"]) == ("emodb", "casia", {"best": "3"})
    assert run["notes"] == ["3 short"]
    assert run["versions"]["numpy"][0].isdigit()
    assert run["versions"]["espeakng-loader"][0].isdigit()  # what pronounces is part of what was done
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]  # no temporary file stays


def test_what_has_changed_since_a_finished_run_is_named(tmp_path: Path) -> None:
    settings = resolve_settings(ToyConfig, {"seeds": 2})
    assert run_changes(tmp_path, settings, {"manifest": "ab"}) is None
    write_run(tmp_path, "rank", {}, settings, {"manifest": "ab", "phones": "x"}, {})
    assert run_changes(tmp_path, settings, {"manifest": "ab", "phones": "x"}) == []
    changes = run_changes(tmp_path, resolve_settings(ToyConfig, {"seeds": 3}), {"manifest": "cd"})
    assert changes == ["seeds: 2 there, 3 now", "input 'manifest' has changed", "input 'phones' has changed"]


def test_json_refuses_what_is_not_a_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"uar": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_slugs_and_hashes(tmp_path: Path) -> None:
    assert encoder_slug("openai/whisper-base") == "openai--whisper-base"
    (tmp_path / "a").write_bytes(b"abc")  # the well-known SHA-256 test vector
    assert files_sha256([tmp_path / "a"]).startswith(
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )

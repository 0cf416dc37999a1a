"""Who trains, validates, adapts and tests: what every protocol must keep, whatever the manifests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layersim.adaptation.pair import read_pair
from layersim.comparison.languages import balance, leave_one_language_out, set_name, within_language
from layersim.comparison.protocols import as_split, cross_corpus, matrix, supervised, transductive
from layersim.comparison.target_data import target_data_study
from layersim.comparison.trial import Trial
from layersim.corpus.manifest import utterance_keys
from layersim.errors import LayersimError
from layersim.features.dataset import CorpusFeatures

EMOTIONS = ("anger", "happiness", "neutral", "sadness")


@dataclass
class KeyedCache:
    """Two numbers per utterance that follow from its key: whoever reads a wrong row is found out."""

    keys: list[str]
    layers: tuple[str, ...] = ("0",)
    frame_layers: tuple[str, ...] = ("0",)
    width: int = 1

    @property
    def provenance(self) -> dict[str, Any]:
        return {"layers": ["0"], "width": 1, "encoder": {"checkpoint": "keyed"}}

    def read(self, product: str, layer: str, rows: np.ndarray) -> np.ndarray:
        factor = 1 if product == "utterance/mean" else 2
        return np.array([[factor * _number(self.keys[row])] for row in rows], np.float32).reshape(-1, 1)

    def vectors(self, layers: Sequence[str], rows: np.ndarray) -> np.ndarray:
        pair = [self.read(product, "0", rows) for product in ("utterance/mean", "utterance/std")]
        return np.concatenate(pair, axis=1)[:, None].repeat(len(layers), axis=1)


def _number(key: str) -> float:
    return float(np.frombuffer(key.encode(), np.uint8) @ np.arange(1, len(key.encode()) + 1))


def make_corpus(
    name: str, cells: Iterable[tuple[str, str, int]], language: str = "", **columns: Any
) -> CorpusFeatures:
    """Make a corpus from (speaker, emotion, utterances); every row has the split train at first."""
    rows = [
        (name, f"{speaker}-{emotion}-{number}", speaker, emotion)
        for speaker, emotion, size in cells
        for number in range(size)
    ]
    table = pd.DataFrame(rows, columns=["corpus", "utterance_id", "speaker", "emotion"])
    table = table.assign(split="train", language=language, source_label=table["emotion"], **columns)
    return CorpusFeatures(name, table, cast("Any", KeyedCache(utterance_keys(table))), None)


def even(
    name: str, speakers: Sequence[str], size: int = 1, emotions: Sequence[str] = EMOTIONS, **other: Any
) -> CorpusFeatures:
    return make_corpus(name, [(who, emotion, size) for who in speakers for emotion in emotions], **other)


def letters(count: int) -> list[str]:
    return [chr(ord("a") + number) for number in range(count)]


def people(corpus: CorpusFeatures, *splits: str) -> set[str]:
    """CORPUS/SPEAKER of some splits, told by the utterance and not by the column speaker."""
    table = corpus.table[corpus.table["split"].isin(splits)]
    return {key.partition("-")[0] for key in utterance_keys(table)}


def keys(corpus: CorpusFeatures, *splits: str) -> list[str]:
    return utterance_keys(corpus.table[corpus.table["split"].isin(splits)])


def assert_sound(trial: Trial) -> None:
    tested = people(trial.test, "test")
    learnt = people(trial.source, "train", "validation")
    assert not tested & learnt
    assert not people(trial.source, "train") & people(trial.source, "validation")
    assert not set(keys(trial.test, "test")) & set(keys(trial.source, "train", "validation"))
    if not trial.transductive:
        assert not tested & people(trial.target, "train")
    train = trial.source.table[trial.source.table["split"] == "train"]
    assert set(trial.classes) <= set(train["emotion"])
    assert set(trial.classes) <= set(trial.test.table["emotion"])


def assert_all_tested_once(trials: Sequence[Trial], target: CorpusFeatures) -> None:
    tested = Counter(key for trial in trials for key in keys(trial.test, "test"))
    taking_part = target.table[target.table["split"] != ""]
    assert tested == dict.fromkeys(utterance_keys(taking_part), 1)
    assert len({trial.classes for trial in trials}) == 1


def described(trials: Iterable[Trial]) -> list[Any]:
    """All that a trial says, whatever the order of the rows."""
    return [
        (
            trial.name,
            trial.what,
            trial.classes,
            sorted(zip(utterance_keys(side.table), side.table["split"], strict=True)),
        )
        for trial in trials
        for side in (trial.source, trial.target, trial.test)
    ]


@st.composite
def corpora(draw: st.DrawFn, name: str, least: int = 3) -> CorpusFeatures:
    """Speakers of different sizes, each with all emotions; some utterances take no part."""
    emotions = EMOTIONS[: draw(st.integers(3, 4))]
    speakers = letters(draw(st.integers(least, 7)))
    cells = [(speaker, emotion, draw(st.integers(1, 3))) for speaker in speakers for emotion in emotions]
    corpus = make_corpus(name, cells)
    first = ~corpus.table["utterance_id"].str.endswith("-0")
    silent = [bool(extra) and draw(st.booleans()) for extra in first]
    return replace(corpus, table=corpus.table.assign(split=["" if one else "train" for one in silent]))


def shuffle(corpus: CorpusFeatures) -> CorpusFeatures:
    """The same rows of the same cache, in another order."""
    return replace(corpus, table=corpus.table.sample(frac=1, random_state=1))


quick = settings(max_examples=10, deadline=None)


@given(source=corpora("one", 2), target=corpora("two", 2), folds=st.integers(2, 6))
@quick
def test_cross_corpus_tests_every_utterance_once_and_lets_nobody_who_is_tested_be_seen(source, target, folds):
    trials = cross_corpus(source, target, folds)
    assert_all_tested_once(trials, target)
    for trial in trials:
        assert_sound(trial)
        everyone = people(target, "train")
        assert people(trial.target, "train") == everyone - people(trial.test, "test")
        assert people(trial.source, "train", "validation") == people(source, "train")
    assert described(cross_corpus(shuffle(source), shuffle(target), folds)) == described(trials)


@given(target=corpora("one"), folds=st.integers(3, 6))
@quick
def test_supervised_trains_on_the_corpus_itself_and_tests_every_utterance_once(target, folds):
    trials = supervised(target, folds)
    assert_all_tested_once(trials, target)
    for trial in trials:
        assert_sound(trial)
        assert people(trial.source, "train") == people(trial.target, "train")
        assert people(trial.source, "train", "validation") | people(trial.test, "test") == people(
            target, "train"
        )
    assert described(supervised(shuffle(target), folds)) == described(trials)


@given(one=corpora("one"), two=corpora("two"), three=corpora("three"), folds=st.integers(3, 5))
@quick
def test_leaving_a_language_out_tests_every_utterance_of_it_once_and_the_training_languages_likewise(
    one, two, three, folds
):
    given_corpora = (one, two, three)
    cross = leave_one_language_out(given_corpora, "three", folds)
    within = within_language((one, two), folds, cross[0].classes)
    assert_all_tested_once(cross, three)
    for target in (one, two):
        assert_all_tested_once([trial for trial in within if trial.target.name == target.name], target)
    for trial in (*cross, *within):
        assert_sound(trial)
        corpus_of = trial.source.table["corpus"][
            (trial.source.table["split"] == "train") & trial.source.table["emotion"].isin(trial.classes)
        ]
        counts = Counter(corpus_of)
        small, large = sorted(counts.values())
        assert small < 2 * large  # both are there
        assert large < 2 * small  # and of a size
    assert described(
        leave_one_language_out([shuffle(each) for each in given_corpora], "three", folds)
    ) == described(cross)


@given(source=corpora("one"), target=corpora("two"), seed=st.integers(0, 5))
@quick
def test_labelled_clips_are_nested_balanced_and_nobody_elses(source, target, seed):
    clips = (0, 2, 5)
    trials = target_data_study([source], target, clips, seed, folds=3)
    drawn = {}
    for trial in trials:
        assert_sound(trial)
        moved = {key for key in keys(trial.source, "train") if key.startswith("two/")}
        drawn[trial.setting, trial.fold] = moved
        assert not moved & set(keys(trial.target, "train"))
        assert len(moved | set(keys(trial.target, "train"))) == len(
            set(keys(target, "train")) - set(keys(trial.test, "test"))
        )
        by_class = Counter(key.split("-")[1] for key in moved)
        assert not moved or max(by_class.values()) - min(by_class[name] for name in trial.classes) <= 1
    for count in clips:
        assert_all_tested_once([trial for trial in trials if trial.setting.endswith(f"-{count}")], target)
    for fold in (1, 2, 3):
        none, few, many = (drawn[f"one-to-two/clips-{count}", fold] for count in clips)
        assert (len(none), len(few), len(many)) == clips
        assert few < many
    again = target_data_study([shuffle(source)], shuffle(target), clips, seed, folds=3)
    assert described(again) == described(trials)


@given(
    cells=st.lists(
        st.tuples(st.sampled_from(letters(5)), st.sampled_from(EMOTIONS), st.integers(0, 2)), min_size=6
    )
)
@quick
def test_a_class_list_never_shrinks_without_a_word(cells):
    """Ragged corpora: either every fold has every class, or the protocol refuses and says what is missing."""
    source, target = even("one", letters(3)), make_corpus("two", dict.fromkeys(cells))
    target = replace(target, table=target.table.drop_duplicates("utterance_id"))
    try:
        trials = cross_corpus(source, target)
    except LayersimError as error:
        said = str(error)
        assert "no test utterance of" in said or "two emotions" in said or "need two" in said
        return
    for trial in trials:
        assert trial.classes == tuple(sorted(set(target.table["emotion"])))
        assert_sound(trial)


# The sizes of the paper: four shared classes per speaker of Emo-DB (anger, happiness, neutral, sadness).
EMODB = {"03": (14, 7, 11, 7), "08": (12, 11, 10, 9), "09": (13, 4, 9, 4), "10": (10, 4, 4, 3),
         "11": (11, 8, 9, 7), "12": (12, 2, 4, 4), "13": (12, 10, 9, 5), "14": (16, 8, 7, 10),
         "15": (13, 6, 11, 4), "16": (14, 11, 5, 9)}  # fmt: skip


@pytest.fixture(scope="module")
def paper() -> dict[str, CorpusFeatures]:
    """Emo-DB's 339 utterances, RAVDESS's 672, the 12,000 of ESD's train split."""
    german = [
        (who, emotion, size)
        for who, sizes in EMODB.items()
        for emotion, size in zip(EMOTIONS, sizes, strict=True)
    ]
    english = [
        (f"{who:02d}", emotion, 4 if emotion == "neutral" else 8)
        for who in range(1, 25)
        for emotion in EMOTIONS
    ]
    mandarin = [(f"{who:04d}", emotion, 300) for who in range(1, 11) for emotion in EMOTIONS]
    return {
        "emodb": make_corpus("emodb", german, "de"),
        "ravdess": make_corpus("ravdess", english, "en-US"),
        "esd": make_corpus("esd", mandarin, "zh"),
    }


def test_the_corpora_have_the_papers_sizes(paper):
    assert {name: len(corpus.table) for name, corpus in paper.items()} == {
        "emodb": 339,
        "ravdess": 672,
        "esd": 12000,
    }
    counts = Counter(paper["emodb"].table["emotion"])
    assert counts == {"anger": 127, "happiness": 71, "neutral": 79, "sadness": 62}


@pytest.mark.parametrize(
    ("held_out", "name", "ranges"),
    [("ravdess", "DECH", {"emodb": (32, 39), "esd": (1, 1)}),
     ("esd", "DEEN", {"emodb": (2, 3), "ravdess": (1, 1)}),
     ("emodb", "ENCH", {"ravdess": (18, 19), "esd": (1, 1)})],
)  # fmt: skip
def test_the_smaller_language_is_repeated_as_often_as_in_the_paper(paper, held_out, name, ranges):
    trials = leave_one_language_out(list(paper.values()), held_out)
    assert [trial.name for trial in trials] == [f"{name}-to-{held_out}/fold-{fold}" for fold in range(1, 6)]
    for corpus, (least, most) in ranges.items():
        repeats = []
        for trial in trials:
            train = keys(trial.source, "train")
            own = Counter(key for key in train if key.startswith(f"{corpus}/"))
            assert len(set(own.values())) == 1
            repeats.append(own.most_common(1)[0][1])
        assert (min(repeats), max(repeats)) == (least, most)


def test_speakers_of_the_papers_first_fold_are_where_they_should_be(paper):
    trial = leave_one_language_out(list(paper.values()), "esd")[0]
    assert people(trial.source, "validation") == {
        *(f"emodb/{who}" for who in (13, 14)), *(f"ravdess/{who}" for who in (16, 17, 18, 19, 20)),
    }  # fmt: skip
    assert people(trial.source, "train") == {
        *(f"emodb/{who}" for who in ("03", "08", "09", "10", "11", "12")),
        *(f"ravdess/{who:02d}" for who in range(1, 16)),
    }
    assert people(trial.test, "test") == {"esd/0009", "esd/0010"}
    assert people(trial.target, "train") == {f"esd/{who:04d}" for who in range(1, 9)}
    within = within_language([paper["emodb"], paper["ravdess"]])
    assert [trial.name for trial in within[::5]] == ["DEEN-to-emodb/fold-1", "DEEN-to-ravdess/fold-1"]
    assert keys(within[0].source, "train") == keys(trial.source, "train")
    assert people(within[0].test, "test") == {"emodb/15", "emodb/16"}
    assert people(within[0].target, "train") == {f"emodb/{who}" for who in ("03", "08", "09", 10, 11, 12)}


def test_the_papers_number_of_clips_fits_and_is_repeated_to_balance(paper):
    sources = [paper["emodb"], paper["esd"]]
    trial = target_data_study(sources, paper["ravdess"], clips=(150,))[0]
    table = trial.source.table[trial.source.table["split"] == "train"]
    counts = Counter(table["corpus"])
    assert counts["esd"] == 7200  # 6 speakers of 1,200
    assert counts["ravdess"] == 150 * 48  # 7,200 / 150
    assert counts["emodb"] == 189 * 39  # 7,200 / 189 = 38.1
    assert Counter(table["emotion"][table["corpus"] == "ravdess"]) == {
        "anger": 38 * 48, "happiness": 38 * 48, "neutral": 37 * 48, "sadness": 37 * 48,
    }  # fmt: skip


# By hand


def split(corpus: CorpusFeatures, **of: str) -> CorpusFeatures:
    return replace(corpus, table=corpus.table.assign(split=[of[name] for name in corpus.table["speaker"]]))


@pytest.fixture
def german() -> CorpusFeatures:
    return split(even("german", letters(4), 2), a="train", b="train", c="validation", d="test")


@pytest.fixture
def english() -> CorpusFeatures:
    emotions = (*EMOTIONS, "disgust")
    return split(even("english", letters(4), 2, emotions), a="test", b="train", c="validation", d="train")


def test_the_manifests_own_splits_train_as_they_did(german, english):
    trial = as_split(german, english)
    assert (trial.name, trial.classes) == ("german-to-english/as-split", EMOTIONS)
    before, after = (
        read_pair(*pair, ["0"], EMOTIONS, "corpus").hashes()
        for pair in ((german, english), (trial.source, trial.target))
    )
    assert after == before
    assert people(trial.source, "train", "validation", "test") == {"german/a", "german/b", "german/c"}
    assert people(trial.target, "train", "validation", "test") == {"english/a", "english/b", "english/d"}


def test_every_trial_can_be_trained_on_as_it_is(german, english):
    mandarin = even("mandarin", letters(4), 2)
    trials = [
        *cross_corpus(german, english)[:1],
        *supervised(english, emotions=EMOTIONS)[:1],
        *leave_one_language_out([german, english, mandarin], "mandarin")[:1],
        *within_language([german, mandarin])[:1],
        *target_data_study([german], english, [4])[:1],
    ]
    for trial in trials:
        data = read_pair(trial.source, trial.target, ["0"], trial.classes, "corpus")
        assert set(data.target_test.keys) <= set(keys(trial.test, "test"))
        assert set(data.source_train.emotions) == set(trial.classes)
        assert len(data.target_train) == len(keys(trial.target, "train"))


def test_in_a_transductive_trial_all_of_the_target_adapts_and_is_tested(german, english):
    trial = transductive(german, english)
    assert trial.transductive
    assert "transductive" in trial.name
    everyone = utterance_keys(english.table)
    assert keys(trial.target, "train", "test") == keys(trial.target, "train") == everyone
    assert keys(trial.test, "test") == everyone
    assert people(trial.source, "validation") == {"german/b"}  # of fold 1, which would test a
    assert not people(trial.source, "train", "validation") & people(trial.test, "test")
    assert not cross_corpus(german, english)[0].transductive


def test_the_source_keeps_its_test_speakers_for_training_only_where_they_test_nothing(german, english):
    third = even("third", letters(4))
    assert people(cross_corpus(german, english)[0].source, "train") == {"german/a", "german/c", "german/d"}
    merged = leave_one_language_out([german, third, english], "english")[0]
    assert people(merged.source, "train") == {f"{name}/{who}" for name in ("german", "third") for who in "cd"}


def test_the_matrix_has_all_pairs_the_upper_row_on_its_diagonal_and_one_class_list(german, english):
    trials = matrix([german, english])
    assert list(dict.fromkeys(trial.setting for trial in trials)) == [
        "german-to-german", "german-to-english", "english-to-german", "english-to-english",
    ]  # fmt: skip
    assert len(trials) == 16
    assert {trial.classes for trial in trials} == {EMOTIONS}  # not disgust, which english alone has
    assert {trial.classes for trial in supervised(english)} == {tuple(sorted((*EMOTIONS, "disgust")))}


def test_corpora_with_other_numbers_of_folds_are_counted_round():
    trials = cross_corpus(even("two", letters(2)), even("five", letters(5)))
    assert [people(trial.source, "validation") for trial in trials] == [
        {"two/b"}, {"two/a"}, {"two/b"}, {"two/a"}, {"two/b"},
    ]  # fmt: skip


def test_a_training_set_is_named_by_languages_or_else_by_corpora(paper, german):
    named = {"emodb": "de", "ravdess": "en_GB", "casia": "cmn"}
    corpora = [even(name, letters(3), language=language) for name, language in named.items()]
    assert [set_name(corpora[:2]), set_name(corpora[1:])] == ["DEEN", "ENCH"]
    assert set_name([corpora[0], german]) == "emodb+german"
    assert set_name([corpora[0], paper["emodb"]]) == "emodb+emodb"


def test_repeats_are_rounded_up_and_count_the_classes_only():
    small = make_corpus("small", [("a", "anger", 3), ("a", "disgust", 50)])
    large = make_corpus("large", [("a", "anger", 7), ("b", "sadness", 3)])
    assert balance([small, large], ("anger", "sadness")) == [4, 1]  # 10 / 3
    with pytest.raises(LayersimError, match="small: no train utterance of sadness, so that it cannot be"):
        balance([small, large], ["sadness"])


def test_what_a_trial_is_of_is_said_in_a_sentence(german, english):
    trial = cross_corpus(german, english)[0]
    assert trial.what == (
        "german: speaker b for validation, the others for training (folds by speaker); english: speaker a "
        "for test, the others for unlabelled adaptation (folds by speaker)."
    )


def test_trials_that_leak_cannot_be_made(german):
    named_alike = replace(german, name="another")
    with pytest.raises(
        LayersimError, match=r"german-to-another/fold-1: german/a: tested, and among those who train"
    ):
        cross_corpus(german, named_alike)
    source = split(german, a="train", b="validation", c="", d="")
    half = [
        "" if who < "c" else ("train", "test")[row % 2] for row, who in enumerate(german.table["speaker"])
    ]
    target = replace(german, table=german.table.assign(split=half))
    with pytest.raises(
        LayersimError, match="leak: german/c, german/d: tested, and among those who adapt too"
    ):
        Trial("leak", source, target, EMOTIONS, "")


def test_splits_that_a_trial_does_not_know_are_the_callers_mistake(german, english):
    with pytest.raises(ValueError, match="source: expected splits train, validation or none, got test"):
        Trial("wrong", german, english, EMOTIONS, "")


def test_impossible_requests_are_refused_with_what_to_do(german, english):
    with pytest.raises(LayersimError, match=r"emotions: german has no disgust; it has anger, .*sadness\."):
        cross_corpus(german, english, emotions=["anger", "disgust"])
    with pytest.raises(LayersimError, match=r"two emotions at least are needed, got anger .*--emotions"):
        cross_corpus(german, english, emotions=["anger"])
    with pytest.raises(LayersimError, match="german: 2 folds leave nobody to train"):
        supervised(german, 2)
    with pytest.raises(
        LayersimError, match=r"fold 1: 25 labelled clips .* have 24 .* classes, 30 in all, .* Ask"
    ):
        target_data_study([german], english, [25])
    with pytest.raises(ValueError, match=r"clips: expected different numbers of at least 0, got \[3, 3\]"):
        target_data_study([german], english, [3, 3])
    with pytest.raises(
        ValueError, match=r"held_out: expected one of at least two corpora \(german, english\)"
    ):
        leave_one_language_out([german, english], "casia")


def test_a_language_is_not_left_out_while_another_corpus_speaks_it(paper):
    casia = even("casia", letters(4), language="cmn")
    with pytest.raises(
        LayersimError, match=r"casia is to be the language left out, but esd is in it too \(CH\)"
    ):
        leave_one_language_out([paper["emodb"], paper["esd"], casia], "casia")

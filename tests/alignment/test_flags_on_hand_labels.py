from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from layersim.alignment.flags import LONGEST_PHONE, SHORT_SHARE, SHORTEST_PHONE, SPEECH_SHARE, speech_share
from layersim.alignment.readers import read_alignments
from layersim.alignment.segments import Segment


def test_what_flags_says_of_emodbs_hand_labels_is_so(shared: Path) -> None:
    folder = shared / "data" / "emodb"
    names = pd.read_csv(folder / "metadata.csv")["utt_id"].tolist()
    phones = read_alignments(folder / "phones_merged.csv", names).phones
    lengths = (phones["end"] - phones["start"]).groupby(phones["utterance_id"])
    assert len(phones) == 12_372
    assert lengths.max().max() == pytest.approx(0.36, abs=0.005)
    short = lengths.apply(lambda values: (values <= SHORTEST_PHONE + 1e-6).mean())
    assert short.max() == pytest.approx(0.265, abs=0.005)
    rows = phones.groupby("utterance_id")
    shares = [
        speech_share([Segment(*cells) for cells in part[["start", "end", "phone"]].itertuples(index=False)])
        for _, part in rows
    ]
    assert min(shares) == pytest.approx(0.53, abs=0.005)
    assert lengths.max().max() < LONGEST_PHONE
    assert short.max() < SHORT_SHARE
    assert min(shares) > SPEECH_SHARE

"""Do texts look like another language than the one they are said to be in? By each one's commonest words.

A language that is written in the same letters is not betrayed by its script, and every word of it can be
pronounced, wrongly. Its articles and prepositions betray it. Blind to languages that are not in the table,
and to texts without sentences.
"""

from __future__ import annotations

from collections.abc import Mapping

FEWEST_WORDS = 20  # of text: below that a share says little
CLEAR_SHARE, CLEAR_LEAD = 0.2, 3.0  # of all words; times the share of the language that was named

# Articles, pronouns, prepositions, conjunctions, forms of to be and to have; by espeak-ng's voice.
COMMON_WORDS = {
    "en": "the and of to a in is it you that he was for on are with his they at be this have from or had by "
          "not but what we can there all were she her their",
    "de": "der die das und ist in zu den nicht von sie mit es ich auf sich ein eine dem wir er auch als an "
          "wie aus bei hat am wird sind haben war doch da",
    "fr": "le la les et de des est un une du que il elle dans pour pas au sur ce je vous nous sont avec qui "
          "se plus ont mais leur",
    "es": "el la los las y de que en un una es por con no se su para lo como más pero sus al del está son "
          "muy me ya",
    "it": "il la lo gli le e di che un una è per non in con si del della dei da sono ho come ma al più mi "
          "nel questo",
    "pt": "o a os as e de que um uma em é para com não se do da por no na mais como mas ao dos foi ele sua",
    "nl": "de het een en van ik te dat die in je is niet op aan met hij zijn voor er maar om hem dan zou wat "
          "mijn naar heeft",
    "sv": "och det att i en jag hon som han på den med var sig för så till är men ett om hade de av inte",
    "da": "og i det at en den til er som på de med han af for ikke der var mig sig men et har om vi havde",
    "nb": "og i det er på til som en å han av for med at var de ikke den har jeg om et men så seg hun",
    "pl": "i w nie na się z do to że jest a o jak ale po co tak za od jego ma przez czy dla już",
    "tr": "bir ve bu da de için çok ne o var mi gibi daha ben ama ile sen her kadar olan en",
    "cs": "a se v je na že s z do o to i si ale jako za by k jsem po jak tak pro od jeho",
    "hu": "a az és hogy nem is egy ez de van meg el csak ha már mint azt volt még én",
    "ro": "și a în de la nu o un pe cu că este din ce mai care pentru am sunt se",
    "fi": "ja on ei se että oli hän ole mutta joka kun niin myös en ovat mitä tai sen minä",
    "id": "yang dan di itu dengan untuk tidak ini dari dalam akan pada juga saya ke adalah ada kita",
}  # fmt: skip
_WORDS = {voice: frozenset(words.split()) for voice, words in COMMON_WORDS.items()}


def likelier_language(words: Mapping[str, int], voice: str) -> str | None:
    """Name the language that words look like, where it is clearly another than the one that was named.

    Parameters
    ----------
    words : mapping of word to how often it occurs
    voice : str
        espeak-ng's, of the language that was named.

    Returns
    -------
    str or None
        The voice of the other language; None if there is none, or too little to tell.

    >>> words = {"kids": 9, "are": 9, "talking": 9, "by": 9, "the": 9, "door": 9}
    >>> likelier_language(words, "de"), likelier_language(words, "en-us")
    ('en', None)
    """
    own = voice.partition("-")[0].casefold()
    total = sum(words.values())
    if own not in _WORDS or total < FEWEST_WORDS:
        return None
    shares = {
        name: sum(count for word, count in words.items() if word.casefold() in common) / total
        for name, common in _WORDS.items()
    }
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] >= max(CLEAR_SHARE, CLEAR_LEAD * shares[own]) else None

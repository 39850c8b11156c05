"""Find moments by describing them.

vocabulary.py   what words mean in what was measured: data that users can edit
labels.py       what a model is to tell of every picture: data that users can edit
query.py        what is asked for, as concepts, words of names, and what is not wanted
signals.py      what was measured, at every frame of a clip
seen.py         what a model has seen of the clips
looks.py        what it says of a query
nearest.py      exact search among the vectors that it made
scores.py       how well every frame answers
moments.py      the stretches of shots that answer best
fusion.py       their order, by that, by names, and by what is said of them
tags.py         what each shot shows, whatever is asked for
insight.py      what choosing the shots of a film may go by
"""

from montage_ai.footage.search.fusion import find_texts
from montage_ai.footage.search.insight import ClipInsight, Insight, gain_insight
from montage_ai.footage.search.labels import ZeroShot, load_labels
from montage_ai.footage.search.looks import Looks, ask
from montage_ai.footage.search.moment import Moment
from montage_ai.footage.search.moments import Found, find_moments
from montage_ai.footage.search.query import Query, parse_query
from montage_ai.footage.search.seen import Seen, last_seen
from montage_ai.footage.search.tags import Tagged, TaggedClip, Tagger
from montage_ai.footage.search.vocabulary import load_vocabulary

__all__ = [
    "ClipInsight",
    "Found",
    "Insight",
    "Looks",
    "Moment",
    "Query",
    "Seen",
    "Tagged",
    "TaggedClip",
    "Tagger",
    "ZeroShot",
    "ask",
    "find_moments",
    "find_texts",
    "gain_insight",
    "last_seen",
    "load_labels",
    "load_vocabulary",
    "parse_query",
]

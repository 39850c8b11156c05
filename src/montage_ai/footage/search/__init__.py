"""Find moments by describing them.

vocabulary.py   what words mean in what was measured: data that users can edit
query.py        what is asked for, as concepts, words of names, and what is not wanted
signals.py      what was measured, for every frame of a clip
looks.py        what a model says that has seen the pictures
nearest.py      exact search among the vectors that it made of them
moments.py      the stretches of shots that answer best
"""

from montage_ai.footage.search.looks import Looks, ask
from montage_ai.footage.search.moments import Found, Moment, find_moments
from montage_ai.footage.search.query import Query, parse_query
from montage_ai.footage.search.tags import Tagged, tag_shots
from montage_ai.footage.search.vocabulary import load_vocabulary

__all__ = [
    "Found",
    "Looks",
    "Moment",
    "Query",
    "Tagged",
    "ask",
    "find_moments",
    "load_vocabulary",
    "parse_query",
    "tag_shots",
]

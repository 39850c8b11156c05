"""What the places are called that cameras write down as numbers. Nothing is asked of any server."""

from __future__ import annotations

import threading
from math import asin, cos, radians, sin, sqrt
from typing import Any

from montage_ai.media.origin import Location

_NEAR, _AROUND = 30.0, 40.0  # kilometres to the next town, and to the next city
_CITY = 100_000  # people
_PARTS = ("city", "county", "state", "country")
_loading = threading.Lock()


def place_names(location: Location | None) -> tuple[str, ...]:
    """Names of the nearest town, of the city that it may lie at, and of all that both lie in (of GeoNames)."""
    if location is None:
        return ()
    import reverse_geocode  # two seconds: only for who has been somewhere

    with _loading:
        found = [
            place
            for people, distance in ((0, _NEAR), (_CITY, _AROUND))
            if _distance(location, place := reverse_geocode.get(location, min_population=people)) <= distance
        ]
    return tuple(dict.fromkeys(place[part] for part in _PARTS for place in found if place.get(part)))


def _distance(here: Location, there: dict[str, Any]) -> float:
    """Kilometres on the Earth's surface (haversine)."""
    north, east = radians(here[0]), radians(here[1])
    other_north, other_east = radians(there["latitude"]), radians(there["longitude"])
    across = sin((other_north - north) / 2) ** 2 + cos(north) * cos(other_north) * sin((other_east - east) / 2) ** 2
    return 2 * 6371 * asin(sqrt(across))

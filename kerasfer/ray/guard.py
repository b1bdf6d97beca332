"""Photos that end the program that reads them, as some do by a decoder's fault or by the memory they take.

Whoever does a shard writes down beside the plan that it begins. If that happens again and again, the photos are done
one by one, each written down before it is read; one that was the last word of two programs gets a row that says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kerasfer.ray.places import Folder

__all__ = ["Guard"]

STARTS = 4
"""How often a shard is begun before its photos are done one by one."""

DEATHS = 2
"""How many programs may end with a photo before it is left out."""


class Guard:
    """What is known of earlier attempts at a shard.

    Args:
        folder: of the results.
        shard: the shard's number.

    Attributes:
        is_careful: whether photos are to be done one by one.
    """

    def __init__(self, folder: Folder, shard: int) -> None:
        self._folder, self._name = folder, f"_plan/attempts-{shard:05}.json"
        try:
            told = json.loads(folder.read(self._name) or b"{}")
        except ValueError:
            told = {}  # Another attempt is writing it.
        self._starts: int = told.get("starts", 0) + 1
        self._deaths: dict[str, int] = told.get("deaths", {})
        if (last := told.get("at")) is not None:
            self._deaths[last] = self._deaths.get(last, 0) + 1
        self.is_careful = self._starts > STARTS
        self._write(None)

    def _write(self, at: str | None) -> None:
        content = json.dumps({"starts": self._starts, "deaths": self._deaths, "at": at})
        self._folder.write(self._name, content.encode())

    def watched(
        self, photos: Iterable[Any], name_of: Callable[[Any], str], do: Callable[[Any], Iterator[Any]]
    ) -> Iterator[Any]:
        """What `do` gives for each photo, or for one that is left out a text that says why, as a pair with its name.

        Args:
            photos: the photos, or parts of videos.
            name_of: gives the name of one.
            do: does one.
        """
        for photo in photos:
            name = name_of(photo)
            if self._deaths.get(name, 0) >= DEATHS:
                yield name, f"{name}: ended {self._deaths[name]} programs that read it; look at it in one of its own"
                continue
            self._write(name)
            yield from do(photo)
        self._write(None)

    def done(self) -> None:
        """Forgets the attempts: the shard has its file."""
        self._folder.remove(self._name)

"""Versions follow from the log alone."""

from __future__ import annotations

from noetl_stream.adapters.versions import Versions
from noetl_stream.wire.records import PlaybookRegistered


def folded(*texts: str, path: str = "hello") -> Versions:
    versions = Versions()
    for offset, text in enumerate(texts):
        versions.fold(PlaybookRegistered(path=path, text=text, digest=text, time=0.0), offset)
    return versions


def test_the_same_text_again_makes_no_version() -> None:
    versions = folded("a", "a", "b", "b")

    newest = versions.lookup("hello")
    assert newest is not None
    assert (newest.version, newest.offset, newest.text) == (2, 2, "b")


def test_going_back_to_an_earlier_text_is_a_version_of_its_own() -> None:
    versions = folded("a", "b", "a")

    assert [entry.text for n in (1, 2, 3) if (entry := versions.lookup("hello", n))] == ["a", "b", "a"]
    assert (first := versions.by_digest("a")) is not None
    assert first.version == 1


def test_a_version_that_never_was_is_not_found() -> None:
    versions = folded("a")

    assert versions.lookup("hello", 0) is None
    assert versions.lookup("hello", 2) is None
    assert versions.lookup("other") is None
    assert versions.by_digest("other") is None


def test_what_stood_at_an_offset_is_the_version_before_any_later_one() -> None:
    versions = folded("a", "b", "b", "c")

    assert versions.standing_at("hello", 2).version == 2
    assert versions.paths() == ("hello",)

"""The types of a plugin's keys, whatever its model is made of."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from noetl_stream.editor.kind_keys import words_of_type


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Path | None, "Path"),
        (tuple[str, ...] | set[int], "tuple or set"),
        (list[Annotated[int, Field(gt=0)]], "list of whole number"),
        (dict[str, Decimal] | Decimal, "mapping or Decimal"),
    ],
)
def test_a_type_that_the_language_has_no_word_for_is_called_as_in_python(
    annotation: object, words: str
) -> None:
    assert words_of_type(annotation) == words

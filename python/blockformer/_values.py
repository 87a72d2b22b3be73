"""Checks of what callers give, before ctypes would say less of it or take it modulo its size."""

from __future__ import annotations

import array
import operator
from typing import Any, List

from blockformer.errors import InvalidArgumentError


def text_of(value: Any, name: str) -> str:
    """The value, which has to be a text."""
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{name}: {value!r:.200} is not a text")
    return value


def integer_of(value: Any, name: str, lowest: int, highest: int) -> int:
    """The value as an int; numpy's integers are too."""
    try:
        number = operator.index(value)
    except TypeError:
        raise InvalidArgumentError(f"{name}: {value!r:.200} is not an integer") from None
    if not lowest <= number <= highest:
        raise InvalidArgumentError(
            f"{name}: {number} is out of range; {lowest} to {highest} is wanted")
    return number


def number_of(value: Any, name: str) -> float:
    """The value as a float."""
    try:
        if isinstance(value, str):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidArgumentError(f"{name}: {value!r:.200} is not a number") from None


def list_of(value: Any, name: str) -> List[Any]:
    """The elements of anything that can be looped over, but of a text."""
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        return list(value)
    except TypeError:
        raise InvalidArgumentError(f"{name}: {value!r:.200} is not a list") from None


def ids_of(value: Any, name: str) -> List[int]:
    """Token ids as ints; of numpy's arrays too."""
    ids = list_of(value, name)
    try:
        return array.array("i", ids).tolist()
    except (TypeError, OverflowError):  # one of them is wrong, and is named
        return [integer_of(one, name, -2**31, 2**31 - 1) for one in ids]

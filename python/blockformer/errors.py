"""The exceptions of this package: one for each code of the C interface."""

from __future__ import annotations

import builtins
import contextlib
from typing import Iterator, Type


class BlockformerError(Exception):
    """What the engine refuses or cannot do; the message is one line that says what is wrong."""


class InvalidArgumentError(BlockformerError, ValueError):
    """An argument or a setting is wrong."""


class NotFoundError(BlockformerError, FileNotFoundError):
    """A file or a named thing does not exist."""


class CorruptError(BlockformerError):
    """A file's contents contradict its format, or a model computes numbers that are not finite."""


class UnsupportedError(BlockformerError):
    """Valid, but this build, this machine or this model cannot do it."""


class InputOutputError(BlockformerError, OSError):
    """The operating system refused to read or write."""


class ExhaustedError(BlockformerError):
    """Memory, the model's context, or a request's time is used up."""


class InterruptedError(BlockformerError, builtins.InterruptedError):
    """The engine was closed."""


class InternalError(BlockformerError):
    """A defect of blockformer."""


class FullError(BlockformerError):
    """No more requests can wait now; later they can."""


_CLASSES = {1: InvalidArgumentError, 2: NotFoundError, 3: CorruptError, 4: UnsupportedError,
            5: InputOutputError, 6: ExhaustedError, 7: InterruptedError, 8: InternalError,
            9: FullError}


def class_of(status: int) -> Type[BlockformerError]:
    """The exception for a code; codes of newer libraries are errors like any other."""
    return _CLASSES.get(status, BlockformerError)


@contextlib.contextmanager
def at_place(place: str) -> Iterator[None]:
    """Names the place of what is wrong: messages begin with it."""
    try:
        yield
    except BlockformerError as error:
        raise type(error)(f"{place}: {error}") from None

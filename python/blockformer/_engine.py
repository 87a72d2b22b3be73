"""Engines and queues of the C interface as Python objects."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import weakref
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from blockformer import _library, errors
from blockformer._library import check, lib
from blockformer.outputs import ScoreOutput, TextChunk
from blockformer.sampling_params import RawOptions

Messages = List[Dict[str, Any]]

ScoreInput = Union[str, Tuple[str, str]]
"""A text, or a pair (context, continuation)."""


@dataclasses.dataclass
class Prompt:
    """A prompt of a text, of ids, or of a conversation, with its ids."""

    token_ids: List[int]
    text: Optional[str] = None
    messages: Optional[str] = None  # JSON, of a conversation that is to be answered


def _copy(pointer, shape: Tuple[int, ...], dtype) -> np.ndarray:
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.ctypeslib.as_array(pointer, shape).copy()


def _chunk(event: _library.Event) -> TextChunk:
    count, top = event.num_ids, event.num_top
    finish = event.finish
    text = ctypes.string_at(event.text, event.text_size).decode("utf-8")
    reason = _library.FINISH_NAMES.get(finish, "error") if finish else None
    chunk = TextChunk(text, event.ids[:count] if count else [], finish_reason=reason,
                      cut_tokens=event.cut_tokens)
    if event.log_probabilities:
        chunk.logprobs = _copy(event.log_probabilities, (count,), np.float64)
        chunk.top_token_ids = _copy(event.top_ids, (count, top), np.int32)
        chunk.top_logprobs = _copy(event.top_log_probabilities, (count, top), np.float64)
    if event.stop_id >= 0:
        chunk.stop_reason = event.stop_id
    if finish == _library.FINISH_ERROR:
        chunk.error = event.message.decode("utf-8", "replace")
        chunk.error_code = event.error
    return chunk


class Queue:
    """Where the events of requests wait."""

    def __init__(self):
        handle = ctypes.c_void_p()
        check(lib.bf_queue_create(handle))
        self.handle = handle
        self._free = weakref.finalize(self, lib.bf_queue_free, handle)

    def next(self, timeout: float) -> Union[None, int, Tuple[int, TextChunk]]:
        """The next event as (request, chunk); None after the time, IDLE if nothing is open."""
        event = ctypes.POINTER(_library.Event)()
        status = lib.bf_queue_next(self.handle, timeout, event)
        if status == _library.TIMEOUT:
            return None
        if status == _library.IDLE:
            return _library.IDLE
        check(status)
        try:
            return event.contents.request, _chunk(event.contents)
        finally:
            lib.bf_event_free(event)

    def close(self) -> None:
        """Cancels what is open of its requests. Not while another thread waits."""
        self._free()


class Engine:
    """A model that generates and scores. Threads may share it."""

    def __init__(self, model: Union[str, os.PathLike], options: Dict[str, Any]):
        raw = _library.EngineOptions()
        check(lib.bf_engine_options_init(raw, ctypes.sizeof(raw)))
        for name, value in options.items():
            setattr(raw, name, value.encode() if isinstance(value, str) else value)
        handle = ctypes.c_void_p()
        try:
            path = os.fsencode(model)
        except TypeError as error:
            raise errors.InvalidArgumentError(f"model: {error}") from None
        check(lib.bf_engine_load(path, raw, handle))
        self.handle = handle
        self._free = weakref.finalize(self, lib.bf_engine_free, handle)
        info = _library.EngineInfo(ctypes.sizeof(_library.EngineInfo))
        check(lib.bf_engine_get_info(handle, info))
        self.info = info

    def close(self) -> None:
        """Ends all requests; the memory goes when nothing refers to the engine any more."""
        if self._free.alive:
            check(lib.bf_engine_stop(self.handle))

    def stats(self) -> Dict[str, int]:
        raw = _library.EngineStats(ctypes.sizeof(_library.EngineStats))
        check(lib.bf_engine_get_stats(self.handle, raw))
        return {name: getattr(raw, name) for name, _ in raw._fields_[1:]}

    def tokenize(self, text: str, flags: int) -> List[int]:
        raw = _library.Text.of(text)
        return self._ids(raw.size + 16, lambda *out: lib.bf_tokenize(self.handle, raw, flags, *out))

    @staticmethod
    def _ids(capacity: int, write) -> List[int]:
        while True:
            ids = (ctypes.c_int32 * capacity)()
            count = ctypes.c_size_t()
            check(write(ids, capacity, count))
            if count.value <= capacity:
                return ids[:count.value]
            capacity = count.value

    def detokenize(self, ids: Sequence[int], skip_special: bool) -> str:
        raw = _library.ids_of(ids, "token ids")
        return self._text(lambda *out: lib.bf_detokenize(self.handle, raw, len(raw),
                                                         bool(skip_special), *out))

    def chat_text(self, messages: str, add_generation_prompt: bool) -> str:
        raw = _library.Text.of(messages)
        return self._text(lambda *out: lib.bf_chat_text(self.handle, raw,
                                                        bool(add_generation_prompt), *out))

    @staticmethod
    def _text(write) -> str:
        count = ctypes.c_size_t()
        check(write(None, 0, count))
        buffer = ctypes.create_string_buffer(max(count.value, 1))
        check(write(buffer, count.value, count))
        return buffer.raw[:count.value].decode("utf-8")

    def prompt_of_messages(self, messages: Messages, add_generation_prompt: bool) -> Prompt:
        try:
            text = json.dumps(messages)
        except (TypeError, ValueError) as error:
            raise errors.InvalidArgumentError(f"messages: {error}") from None
        written = self.chat_text(text, add_generation_prompt)
        raw = _library.Text.of(text)
        ids = self._ids(len(written) + 16,
                        lambda *out: lib.bf_chat_ids(self.handle, raw, bool(add_generation_prompt),
                                                     *out))
        return Prompt(ids, written, text if add_generation_prompt else None)

    def check(self, token_ids: Sequence[int], options: RawOptions) -> None:
        """Raises what `submit` would for what is wrong with a request, and submits nothing."""
        ids = _library.ids_of(token_ids, "token ids")
        check(lib.bf_check_ids(self.handle, ids, len(ids), options.raw))

    def check_score(self, given: ScoreInput) -> None:
        """Raises what `score` would for what is wrong with a text or pair, and scores nothing."""
        check(lib.bf_check_score(self.handle, _raw_score_input(given)))

    def submit(self, queue: Queue, prompt: Prompt, options: RawOptions,
               stream: int) -> Optional[int]:
        """The request's number; None while no more can wait."""
        raw = options.raw
        raw.stream = stream
        request = ctypes.c_int64()
        if prompt.messages is not None:
            text = _library.Text.of(prompt.messages)
            status = lib.bf_submit_chat(self.handle, queue.handle, text, raw, request)
        else:
            ids = _library.ids_of(prompt.token_ids, "token ids")
            status = lib.bf_submit_ids(self.handle, queue.handle, ids, len(ids), raw, request)
        if status == _library.FULL:
            return None
        check(status)
        return request.value

    def cancel(self, request: int) -> None:
        check(lib.bf_cancel(self.handle, request))

    def score(self, inputs: Sequence[ScoreInput]) -> List[ScoreOutput]:
        raw = (_library.ScoreInput * len(inputs))(*map(_raw_score_input, inputs))
        results = ctypes.POINTER(_library.ScoreResult)()
        check(lib.bf_score(self.handle, raw, len(inputs), results))
        try:
            return [_score_output(results[i]) for i in range(len(inputs))]
        finally:
            lib.bf_scores_free(results)


def _raw_score_input(given: ScoreInput) -> _library.ScoreInput:
    raw = _library.ScoreInput()
    if isinstance(given, str):
        raw.text = _library.Text.of(given)
        return raw
    pair = given if isinstance(given, (tuple, list)) else ()
    if len(pair) != 2 or not all(isinstance(text, str) for text in pair):
        raise errors.InvalidArgumentError(
            f"{given!r:.200} is neither a text nor a pair (context, continuation)")
    raw.has_context = True
    raw.context, raw.text = map(_library.Text.of, pair)
    return raw


def _score_output(result: _library.ScoreResult) -> ScoreOutput:
    values = _copy(result.token_log_likelihoods, (result.num_tokens,), np.float64)
    return ScoreOutput(result.log_likelihood, bool(result.is_greedy), values, result.cut_tokens)

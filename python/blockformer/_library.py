"""libblockformer.so through ctypes: the structures and functions of blockformer/blockformer.h.

ctypes lets other Python threads run during every call.
"""

from __future__ import annotations

import array
import ctypes
import os
import pathlib
import re
from ctypes import POINTER, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint64, c_void_p
from typing import Sequence

from blockformer import _values, errors

OK, TIMEOUT, IDLE = 0, 100, 101
FULL = 9
NO_PREFIX = 1
FINISH_NAMES = {1: "length", 2: "stop", 3: "stop", 4: "abort", 5: "error"}
FINISH_ERROR = 5
FORMAT_JSON_OBJECT, FORMAT_JSON_SCHEMA = 1, 2

Ids = POINTER(c_int32)
Doubles = POINTER(c_double)


class Text(ctypes.Structure):
    _fields_ = [("data", c_char_p), ("size", c_size_t)]

    @classmethod
    def of(cls, text: str, name: str = "the text") -> Text:
        try:
            data = _values.text_of(text, name).encode("utf-8")
        except UnicodeEncodeError as error:
            raise errors.InvalidArgumentError(f"a text is no valid Unicode: {error}") from None
        return cls(data, len(data))


def ids_of(values: Sequence[int], name: str):
    """Ids as an array of C; ctypes alone would take those that do not fit modulo 2**32."""
    numbers = array.array("i", _values.ids_of(values, name))
    return (c_int32 * len(numbers)).from_buffer(numbers)


class EngineOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("device", c_char_p), ("dtype", c_char_p),
                ("kv_dtype", c_char_p), ("score_padding", c_char_p), ("max_sequences", c_int64),
                ("max_length", c_int64), ("max_waiting", c_int64), ("memory_bytes", c_int64),
                ("score_batch_tokens", c_int64), ("threads", c_int32), ("plain_text", c_int32)]


class EngineInfo(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("device", c_char_p), ("dtype", c_char_p),
                ("kv_dtype", c_char_p), ("max_sequences", c_int64), ("max_length", c_int64),
                ("capacity", c_int64), ("vocab_size", c_int64), ("block_length", c_int64),
                ("end_of_text_id", c_int32), ("has_chat_template", c_int32)]


class EngineStats(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("open", c_int64), ("running", c_int64),
                ("steps", c_int64), ("generated_tokens", c_int64),
                ("computed_prompt_units", c_int64), ("cached_prompt_units", c_int64),
                ("preemptions", c_int64), ("cache_pages", c_int64),
                ("cache_pages_in_use", c_int64), ("accepting", c_int32)]


class Event(ctypes.Structure):
    # The text is no c_char_p, which would end at a zero.
    _fields_ = [("request", c_int64), ("text", c_void_p), ("text_size", c_size_t), ("ids", Ids),
                ("num_ids", c_size_t), ("log_probabilities", Doubles), ("top_ids", Ids),
                ("top_log_probabilities", Doubles), ("num_top", c_size_t), ("finish", c_int32),
                ("stop_id", c_int32), ("error", c_int32), ("message", c_char_p),
                ("prompt_tokens", c_int64), ("cut_tokens", c_int64)]


class RequestOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("max_tokens", c_int64), ("bias_ids", Ids),
                ("bias_values", Doubles), ("num_biases", c_size_t),
                ("repetition_penalty", c_double), ("frequency_penalty", c_double),
                ("presence_penalty", c_double), ("temperature", c_double), ("top_k", c_int64),
                ("top_p", c_double), ("min_p", c_double), ("seed", c_uint64),
                ("stream", c_uint64), ("stops", POINTER(Text)), ("num_stops", c_size_t),
                ("stop_ids", Ids), ("num_stop_ids", c_size_t), ("excluded_ids", Ids),
                ("num_excluded_ids", c_size_t), ("log_probabilities", c_int64),
                ("left_padding", c_int64), ("deadline_seconds", c_double), ("priority", c_int32),
                ("ignore_end_of_text", c_int32), ("too_long", c_int32), ("at_end", c_int32),
                ("callback", c_void_p), ("user", c_void_p), ("format", c_int64),
                ("json_schema", Text)]


class ScoreInput(ctypes.Structure):
    _fields_ = [("has_context", c_int32), ("context", Text), ("text", Text)]


class ScoreResult(ctypes.Structure):
    _fields_ = [("log_likelihood", c_double), ("token_log_likelihoods", Doubles),
                ("num_tokens", c_size_t), ("cut_tokens", c_int64), ("is_greedy", c_int32)]


_FUNCTIONS = {
    "bf_engine_options_init": [POINTER(EngineOptions), c_size_t],
    "bf_engine_load": [c_char_p, POINTER(EngineOptions), POINTER(c_void_p)],
    "bf_engine_stop": [c_void_p],
    "bf_engine_get_info": [c_void_p, POINTER(EngineInfo)],
    "bf_engine_get_stats": [c_void_p, POINTER(EngineStats)],
    "bf_tokenize": [c_void_p, Text, c_int32, Ids, c_size_t, POINTER(c_size_t)],
    "bf_detokenize": [c_void_p, Ids, c_size_t, c_int32, c_char_p, c_size_t, POINTER(c_size_t)],
    "bf_chat_text": [c_void_p, Text, c_int32, c_char_p, c_size_t, POINTER(c_size_t)],
    "bf_chat_ids": [c_void_p, Text, c_int32, Ids, c_size_t, POINTER(c_size_t)],
    "bf_request_options_init": [POINTER(RequestOptions), c_size_t],
    "bf_queue_create": [POINTER(c_void_p)],
    "bf_queue_next": [c_void_p, c_double, POINTER(POINTER(Event))],
    "bf_check_ids": [c_void_p, Ids, c_size_t, POINTER(RequestOptions)],
    "bf_check_score": [c_void_p, POINTER(ScoreInput)],
    "bf_submit_ids": [c_void_p, c_void_p, Ids, c_size_t, POINTER(RequestOptions),
                      POINTER(c_int64)],
    "bf_submit_chat": [c_void_p, c_void_p, Text, POINTER(RequestOptions), POINTER(c_int64)],
    "bf_cancel": [c_void_p, c_int64],
    "bf_score": [c_void_p, POINTER(ScoreInput), c_size_t, POINTER(POINTER(ScoreResult))],
}
_RELEASES = {"bf_engine_free": c_void_p, "bf_queue_free": c_void_p,
             "bf_event_free": POINTER(Event), "bf_scores_free": POINTER(ScoreResult)}


def _path() -> str:
    """Path of the library: $BLOCKFORMER_LIBRARY, else the wheel's own."""
    named = os.environ.get("BLOCKFORMER_LIBRARY")
    return named or str(pathlib.Path(__file__).with_name("libblockformer.so"))


def _load() -> ctypes.CDLL:
    try:
        loaded = ctypes.CDLL(_path())
    except OSError as error:
        raise ImportError(f"blockformer's library cannot be loaded: {error}; `pip install` puts it "
                          "beside this file, and BLOCKFORMER_LIBRARY names another one") from None
    for name, arguments in _FUNCTIONS.items():
        function = getattr(loaded, name)
        function.argtypes = arguments
        function.restype = c_int32
    for name, argument in _RELEASES.items():
        function = getattr(loaded, name)
        function.argtypes = [argument]
        function.restype = None
    loaded.bf_version.restype = c_char_p
    loaded.bf_last_error.restype = c_char_p
    return loaded


lib = _load()


def version() -> str:
    """The library's version, such as "0.1.0"."""
    return lib.bf_version().decode()


# Fields of the C interface that have another name here.
_NAMES = {"deadline_seconds": "timeout", "stops": "stop", "stop_ids": "stop_token_ids",
          "excluded_ids": "excluded_token_ids", "log_probabilities": "logprobs",
          "max_sequences": "max_num_seqs", "max_length": "max_model_len"}
_NAME_AT_THE_BEGINNING = re.compile(rf"^(?:{'|'.join(_NAMES)})(?=:)")


def last_error() -> str:
    """The message of this thread's last error."""
    message = lib.bf_last_error().decode("utf-8", "replace")
    return _NAME_AT_THE_BEGINNING.sub(lambda name: _NAMES[name[0]], message)


def check(status: int) -> None:
    """Raises the exception for a code that is an error."""
    if status != OK:
        raise errors.class_of(status)(last_error())

"""How texts are generated."""

from __future__ import annotations

import ctypes
import dataclasses
import enum
import json as json_module
import secrets
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from blockformer import _library, _values, errors


class RequestOutputKind(enum.Enum):
    """What each output of `AsyncLLM.generate` holds."""

    CUMULATIVE = 0  # all of the text so far
    DELTA = 1  # what is new
    FINAL_ONLY = 2  # there is one output, at the end


@dataclasses.dataclass
class StructuredOutputsParams:
    """What form a text has: one of `json` and `json_object`. Names are vLLM's.

    The text is JSON and nothing else, and ends when that is whole; max_tokens and stops may cut it.
    The model is not told: the prompt should say what is wanted. vLLM's other forms and options are
    here so that an UnsupportedError can name them.
    """

    json: Union[None, str, Dict[str, Any]] = None
    """A JSON schema that the text obeys, as a dict or as JSON; of a pydantic model, its
    `model_json_schema()`."""
    regex: Optional[str] = None
    """Not supported."""
    choice: Optional[Sequence[str]] = None
    """Not supported."""
    grammar: Optional[str] = None
    """Not supported."""
    json_object: Optional[bool] = None
    """True: any JSON object."""
    disable_fallback: bool = False
    """Changes nothing: there is one way to do it."""
    disable_any_whitespace: bool = False
    """Not supported."""
    disable_additional_properties: bool = False
    """Not supported: a schema without additionalProperties allows none beside its properties."""
    whitespace_pattern: Optional[str] = None
    """Not supported."""
    structural_tag: Optional[str] = None
    """Not supported."""

    def schema(self) -> Optional[str]:
        """The JSON schema as a text; None for any JSON object."""
        for name in ("regex", "choice", "grammar", "structural_tag", "whitespace_pattern",
                     "disable_any_whitespace", "disable_additional_properties"):
            if getattr(self, name):
                raise errors.UnsupportedError(
                    f"structured_outputs.{name}: is not supported; json and json_object are")
        if self.json_object not in (None, False, True):
            raise errors.InvalidArgumentError(
                f"structured_outputs.json_object: {self.json_object!r:.200} is not True or False")
        if (self.json is not None) == bool(self.json_object):
            raise errors.InvalidArgumentError(
                "structured_outputs: one of json and json_object is wanted, not "
                + ("both" if self.json_object else "neither"))
        return None if self.json is None else self._written()

    def _written(self) -> str:
        if isinstance(self.json, str):
            return self.json
        if not isinstance(self.json, Mapping):
            raise errors.InvalidArgumentError(
                f"structured_outputs.json: {self.json!r:.200} is neither a dict nor a text; of a "
                "pydantic model it is model_json_schema()")
        try:
            return json_module.dumps(self.json, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise errors.InvalidArgumentError(f"structured_outputs.json: {error}") from None


@dataclasses.dataclass
class SamplingParams:
    """How texts are generated. Names and defaults are vLLM's.

    What changes logits comes first (`logit_bias`, penalties, temperature), then the filters top_k,
    top_p and min_p.
    """

    n: int = 1
    """Texts for each prompt."""
    max_tokens: Optional[int] = 16
    """Tokens to generate; None for as many as fit into the context."""
    temperature: float = 1.0
    """0 takes the most likely token."""
    top_p: float = 1.0
    """Keep the fewest tokens of this much probability; above 0, at most 1."""
    top_k: int = 0
    """Keep the k most likely tokens; 0 or -1 keeps all."""
    min_p: float = 0.0
    """Keep tokens at least this likely as the likeliest."""
    repetition_penalty: float = 1.0
    """Above 1, tokens of the prompt or the text so far become less likely; 0.01 to 100."""
    presence_penalty: float = 0.0
    """Taken off a logit once if the token was made; -2 to 2."""
    frequency_penalty: float = 0.0
    """Taken off a logit for each time the token was made; -2 to 2."""
    logit_bias: Optional[Dict[int, float]] = None
    """Added to the logits of ids; -100 to 100."""
    seed: Optional[int] = None
    """The same seed gives the same texts; None draws one for each call."""
    stop: Union[None, str, Sequence[str]] = None
    """Texts that end generation, not part of the result."""
    stop_token_ids: Optional[Sequence[int]] = None
    """Tokens that end generation, not part of the result."""
    excluded_token_ids: Optional[Sequence[int]] = None
    """Tokens that are never made."""
    ignore_eos: bool = False
    """Go on after the model ends its text."""
    logprobs: Optional[int] = None
    """Give the log-probability of each token, and of so many of the likeliest (0 to 20)."""
    truncate_prompt: bool = False
    """Cut the beginning of prompts that leave no room for max_tokens, in place of an error."""
    priority: int = 0
    """Requests of higher priority go first."""
    timeout: float = 0.0
    """Seconds after which a request fails, waiting included; 0 for never."""
    output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE
    """What each output of `AsyncLLM.generate` holds."""
    structured_outputs: Optional[StructuredOutputsParams] = None
    """What form the text has, such as JSON of a schema; None for any text."""

    def stops(self) -> List[str]:
        """The stop texts as a list."""
        if self.stop is None:
            return []
        texts = [self.stop] if isinstance(self.stop, str) else _values.list_of(self.stop, "stop")
        return [_values.text_of(text, "stop") for text in texts]

    def resolved_seed(self) -> int:
        """The seed, or one that is drawn; in 64 bits without a sign."""
        if self.seed is None:
            return secrets.randbits(63)
        return _values.integer_of(self.seed, "seed", -2**63, 2**64 - 1) % 2**64


class RawOptions:
    """A bf_request_options with all that it points to."""

    def __init__(self, params: SamplingParams, seed: int, at_end: bool):
        raw = _library.RequestOptions()
        _library.check(_library.lib.bf_request_options_init(raw, ctypes.sizeof(raw)))
        self._fill(raw, params)
        raw.seed = seed
        raw.at_end = at_end
        self.raw = raw

    def stop_reason(self, stop_id: Optional[int]) -> Optional[int]:
        """The id that ended a text, if stop_token_ids name it: the model's own end is none."""
        return stop_id if stop_id in self._stop_ids else None

    def _fill(self, raw: _library.RequestOptions, params: SamplingParams) -> None:
        def integer(name: str, lowest: int, highest: int = 2**63 - 1) -> int:
            return _values.integer_of(getattr(params, name), name, lowest, highest)

        # -1 has a meaning in C.
        raw.max_tokens = -1 if params.max_tokens is None else integer("max_tokens", 0)
        raw.top_k = 0 if params.top_k == -1 else integer("top_k", 0)
        raw.log_probabilities = -1 if params.logprobs is None else integer("logprobs", 0)
        raw.priority = integer("priority", -2**31, 2**31 - 1)
        for name in ("temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty",
                     "frequency_penalty"):
            setattr(raw, name, _values.number_of(getattr(params, name), name))
        raw.deadline_seconds = _values.number_of(params.timeout, "timeout")
        raw.ignore_end_of_text = bool(params.ignore_eos)
        raw.too_long = bool(params.truncate_prompt)
        if not isinstance(params.output_kind, RequestOutputKind):
            raise errors.InvalidArgumentError(
                f"output_kind: {params.output_kind!r:.200} is no RequestOutputKind")
        self._fill_lists(raw, params)
        if params.structured_outputs is not None:
            raw.format, raw.json_schema = _format_of(params)

    def _fill_lists(self, raw: _library.RequestOptions, params: SamplingParams) -> None:
        biases = {} if params.logit_bias is None else params.logit_bias
        if not isinstance(biases, Mapping):
            raise errors.InvalidArgumentError(
                f"logit_bias: {biases!r:.200} is not a dict of ids and numbers")
        raw.bias_ids = _library.ids_of(list(biases), "logit_bias")
        values = [_values.number_of(value, "logit_bias") for value in biases.values()]
        raw.bias_values = (ctypes.c_double * len(values))(*values)
        raw.num_biases = len(values)
        stops = params.stops()
        raw.stops = (_library.Text * len(stops))(*map(_library.Text.of, stops))
        raw.num_stops = len(stops)
        stop_ids = _optional_ids(params.stop_token_ids, "stop_token_ids")
        self._stop_ids = frozenset(stop_ids)
        raw.stop_ids = _library.ids_of(stop_ids, "stop_token_ids")
        raw.num_stop_ids = len(stop_ids)
        excluded = _optional_ids(params.excluded_token_ids, "excluded_token_ids")
        raw.excluded_ids = _library.ids_of(excluded, "excluded_token_ids")
        raw.num_excluded_ids = len(excluded)


def _format_of(params: SamplingParams) -> Tuple[int, _library.Text]:
    wanted = params.structured_outputs
    if not isinstance(wanted, StructuredOutputsParams):
        raise errors.InvalidArgumentError(
            f"structured_outputs: {wanted!r:.200} is no StructuredOutputsParams")
    if params.ignore_eos:
        raise errors.InvalidArgumentError(
            "ignore_eos: is set beside structured_outputs, whose texts end")
    schema = wanted.schema()
    if schema is None:
        return _library.FORMAT_JSON_OBJECT, _library.Text()
    return _library.FORMAT_JSON_SCHEMA, _library.Text.of(schema)


def _optional_ids(ids: Optional[Sequence[int]], name: str) -> List[int]:
    return [] if ids is None else _values.ids_of(ids, name)

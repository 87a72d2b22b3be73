"""Prompts as callers give them."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Union

from blockformer import _values, errors
from blockformer._engine import Engine, Prompt, ScoreInput
from blockformer.sampling_params import RawOptions, SamplingParams

PromptType = Union[str, Dict[str, Any]]
"""A text, {"prompt": text}, or {"prompt_token_ids": ids}, which may have the text beside them."""

_PROMPT_KEYS = {"prompt", "prompt_token_ids"}


def engine_options(dtype: str, kv_dtype: str, max_num_seqs: int, max_model_len: Optional[int],
                   memory_bytes: int, device: str, threads: int, max_waiting: int,
                   plain_text: bool, score_padding: str) -> Dict[str, Any]:
    """The fields of bf_engine_options."""
    def integer(value: Any, name: str, highest: int = 2**63 - 1) -> int:
        return _values.integer_of(value, name, -2**31, highest)

    texts = {"dtype": dtype, "kv_dtype": kv_dtype, "device": device, "score_padding": score_padding}
    return {
        **{name: _values.text_of(text, name) for name, text in texts.items()},
        "max_sequences": integer(max_num_seqs, "max_num_seqs"),
        "max_length": 0 if max_model_len is None else integer(max_model_len, "max_model_len"),
        "memory_bytes": integer(memory_bytes, "memory_bytes"),
        "max_waiting": integer(max_waiting, "max_waiting"),
        "threads": integer(threads, "threads", 2**31 - 1), "plain_text": bool(plain_text)}


def to_prompt(engine: Engine, given: PromptType) -> Prompt:
    """Tokenizes a prompt."""
    if isinstance(given, str):
        return Prompt(engine.tokenize(given, 0), given)
    if not isinstance(given, dict) or not given or not given.keys() <= _PROMPT_KEYS:
        raise errors.InvalidArgumentError(
            f"{given!r:.200} is no prompt: a text, {{\"prompt\": text}} or "
            "{\"prompt_token_ids\": ids} is wanted")
    if "prompt_token_ids" in given:
        text = given.get("prompt")
        return Prompt(_values.ids_of(given["prompt_token_ids"], "prompt_token_ids"),
                      None if text is None else _values.text_of(text, "prompt"))
    text = _values.text_of(given["prompt"], "prompt")
    return Prompt(engine.tokenize(text, 0), text)


def to_list(prompts: Union[PromptType, Sequence[PromptType]]) -> List[PromptType]:
    """One prompt or several, as a list."""
    return [prompts] if isinstance(prompts, (str, dict)) else _values.list_of(prompts, "prompts")


def to_score_list(inputs: Union[ScoreInput, Sequence[ScoreInput]]) -> List[ScoreInput]:
    """One text or pair to score, or several, as a list."""
    return [inputs] if isinstance(inputs, (str, tuple)) else _values.list_of(inputs, "inputs")


def params_for(params: Union[None, SamplingParams, Sequence[SamplingParams]],
               count: int) -> List[SamplingParams]:
    """The params of each of `count` prompts."""
    if not isinstance(params, (list, tuple)):
        return [params_of(params)] * count
    if len(params) != count:
        raise errors.InvalidArgumentError(f"sampling_params: {len(params)} of them were given for "
                                          f"{count} prompts")
    return [params_of(one) for one in params]


def params_of(params: Optional[SamplingParams]) -> SamplingParams:
    """The params, or those that hold without any."""
    if params is None:
        return SamplingParams()
    if not isinstance(params, SamplingParams):
        raise errors.InvalidArgumentError(
            f"sampling_params: {params!r:.200} is neither SamplingParams nor a list of them")
    return params


def raw_options(engine: Engine, params: SamplingParams, at_end: bool) -> RawOptions:
    """The params for the engine. Raises for what no prompt can be continued with."""
    options = RawOptions(params, params.resolved_seed(), at_end)
    engine.check([], options)
    return options

"""Prompts as callers give them."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Union

from blockformer import errors
from blockformer._engine import Engine, Prompt, ScoreInput
from blockformer.sampling_params import RawOptions, SamplingParams

PromptType = Union[str, Dict[str, Any]]
"""A text, {"prompt": text}, or {"prompt_token_ids": ids}."""


def engine_options(dtype: str, kv_dtype: str, max_num_seqs: int, max_model_len: Optional[int],
                   memory_bytes: int, device: str, threads: int, max_waiting: int,
                   plain_text: bool, score_padding: str) -> Dict[str, Any]:
    """The fields of bf_engine_options."""
    numbers = {"max_num_seqs": max_num_seqs, "max_model_len": max_model_len or 0,
               "memory_bytes": memory_bytes, "threads": threads, "max_waiting": max_waiting}
    for name, value in numbers.items():  # which ctypes would take modulo their size
        highest = 2**31 - 1 if name == "threads" else 2**63 - 1
        if not isinstance(value, int) or not -2**31 <= value <= highest:
            raise errors.InvalidArgumentError(f"{name}: {value!r} is out of range")
    return {"dtype": dtype, "kv_dtype": kv_dtype, "max_sequences": max_num_seqs,
            "max_length": max_model_len or 0, "memory_bytes": memory_bytes, "device": device,
            "threads": threads, "max_waiting": max_waiting, "plain_text": bool(plain_text),
            "score_padding": score_padding}


def to_prompt(engine: Engine, given: PromptType) -> Prompt:
    """Tokenizes a prompt."""
    if isinstance(given, dict) and "prompt_token_ids" in given:
        return Prompt(list(given["prompt_token_ids"]), given.get("prompt"))
    text = given.get("prompt") if isinstance(given, dict) else given
    if not isinstance(text, str):
        raise errors.InvalidArgumentError(
            f"{given!r:.200} is no prompt: a text, {{\"prompt\": text}} or "
            "{\"prompt_token_ids\": ids} is wanted")
    return Prompt(engine.tokenize(text, 0), text)


def to_list(prompts: Union[PromptType, Sequence[PromptType]]) -> List[PromptType]:
    """One prompt or several, as a list."""
    return [prompts] if isinstance(prompts, (str, dict)) else list(prompts)


def to_score_list(inputs: Union[ScoreInput, Sequence[ScoreInput]]) -> List[ScoreInput]:
    """One text or pair to score, or several, as a list."""
    return [inputs] if isinstance(inputs, (str, tuple)) else list(inputs)


def params_for(params: Union[None, SamplingParams, Sequence[SamplingParams]],
               count: int) -> List[SamplingParams]:
    """The params of each of `count` prompts."""
    if params is None or isinstance(params, SamplingParams):
        return [params or SamplingParams()] * count
    if len(params) != count:
        raise errors.InvalidArgumentError(f"sampling_params: {len(params)} of them were given for "
                                          f"{count} prompts")
    return list(params)


def raw_options(engine: Engine, params: SamplingParams, at_end: bool) -> RawOptions:
    """The params for the engine. Raises for what no prompt can be continued with."""
    options = RawOptions(params, params.resolved_seed(), at_end)
    engine.check([], options)
    return options

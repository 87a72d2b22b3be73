"""What generation and scoring give."""

from __future__ import annotations

import dataclasses
from typing import List, Optional

import numpy as np


@dataclasses.dataclass
class CompletionOutput:
    """A generated text.

    Log-probabilities are the model's own, in nats, before temperature and the like; None unless
    `SamplingParams.logprobs` asked for them.
    """

    index: int
    """Which of the prompt's `n` texts it is."""
    text: str
    token_ids: List[int]
    logprobs: Optional[np.ndarray] = None
    """Of each token: float64 [tokens]."""
    top_token_ids: Optional[np.ndarray] = None
    """The likeliest tokens at each place, the likeliest first: int32 [tokens, logprobs]."""
    top_logprobs: Optional[np.ndarray] = None
    """Of these: float64 [tokens, logprobs]."""
    finish_reason: Optional[str] = None
    """"stop", "length", "abort" (it was cancelled), "error", or None while it goes on."""
    stop_reason: Optional[int] = None
    """The id of stop_token_ids that ended it; None where the model ended its text, as in vLLM."""
    error: Optional[str] = None
    """Why it failed, if it did."""

    @property
    def cumulative_logprob(self) -> Optional[float]:
        """The sum of `logprobs`."""
        return None if self.logprobs is None else float(self.logprobs.sum())

    def finished(self) -> bool:
        """Whether nothing more comes."""
        return self.finish_reason is not None


@dataclasses.dataclass
class RequestOutput:
    """The texts for one prompt."""

    request_id: str
    prompt: Optional[str]
    """None for a prompt of ids without its text."""
    prompt_token_ids: List[int]
    outputs: List[CompletionOutput]
    finished: bool = True
    cut_tokens: int = 0
    """Of the prompt's beginning, that were cut off for `truncate_prompt`."""


@dataclasses.dataclass
class TextChunk:
    """What is new of a text, see `LLM.stream`. Fields as those of CompletionOutput."""

    text: str
    token_ids: List[int]
    logprobs: Optional[np.ndarray] = None
    top_token_ids: Optional[np.ndarray] = None
    top_logprobs: Optional[np.ndarray] = None
    finish_reason: Optional[str] = None
    stop_reason: Optional[int] = None
    error: Optional[str] = None
    error_code: int = 0
    cut_tokens: int = 0


@dataclasses.dataclass
class ScoreOutput:
    """How likely a model finds a text, or a continuation given its context."""

    log_likelihood: float
    """The sum, in nats; NaN if the model computed numbers that are not finite."""
    is_greedy: bool
    """Each token is the likeliest one."""
    token_logprobs: np.ndarray
    """Of each scored token: float64 [tokens]."""
    cut_tokens: int = 0
    """Of the beginning of a context that is too long."""

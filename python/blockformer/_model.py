"""What `LLM` and `AsyncLLM` have in common: a loaded model, and its texts and ids."""

from __future__ import annotations

import os
from typing import Dict, List, Optional, Sequence, Union

from blockformer import _library
from blockformer._engine import Engine, Messages
from blockformer._prompts import engine_options


class LoadedModel:
    """A model directory, loaded. Arguments are those of `LLM`."""

    def __init__(self, model: Union[str, os.PathLike], *, dtype: str = "auto",
                 kv_dtype: str = "auto", max_num_seqs: int = 32,
                 max_model_len: Optional[int] = None, memory_bytes: int = 0, device: str = "auto",
                 threads: int = 0, max_waiting: int = 256, plain_text: bool = False,
                 score_padding: str = "auto"):
        self._engine = Engine(model, engine_options(dtype, kv_dtype, max_num_seqs, max_model_len,
                                                    memory_bytes, device, threads, max_waiting,
                                                    plain_text, score_padding))
        self._start()

    def _start(self) -> None:
        """What a subclass does when the model is loaded."""

    @property
    def max_model_len(self) -> int:
        """Tokens of a sequence, prompt included."""
        return self._engine.info.max_length

    @property
    def block_length(self) -> int:
        """Tokens of a block; 1 for a vanilla model."""
        return self._engine.info.block_length

    @property
    def dtype(self) -> str:
        """Of the weights in memory."""
        return self._engine.info.dtype.decode()

    @property
    def kv_dtype(self) -> str:
        """Of the KV cache."""
        return self._engine.info.kv_dtype.decode()

    def stats(self) -> Dict[str, int]:
        """What the engine has done and how its cache is used."""
        return self._engine.stats()

    def tokenize(self, text: str, add_special_tokens: bool = True) -> List[int]:
        """The ids of a text, behind those that the tokenizer's template puts before one."""
        return self._engine.tokenize(text, 0 if add_special_tokens else _library.NO_PREFIX)

    def detokenize(self, token_ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of ids; what is no whole character becomes U+FFFD."""
        return self._engine.detokenize(token_ids, skip_special_tokens)

    def apply_chat_template(self, messages: Messages, add_generation_prompt: bool = True) -> str:
        """A conversation, a list of {"role", "content"}, as the model's template writes it."""
        return self._engine.prompt_of_messages(messages, add_generation_prompt).text or ""

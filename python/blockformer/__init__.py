"""Runs Block Transformers and vanilla models on blockformer's engine.

    from blockformer import LLM, SamplingParams

    llm = LLM("runs/block_5m")
    for output in llm.generate(["It was", "She had"], SamplingParams(temperature=0.7)):
        print(output.prompt + output.outputs[0].text)

`LLM` generates, chats and scores; `AsyncLLM` does so for asyncio. Names follow vLLM's.
"""

from blockformer._library import version as _version
from blockformer.async_llm import AsyncLLM
from blockformer.errors import (BlockformerError, CorruptError, ExhaustedError, FullError,
                                InputOutputError, InternalError, InterruptedError,
                                InvalidArgumentError, NotFoundError, UnsupportedError)
from blockformer.llm import LLM
from blockformer.outputs import CompletionOutput, RequestOutput, ScoreOutput, TextChunk
from blockformer.sampling_params import (RequestOutputKind, SamplingParams,
                                         StructuredOutputsParams)

__version__ = _version()

__all__ = [
    "LLM", "AsyncLLM", "SamplingParams", "StructuredOutputsParams", "RequestOutputKind",
    "RequestOutput", "CompletionOutput", "TextChunk", "ScoreOutput", "BlockformerError",
    "InvalidArgumentError", "NotFoundError", "CorruptError", "UnsupportedError",
    "InputOutputError", "ExhaustedError", "InterruptedError", "InternalError", "FullError"
]

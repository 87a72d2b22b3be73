"""`LLM`: generates, chats and scores for callers that wait."""

from __future__ import annotations

import collections
import dataclasses
import time
from typing import Any, Callable, Deque, Dict, Iterator, List, Optional, Sequence, Union

from tqdm import tqdm

from blockformer._engine import Engine, Messages, Prompt, Queue, ScoreInput
from blockformer._model import LoadedModel
from blockformer._prompts import (PromptType, params_for, params_of, raw_options, to_list,
                                  to_prompt, to_score_list)
from blockformer._values import integer_of, list_of
from blockformer.errors import InvalidArgumentError, at_place, class_of
from blockformer.outputs import CompletionOutput, RequestOutput, ScoreOutput, TextChunk
from blockformer.sampling_params import RawOptions, SamplingParams

# So long a wait is not interrupted by Ctrl-C.
WAIT_SECONDS = 0.1
# How long a request waits for a place in a full engine before it asks again.
FULL_SECONDS = 0.02
# Scored in one call of the library.
SCORED_TOGETHER = 512


@dataclasses.dataclass
class _Text:
    """One of the texts of a call: of which prompt, which of its `n`, and where it draws from."""

    index: int
    sample: int
    stream: int
    options: RawOptions


class LLM(LoadedModel):
    """A model directory, loaded. Threads may share it.

    Args:
        model: The model directory.
        dtype: Weights in memory: "f32", "bf16" or "int8"; "auto" as in the files.
        kv_dtype: The KV cache: "f32", "f16" or "int8"; "auto" suits the weights.
        max_num_seqs: Sequences generated together.
        max_model_len: Tokens of a sequence, prompt included; None for the model's context.
        memory_bytes: Of the KV cache; 0 for what max_num_seqs of max_model_len take, but at most 80 %
            of what is available.
        device: "auto" (the fastest that is there), "cpu", "cuda" or "cuda:N".
        threads: That compute; 0 for one a processor.
        max_waiting: Requests of all callers that may wait beside max_num_seqs.
        plain_text: Special tokens' texts in prompts and messages, such as "<|endoftext|>", are text.
        score_padding: Where scored texts begin in a block model: "pad", "nopad", or "auto" as it was
            trained.
    """

    def __enter__(self) -> LLM:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Ends what is generated. The memory goes when nothing refers to the object any more."""
        self._engine.close()

    def generate(self, prompts: Union[PromptType, Sequence[PromptType]],
                 sampling_params: Union[None, SamplingParams, Sequence[SamplingParams]] = None,
                 use_tqdm: bool = True, first_index: int = 0) -> List[RequestOutput]:
        """Continues prompts, in their order.

        A text depends on its prompt, the seed and the prompt's index alone; it is what `blockformer
        generate --seed` writes for the prompt of that number in a file. `first_index` is the index
        of the first prompt: so the parts of a list give what the whole list does. What is wrong with
        a prompt raises before anything is generated. A text that fails later has the finish_reason
        "error".
        """
        ready = []
        for index, one in enumerate(to_list(prompts)):
            with at_place(f"prompts[{index}]"):
                ready.append(to_prompt(self._engine, one))
        return self._run(ready, sampling_params, use_tqdm, first_index)

    def chat(self, messages: Union[Messages, Sequence[Messages]],
             sampling_params: Union[None, SamplingParams, Sequence[SamplingParams]] = None,
             use_tqdm: bool = True, add_generation_prompt: bool = True) -> List[RequestOutput]:
        """Answers a conversation, a list of {"role", "content"}, or several of them."""
        several = list_of(messages, "messages")
        if several and isinstance(several[0], dict):
            several = [several]
        ready = []
        for index, one in enumerate(several):
            with at_place(f"conversations[{index}]"):
                ready.append(self._engine.prompt_of_messages(one, add_generation_prompt))
        return self._run(ready, sampling_params, use_tqdm)

    def stream(self, prompt: Union[PromptType, Messages],
               sampling_params: Optional[SamplingParams] = None) -> Iterator[TextChunk]:
        """Continues a prompt, or answers a conversation, and gives the text as it comes.

        The last chunk has a finish_reason. Leaving the loop early cancels the request.
        """
        params = params_of(sampling_params)
        if params.n != 1:
            raise InvalidArgumentError(f"n: {params.n} texts cannot be one stream")
        if isinstance(prompt, list):
            ready = self._engine.prompt_of_messages(prompt, True)
        else:
            ready = to_prompt(self._engine, prompt)
        options = raw_options(self._engine, params, at_end=False)
        self._engine.check(ready.token_ids, options)
        return self._stream(ready, options)

    def _stream(self, prompt: Prompt, options: RawOptions) -> Iterator[TextChunk]:
        queue = Queue()
        try:
            while self._engine.submit(queue, prompt, options, 0) is None:
                time.sleep(FULL_SECONDS)
            while True:
                event = queue.next(WAIT_SECONDS)
                if isinstance(event, tuple):
                    chunk = event[1]
                    if chunk.error is not None:
                        raise class_of(chunk.error_code)(chunk.error)
                    chunk.stop_reason = options.stop_reason(chunk.stop_reason)
                    yield chunk
                    if chunk.finish_reason is not None:
                        return
        finally:
            queue.close()

    def score(self, inputs: Union[ScoreInput, Sequence[ScoreInput]],
              use_tqdm: bool = True) -> List[ScoreOutput]:
        """Log-likelihoods of texts, or of pairs (context, continuation).

        They become tokens as in lm-evaluation-harness; the result is that of `blockformer score`, to
        the last digit.
        """
        inputs = to_score_list(inputs)
        for index, one in enumerate(inputs):
            with at_place(f"inputs[{index}]"):
                self._engine.check_score(one)
        outputs: List[ScoreOutput] = []
        with tqdm(total=len(inputs), desc="scoring", unit="text", disable=not use_tqdm) as bar:
            for begin in range(0, len(inputs), SCORED_TOGETHER):
                outputs += self._engine.score(inputs[begin:begin + SCORED_TOGETHER])
                bar.update(len(outputs) - bar.n)
        return outputs

    def _run(self, prompts: List[Prompt],
             sampling_params: Union[None, SamplingParams, Sequence[SamplingParams]],
             use_tqdm: bool, first_index: int = 0) -> List[RequestOutput]:
        params = params_for(sampling_params, len(prompts))
        options = self._options(params, not isinstance(sampling_params, (list, tuple)))
        first_index = integer_of(first_index, "first_index", 0, 2**62)
        for index, (prompt, raw) in enumerate(zip(prompts, options)):
            with at_place(f"prompts[{index}]"):
                self._engine.check(prompt.token_ids, raw)
        results = [RequestOutput(str(index), prompt.text, prompt.token_ids, [])
                   for index, prompt in enumerate(prompts)]
        waiting: Deque[_Text] = collections.deque()
        for index, (one, raw) in enumerate(zip(params, options)):
            for sample in range(one.n):
                stream = (first_index + index) * one.n + sample
                waiting.append(_Text(index, sample, stream, raw))
        with tqdm(total=len(waiting), desc="generating", unit="text", disable=not use_tqdm) as bar:
            _drain(self._engine, prompts, waiting, results, bar.update)
        for result in results:
            result.outputs.sort(key=lambda output: output.index)
        return results

    def _options(self, params: List[SamplingParams], is_one: bool) -> List[RawOptions]:
        """Of each prompt; those of one object are drawn once."""
        found: Dict[int, RawOptions] = {}
        for index, one in enumerate(params):
            if id(one) not in found:
                with at_place("sampling_params" if is_one else f"sampling_params[{index}]"):
                    integer_of(one.n, "n", 1, 2**31)
                    found[id(one)] = raw_options(self._engine, one, at_end=True)
        return [found[id(one)] for one in params]


def _drain(engine: Engine, prompts: List[Prompt], waiting: Deque[_Text],
           results: List[RequestOutput], on_text: Callable[[], Any]) -> None:
    """Submits all that waits, as places become free, and takes the texts."""
    open_texts: Dict[int, _Text] = {}
    queue = Queue()
    try:
        while waiting or open_texts:
            while waiting:
                text = waiting[0]
                request = engine.submit(queue, prompts[text.index], text.options, text.stream)
                if request is None:
                    break
                open_texts[request] = waiting.popleft()
            if not open_texts:  # others have all places
                time.sleep(FULL_SECONDS)
                continue
            event = queue.next(WAIT_SECONDS)
            if not isinstance(event, tuple):
                continue
            text, chunk = open_texts.pop(event[0]), event[1]
            results[text.index].cut_tokens = chunk.cut_tokens
            results[text.index].outputs.append(CompletionOutput(
                text.sample, chunk.text, chunk.token_ids, chunk.logprobs, chunk.top_token_ids,
                chunk.top_logprobs, chunk.finish_reason,
                text.options.stop_reason(chunk.stop_reason), chunk.error))
            on_text()
    finally:
        queue.close()

"""`AsyncLLM`: many requests at once for asyncio."""

from __future__ import annotations

import asyncio
import atexit
import dataclasses
import itertools
import threading
from typing import Any, AsyncGenerator, Dict, List, Optional, Sequence, Union

import numpy as np

from blockformer._engine import Messages, Prompt, Queue, ScoreInput
from blockformer._model import LoadedModel
from blockformer._prompts import PromptType, params_of, to_prompt, to_score_list
from blockformer._values import text_of
from blockformer.errors import InvalidArgumentError, class_of
from blockformer.llm import FULL_SECONDS
from blockformer.outputs import CompletionOutput, RequestOutput, ScoreOutput, TextChunk
from blockformer.sampling_params import RawOptions, RequestOutputKind, SamplingParams


@dataclasses.dataclass
class _Reader:
    """Who reads the events of a request."""

    loop: asyncio.AbstractEventLoop
    chunks: asyncio.Queue[TextChunk]


class AsyncLLM(LoadedModel):
    """A model directory, loaded, for many requests at once. Arguments are those of `LLM`.

    It may be used from several event loops and threads. `close()` ends it, or `async with`.
    """

    def _start(self) -> None:
        self._queue = Queue()
        self._condition = threading.Condition()  # guards what follows
        self._readers: Dict[int, _Reader] = {}
        # The request of a name, or its reader while it waits for a place.
        self._names: Dict[str, Union[int, _Reader]] = {}
        self._closed = False
        self._counter = itertools.count()
        self._thread = threading.Thread(target=self._dispatch, name="blockformer", daemon=True)
        self._thread.start()
        # Before the interpreter takes the queue away from the thread that waits for it.
        atexit.register(self.close)

    async def __aenter__(self) -> AsyncLLM:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    def close(self) -> None:
        """Ends all requests, whose readers get an InterruptedError."""
        atexit.unregister(self.close)
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self._engine.close()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def generate(self, prompt: PromptType, sampling_params: Optional[SamplingParams] = None,
                 request_id: Optional[str] = None) -> AsyncGenerator[RequestOutput, None]:
        """Continues a prompt, and gives the text as it grows: see SamplingParams.output_kind.

        Leaving the loop early, or cancelling the task, cancels the request. A request that fails
        raises.
        """
        return self._generate(to_prompt(self._engine, prompt), sampling_params, request_id)

    def chat(self, messages: Messages, sampling_params: Optional[SamplingParams] = None,
             request_id: Optional[str] = None) -> AsyncGenerator[RequestOutput, None]:
        """Answers a conversation, a list of {"role", "content"}; otherwise as `generate`."""
        prompt = self._engine.prompt_of_messages(messages, add_generation_prompt=True)
        return self._generate(prompt, sampling_params, request_id)

    def abort(self, request_id: str) -> None:
        """Cancels a request by its id; its last output has the finish_reason "abort"."""
        with self._condition:
            request = self._names.get(request_id)
            if isinstance(request, _Reader):
                del self._names[request_id]
        if isinstance(request, int):
            self._engine.cancel(request)

    async def score(self, inputs: Union[ScoreInput, Sequence[ScoreInput]]) -> List[ScoreOutput]:
        """As LLM.score: of one text or pair, or of several."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self._engine.score, to_score_list(inputs))

    async def _generate(self, prompt: Prompt, sampling_params: Optional[SamplingParams],
                        request_id: Optional[str]) -> AsyncGenerator[RequestOutput, None]:
        params = params_of(sampling_params)
        if params.n != 1:
            raise InvalidArgumentError(f"n: {params.n} texts of one request are LLM.generate's")
        at_end = params.output_kind is RequestOutputKind.FINAL_ONLY
        options = RawOptions(params, params.resolved_seed(), at_end)
        name = (f"request-{next(self._counter)}" if request_id is None
                else text_of(request_id, "request_id"))
        reader = _Reader(asyncio.get_running_loop(), asyncio.Queue())
        request = await self._submit(prompt, options, reader, name)
        output = CompletionOutput(0, "", [])
        if request is None:
            output.finish_reason = "abort"
            yield RequestOutput(name, prompt.text, prompt.token_ids, [output], True)
            return
        try:
            while output.finish_reason is None:
                chunk = await reader.chunks.get()
                if chunk.error is not None:
                    raise class_of(chunk.error_code)(chunk.error)
                chunk.stop_reason = options.stop_reason(chunk.stop_reason)
                delta = params.output_kind is RequestOutputKind.DELTA
                output = _joined(CompletionOutput(0, "", []) if delta else output, chunk)
                yield RequestOutput(name, prompt.text, prompt.token_ids, [output],
                                    output.finish_reason is not None, chunk.cut_tokens)
        finally:
            self._forget(request, name, cancel=output.finish_reason is None)

    async def _submit(self, prompt: Prompt, options: RawOptions, reader: _Reader,
                      name: str) -> Optional[int]:
        """The request, once there is a place for it; None if it was aborted before."""
        with self._condition:
            if name in self._names:
                raise InvalidArgumentError(f"request_id: {name} is in use")
            self._names[name] = reader
        try:
            while True:
                with self._condition:
                    if self._names.get(name) is not reader:  # another one may have the name now
                        return None
                    # With the lock, so that its first event finds the reader.
                    request = self._engine.submit(self._queue, prompt, options, 0)
                    if request is not None:
                        self._readers[request] = reader
                        self._names[name] = request
                        self._condition.notify_all()
                        return request
                await asyncio.sleep(FULL_SECONDS)
        except BaseException:
            with self._condition:
                if self._names.get(name) is reader:
                    del self._names[name]
            raise

    def _forget(self, request: int, name: str, cancel: bool) -> None:
        with self._condition:
            was_open = self._readers.pop(request, None) is not None
            self._names.pop(name, None)
        if cancel and was_open:
            self._engine.cancel(request)

    def _dispatch(self) -> None:
        """Hands events to their readers, on a thread of its own."""
        while True:
            event = self._queue.next(-1)
            if isinstance(event, tuple):
                self._hand_over(*event)
                continue
            with self._condition:
                if self._closed:
                    self._fail_readers()
                    return
                if not self._readers:
                    self._condition.wait(1)

    def _hand_over(self, request: int, chunk: TextChunk) -> None:
        with self._condition:
            finished = chunk.finish_reason is not None
            reader = self._readers.pop(request, None) if finished else self._readers.get(request)
        if reader is not None:
            _put(reader, chunk)

    def _fail_readers(self) -> None:
        for reader in self._readers.values():
            _put(reader, TextChunk("", [], finish_reason="error", error="the engine was closed",
                                   error_code=7))
        self._readers.clear()


def _put(reader: _Reader, chunk: TextChunk) -> None:
    try:
        reader.loop.call_soon_threadsafe(reader.chunks.put_nowait, chunk)
    except RuntimeError:  # the loop is closed: nobody reads
        pass


def _append(before: Optional[np.ndarray], new: Optional[np.ndarray]) -> Optional[np.ndarray]:
    return new if before is None or new is None else np.concatenate([before, new])


def _joined(before: CompletionOutput, chunk: TextChunk) -> CompletionOutput:
    return CompletionOutput(
        0, before.text + chunk.text, before.token_ids + chunk.token_ids,
        _append(before.logprobs, chunk.logprobs),
        _append(before.top_token_ids, chunk.top_token_ids),
        _append(before.top_logprobs, chunk.top_logprobs), chunk.finish_reason, chunk.stop_reason)

#!/usr/bin/env python3
"""Checks the Python package in the environment that runs this, against the program.

Texts of `LLM.generate` and scores of `LLM.score` equal those of `blockformer generate` and `blockformer
score`; the examples of python/README.md run; texts obey JSON schemas; threads, asyncio, cancellation,
exceptions; memory stays flat over 10,000 requests; and how fast generation is beside the program's. Models are
tiny ones with random weights, which the program makes. Exits with 1 if something differs.

    scripts/dev/check_python.sh        builds the package, installs it into an environment, and runs this
"""

import argparse
import asyncio
import contextlib
import dataclasses
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import _thread

import numpy as np

import blockformer
from blockformer import (LLM, AsyncLLM, RequestOutputKind, SamplingParams,
                         StructuredOutputsParams)

PROJECT = pathlib.Path(__file__).resolve().parent.parent.parent
VOCABULARY = 600
NUM_PROMPTS = 200
WORDS = "it is a truth that the model of prompts and tokens has been in want of one good word".split()
CHAT_TEMPLATE = ("{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
                 "{% if add_generation_prompt %}assistant:{% endif %}")
# A text that only a cancellation ends, within a check's time.
LONG_CONTEXT = 1 << 20
ENDLESS = SamplingParams(max_tokens=LONG_CONTEXT // 2, ignore_eos=True)
FLAT_REQUESTS = 10_000
FLAT_KB = 2048


def run(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True,
                          text=True)


def make_models(program, folder, width=16):
    """Directories of a vanilla model and of the block model made of it, which can chat."""
    vanilla, block = folder / "vanilla", folder / "block"
    vanilla.mkdir(parents=True)
    run(program, "tokenizer", "train", "--vocab-size", VOCABULARY, "--output", vanilla,
        PROJECT / "README.md")
    code = (f"import sys; sys.path.insert(0, {str(PROJECT / 'tests/install')!r}); "
            f"import make_tiny_model as make; make.WIDTH = {width}; "
            f"make.main({str(vanilla)!r}, {VOCABULARY})")
    run(sys.executable, "-B", "-c", code)
    run(program, "convert", "--uptrain", "duplicate", "--block-length", 4, vanilla, block)
    for model in (vanilla, block):
        (model / "tokenizer_config.json").write_text(json.dumps({"chat_template": CHAT_TEMPLATE}))
    return vanilla, block


def make_prompts(count):
    generator = np.random.default_rng(1)
    return [" ".join(generator.choice(WORDS, generator.integers(1, 12))) for _ in range(count)]


def program_lines(program, command, folder, records, *flags):
    source, destination = folder / "input.jsonl", folder / "output.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    result = run(program, *command, "--input", source, "--output", destination, "--force", *flags)
    return [json.loads(line) for line in destination.read_text().splitlines()], result.stderr


def check_generate(program, model, folder):
    """Greedy and drawn texts, several a prompt, with stop texts."""
    prompts = make_prompts(NUM_PROMPTS)
    names = {"stop": "stop", "end_of_text": "stop", "length": "length"}
    for dtype in ("f32", "int8"):
        with LLM(model, dtype=dtype, max_num_seqs=16) as llm:
            for temperature, n in ((0, 1), (0.9, 2)):
                lines, _ = program_lines(
                    program, ["generate", "--model", model], folder,
                    [{"prompt": prompt} for prompt in prompts], "--temperature", temperature,
                    "--seed", 7, "--n", n, "--max-tokens", 23, "--stop", "th", "--dtype", dtype)
                params = SamplingParams(n=n, temperature=temperature, seed=7, max_tokens=23,
                                        stop=["th"])
                outputs = [text for result in llm.generate(prompts, params, use_tqdm=False)
                           for text in result.outputs]
                assert len(lines) == len(outputs) == NUM_PROMPTS * n
                parts = [text for begin in (0, NUM_PROMPTS - 50)
                         for result in llm.generate(prompts[begin:begin + 50], params,
                                                    use_tqdm=False, first_index=begin)
                         for text in result.outputs]
                assert parts == outputs[:50 * n] + outputs[-50 * n:]
                for line, output in zip(lines, outputs):
                    assert line["text"] == output.text, (line, output)
                    assert line["tokens"] == len(output.token_ids), (line, output)
                    assert names[line["finish_reason"]] == output.finish_reason, (line, output)
                    if output.finish_reason == "length":
                        decoded = llm.detokenize(output.token_ids, skip_special_tokens=True)
                        assert decoded == output.text, (decoded, output)


def check_score(program, model, folder):
    prompts = make_prompts(NUM_PROMPTS)
    pairs = [(prompt, " and then") for prompt in prompts] + [("x" * 300, " cut")]
    texts = prompts[:20] + ["", "long " * 100]
    lines, _ = program_lines(
        program, ["score", model], folder,
        [{"context": context, "continuation": end} for context, end in pairs] +
        [{"text": text} for text in texts])
    with LLM(model) as llm:
        scores = llm.score(pairs + texts, use_tqdm=False)
    assert len(lines) == len(scores)
    for line, score in zip(lines, scores):
        assert line["log_likelihood"] == score.log_likelihood, (line, score)
        assert line["tokens"] == len(score.token_logprobs), (line, score)
        assert line.get("is_greedy", score.is_greedy) == score.is_greedy, (line, score)
        assert line.get("cut_tokens", 0) == score.cut_tokens, (line, score)


def check_readme(model, folder):
    """Runs all that is Python in README.md."""
    examples = re.findall(r"```python\n(.*?)```", (PROJECT / "python/README.md").read_text(), re.S)
    assert len(examples) >= 4
    place = folder / "readme"
    (place / "runs").mkdir(parents=True)
    (place / "runs/block_5m").symlink_to(model)
    before = os.getcwd()
    os.chdir(place)
    try:
        for example in examples:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(example, "README.md", "exec"), {"__name__": "__main__"})
    finally:
        os.chdir(before)


def check_log_probabilities(model):
    with LLM(model) as llm:
        params = SamplingParams(temperature=0, max_tokens=9, logprobs=3, ignore_eos=True)
        output = llm.generate("it is", params, use_tqdm=False)[0].outputs[0]
        assert output.logprobs.shape == (9,) and output.logprobs.dtype == np.float64
        assert output.top_token_ids.shape == output.top_logprobs.shape == (9, 3)
        assert list(output.top_token_ids[:, 0]) == output.token_ids
        assert (output.top_logprobs[:, 0] == output.logprobs).all()
        assert output.cumulative_logprob == output.logprobs.sum() < 0
        assert llm.generate("it is", SamplingParams(), use_tqdm=False)[0].outputs[0].logprobs is None


def check_ends(model):
    """What a text's end is called: the end of text, and ids of stop_token_ids."""
    async def last_of(params):
        async with AsyncLLM(model) as llm:
            return [output async for output in llm.generate("it is", params)][-1].outputs[0]

    with LLM(model) as llm:
        end = llm.tokenize("<|endoftext|>")[0]
        for fields, reason in (({"logit_bias": {end: 100}}, None),
                               ({"logit_bias": {7: 100}, "stop_token_ids": [7]}, 7)):
            params = SamplingParams(seed=1, **fields)
            for output in (llm.generate("it is", params, use_tqdm=False)[0].outputs[0],
                           list(llm.stream("it is", params))[-1], asyncio.run(last_of(params))):
                assert (output.finish_reason, output.stop_reason) == ("stop", reason), output


def check_stream(model):
    with LLM(model) as llm:
        params = SamplingParams(seed=3, max_tokens=30, ignore_eos=True)
        chunks = list(llm.stream("it is", params))
        whole = llm.generate("it is", params, use_tqdm=False)[0].outputs[0]
        assert "".join(chunk.text for chunk in chunks) == whole.text
        assert sum((chunk.token_ids for chunk in chunks), []) == whole.token_ids
        assert len(chunks) > 3 and chunks[-1].finish_reason == "length"
        messages = [{"role": "user", "content": "hi"}]
        assert llm.apply_chat_template(messages) == "user: hi\nassistant:"
        parts = [{"role": "developer", "content": [{"type": "text", "text": "hi"}]}]
        assert llm.apply_chat_template(parts) == "system: hi\nassistant:"
        answer = llm.chat(messages, params, use_tqdm=False)[0]
        assert answer.prompt == "user: hi\nassistant:"
        assert answer.outputs[0].text == "".join(chunk.text for chunk in llm.stream(messages, params))
        assert len(llm.chat([messages, messages], params, use_tqdm=False)) == 2
    with LLM(model, plain_text=True) as llm:
        answer = llm.chat([{"role": "user", "content": "<|endoftext|>"}], params, use_tqdm=False)[0]
        assert llm.tokenize("<|endoftext|>")[0] in answer.prompt_token_ids
        assert 0 not in answer.prompt_token_ids, "a special token of a message is text"
    with LLM(model, max_model_len=LONG_CONTEXT, max_num_seqs=2) as llm:
        for _ in llm.stream("it is", ENDLESS):
            break  # which cancels it
        wait_until_idle(llm)


SCHEMA = {"type": "object", "properties": {"zip": {"type": "string", "maxLength": 4},
                                           "age": {"type": "integer"}},
          "required": ["zip", "age"]}


def check_structured_outputs(model):
    """JSON of a schema and any JSON object, through all that generates."""
    def obeys(text):
        value = json.loads(text)
        assert list(value) == ["zip", "age"] and len(value["zip"]) <= 4, text
        assert isinstance(value["age"], int), text
        return True

    messages = [{"role": "user", "content": "hi"}]
    with LLM(model, max_model_len=2048) as llm:
        for schema in (SCHEMA, json.dumps(SCHEMA)):
            params = SamplingParams(n=2, seed=1, max_tokens=1000,
                                    structured_outputs=StructuredOutputsParams(json=schema))
            for result in (llm.generate(["it is", "was"], params, use_tqdm=False)
                           + llm.chat(messages, params, use_tqdm=False)):
                for output in result.outputs:
                    assert obeys(output.text) and output.finish_reason == "stop", output
        one = dataclasses.replace(params, n=1)
        for prompt in ("it is", messages):
            assert obeys("".join(chunk.text for chunk in llm.stream(prompt, one)))
        quote, brace = (llm.tokenize(text)[0] for text in '"}')
        anything = SamplingParams(
            seed=1, max_tokens=1000, logit_bias={quote: 30, brace: 15},
            structured_outputs=StructuredOutputsParams(json_object=True))
        text = llm.generate("it is", anything, use_tqdm=False)[0].outputs[0].text
        assert isinstance(json.loads(text), dict), text
        mixed = llm.generate(["it"] * 2, [one, SamplingParams(max_tokens=3)], use_tqdm=False)
        assert obeys(mixed[0].outputs[0].text) and len(mixed[1].outputs[0].token_ids) <= 3

    async def use_async():
        async with AsyncLLM(model, max_model_len=2048) as llm:
            for stream in (llm.generate("it is", one), llm.chat(messages, one)):
                async for output in stream:
                    pass
                assert obeys(output.outputs[0].text)

    asyncio.run(use_async())


def wait_until_idle(llm):
    deadline = time.monotonic() + 20
    while llm.stats()["open"] > 0:
        assert time.monotonic() < deadline, "a request goes on"
        time.sleep(0.001)


def check_threads(model):
    """Four callers of one engine, while Python goes on."""
    prompts = make_prompts(40)
    params = SamplingParams(seed=5, max_tokens=40, ignore_eos=True)
    with LLM(model, max_num_seqs=8, max_waiting=8) as llm:
        expected = [result.outputs[0].token_ids
                    for result in llm.generate(prompts, params, use_tqdm=False)]
        results = [None] * 4

        def work(place):
            results[place] = [result.outputs[0].token_ids
                              for result in llm.generate(prompts, params, use_tqdm=False)]

        threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
        count = 0
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            count += 1
        assert results == [expected] * 4
        assert count > 1000, f"Python stood still: {count}"


def check_interruption(model):
    """Ctrl-C ends a long generation within moments, and the engine is free again."""
    # Where this runs in a shell's background, Python has found the signal ignored, and has left it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with LLM(model, max_model_len=LONG_CONTEXT, max_num_seqs=2) as llm:
        timer = threading.Timer(0.3, _thread.interrupt_main)
        timer.start()
        begin = time.monotonic()
        try:
            llm.generate(["it", "is"], ENDLESS, use_tqdm=False)
            raise AssertionError("it was not interrupted")
        except KeyboardInterrupt:
            assert time.monotonic() - begin < 10
        wait_until_idle(llm)
        late = llm.generate("it", dataclasses.replace(ENDLESS, timeout=0.05),
                            use_tqdm=False)[0].outputs[0]
        assert late.finish_reason == "error" and "time" in late.error


def check_exceptions(model):
    def raises(kind, function, words=""):
        try:
            function()
        except kind as error:
            assert words in str(error), (words, str(error))
            return
        raise AssertionError(f"{kind.__name__} was expected")

    raises(blockformer.NotFoundError, lambda: LLM("nowhere"), "nowhere")
    raises(FileNotFoundError, lambda: LLM("nowhere"))
    raises(blockformer.InvalidArgumentError, lambda: LLM(model, dtype="int3"), "int3")
    raises(blockformer.InvalidArgumentError, lambda: LLM(model, threads=2**40), "threads")
    raises(blockformer.InvalidArgumentError, lambda: LLM(model, max_num_seqs=0), "max_sequences")
    llm = LLM(model)

    def generate(prompt="it", **fields):
        return lambda: llm.generate(prompt, SamplingParams(**fields), use_tqdm=False)

    raises(ValueError, generate(temperature=-1), "temperature")
    raises(blockformer.InvalidArgumentError, generate(top_k=2**70), "top_k")
    raises(blockformer.InvalidArgumentError, generate(max_tokens=-1), "max_tokens")
    raises(blockformer.InvalidArgumentError, generate(logprobs=-1), "logprobs")
    raises(blockformer.InvalidArgumentError, generate(logprobs=99), "logprobs: ")
    raises(blockformer.InvalidArgumentError, generate(stop=[""]), "stop: ")
    raises(blockformer.InvalidArgumentError, generate(stop_token_ids=[10**6]), "stop_token_ids: ")
    raises(blockformer.InvalidArgumentError, generate(timeout=-1), "timeout: ")
    raises(blockformer.InvalidArgumentError, generate(stop_token_ids=[2**40]), "stop_token_ids")
    for name, wrong in (("temperature", "hot"), ("temperature", None), ("seed", "a"), ("seed", 1.5),
                        ("stop", [b"x"]), ("stop", 5), ("logit_bias", [1]), ("n", 2.0),
                        ("logit_bias", {"a": 1}), ("logit_bias", {1: "a"}), ("top_k", 1.5),
                        ("stop_token_ids", 5), ("stop_token_ids", "12"), ("logprobs", "1"),
                        ("excluded_token_ids", [1.5]), ("timeout", "x"), ("priority", None),
                        ("output_kind", 1)):
        raises(blockformer.InvalidArgumentError, generate(**{name: wrong}), name)
    for error, words, fields in (
            (blockformer.UnsupportedError, "structured_outputs.regex: ", {"regex": "a+"}),
            (blockformer.UnsupportedError, "structured_outputs.choice: ", {"choice": ["a", "b"]}),
            (blockformer.UnsupportedError, "structured_outputs.grammar: ", {"grammar": "g"}),
            (blockformer.UnsupportedError, "structured_outputs.disable_any_whitespace: ",
             {"json": {}, "disable_any_whitespace": True}),
            (blockformer.InvalidArgumentError, "not neither", {}),
            (blockformer.InvalidArgumentError, "not neither", {"json_object": False}),
            (blockformer.InvalidArgumentError, "not both", {"json": {}, "json_object": True}),
            (blockformer.InvalidArgumentError, "structured_outputs.json_object: 'x'",
             {"json_object": "x"}),
            (blockformer.InvalidArgumentError, "structured_outputs.json: 5", {"json": 5}),
            (blockformer.InvalidArgumentError, "structured_outputs.json: ", {"json": {"a": {1}}}),
            (blockformer.InvalidArgumentError, "json_schema: ", {"json": "{"}),
            (blockformer.InvalidArgumentError, "json_schema: ", {"json": ""}),
            (blockformer.InvalidArgumentError, "sampling_params: json_schema.properties.x.type: ",
             {"json": {"properties": {"x": {"type": "date"}}}})):
        raises(error, generate(structured_outputs=StructuredOutputsParams(**fields)), words)
    raises(blockformer.InvalidArgumentError, generate(structured_outputs={"json": {}}),
           "structured_outputs")
    raises(blockformer.InvalidArgumentError, generate(
        ignore_eos=True, structured_outputs=StructuredOutputsParams(json_object=True)), "ignore_eos")
    for prompt in (None, 5, b"it", {"prompt_token_ids": 5}, {"prompt_token_ids": "ab"}, [None],
                   {"prompt_token_ids": [1], "prompt": 3}, {}, {"prompt": "it", "image": 1}):
        raises(blockformer.InvalidArgumentError, generate(prompt), "")
    for params in ({"max_tokens": 3}, "x", [{"max_tokens": 3}]):
        raises(blockformer.InvalidArgumentError, lambda: llm.generate("it", params), "sampling_params")
        raises(blockformer.InvalidArgumentError, lambda: llm.stream("it", params), "sampling_params")
    for inputs in (None, 5, [5], [("a", "b", "c")], [("a", 5)], [None]):
        raises(blockformer.InvalidArgumentError, lambda: llm.score(inputs), "")
    for call in (lambda: llm.tokenize(5), lambda: llm.detokenize(5), lambda: llm.detokenize("ab"),
                 lambda: llm.chat(None), lambda: llm.chat("hi"), lambda: LLM(5),
                 lambda: llm.apply_chat_template({1}), lambda: LLM(model, dtype=5),
                 lambda: llm.generate("it", first_index="a"), lambda: llm.stream(5)):
        raises(blockformer.InvalidArgumentError, call)
    arrays = llm.generate({"prompt_token_ids": np.array([1, 2])},
                          SamplingParams(stop_token_ids=np.array([3, 4]), seed=np.int64(7)),
                          use_tqdm=False)
    json.dumps(arrays[0].prompt_token_ids)
    raises(blockformer.InvalidArgumentError, generate(n=0), "n: 0")
    raises(blockformer.InvalidArgumentError, generate("\ud800"), "Unicode")
    raises(blockformer.InvalidArgumentError, generate([7]), "7")
    raises(blockformer.InvalidArgumentError, generate({"prompt_token_ids": [10**6]}), "1000000")
    raises(blockformer.InvalidArgumentError, lambda: llm.detokenize([10**6]))
    raises(blockformer.ExhaustedError, generate(["it", "word " * 500]), "prompts[1]")
    raises(blockformer.InvalidArgumentError, lambda: llm.score([("it", " is"), ("a", "")]), "inputs[1]")
    check_nothing_begins(llm, raises)
    raises(blockformer.InvalidArgumentError, lambda: llm.chat([{"role": "user"}]), "content")
    raises(blockformer.InvalidArgumentError,
           lambda: llm.generate(["a", "b"], [SamplingParams()]), "sampling_params")
    llm.close()
    raises(blockformer.InterruptedError, generate())
    llm.close()
    if hasattr(os, "fork"):
        with LLM(model) as llm:
            child = os.fork()
            if child == 0:
                try:
                    raises(blockformer.UnsupportedError, generate(), "fork")
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitpid(child, 0)[1] == 0, "in a forked process"


def check_nothing_begins(llm, raises):
    """What is wrong with the last of many raises before anything is computed, and is named."""
    llm.score([("it", " is")], use_tqdm=False)  # is computed when the last step is counted
    good, before = ["it is"] * 600, llm.stats()
    wrong = {"prompts[600]": {"prompt_token_ids": [10**6]}, "prompts[600]: a prompt": "word " * 500}
    for place, prompt in wrong.items():
        raises(blockformer.BlockformerError, lambda: llm.generate(good + [prompt], use_tqdm=False),
               place)
    for fields in ({"temperature": -1}, {"stop_token_ids": [10**6]}, {"n": 0}):
        params = [SamplingParams()] * 600 + [SamplingParams(**fields)]
        raises(blockformer.InvalidArgumentError,
               lambda: llm.generate(good + ["it"], params, use_tqdm=False), "sampling_params[600]")
    raises(blockformer.InvalidArgumentError,
           lambda: llm.score([("it", " is")] * 600 + [("a", "")], use_tqdm=False), "inputs[600]")
    raises(blockformer.InvalidArgumentError, lambda: llm.stream({"prompt_token_ids": [10**6]}))
    conversations = [[{"role": "user", "content": "hi"}]] * 3 + [[{"role": "user"}]]
    raises(blockformer.InvalidArgumentError, lambda: llm.chat(conversations, use_tqdm=False),
           "conversations[3]")
    assert llm.stats()["steps"] == before["steps"], "something was generated"


async def use_async(model, expected, prompts, params):
    async def text_of(llm, prompt, kind, params=params):
        one = dataclasses.replace(params, output_kind=kind)
        pieces = [output async for output in llm.generate(prompt, one)]
        assert pieces[-1].finished
        if kind is RequestOutputKind.DELTA:
            return "".join(piece.outputs[0].text for piece in pieces)
        return pieces[-1].outputs[0].text

    async with AsyncLLM(model, max_num_seqs=8, max_waiting=8) as llm:
        for kind in RequestOutputKind:
            texts = await asyncio.gather(*(text_of(llm, prompt, kind) for prompt in prompts))
            assert list(texts) == expected, kind
        scores = await llm.score([("it", " is")])
        assert scores[0].log_likelihood < 0
        for one in ("it is", ("it", " is")):  # as LLM.score takes one without a list
            alone, listed = await llm.score(one), await llm.score([one])
            assert [score.log_likelihood for score in alone] == [
                score.log_likelihood for score in listed], one

        try:
            async for _ in llm.generate("it", SamplingParams(temperature=-1)):
                pass
            raise AssertionError("an error was expected")
        except blockformer.InvalidArgumentError:
            pass
    async with AsyncLLM(model, max_num_seqs=4, max_model_len=LONG_CONTEXT) as llm:
        task = asyncio.ensure_future(text_of(llm, "it", RequestOutputKind.FINAL_ONLY, ENDLESS))
        await asyncio.sleep(0.05)
        assert llm.stats()["open"] == 1
        task.cancel()
        async for output in llm.generate("it", ENDLESS, request_id="mine"):
            llm.abort("mine")
        assert output.outputs[0].finish_reason == "abort"
        answer = llm.chat([{"role": "user", "content": "hi"}], ENDLESS)
        async for _ in answer:
            break
        await answer.aclose()
        wait_until_idle(llm)
    async with AsyncLLM(model, max_num_seqs=1, max_waiting=1, max_model_len=LONG_CONTEXT) as full:
        tasks = [asyncio.ensure_future(text_of(full, "it", RequestOutputKind.FINAL_ONLY, ENDLESS))
                 for _ in range(2)]
        while full.stats()["open"] < 2:
            await asyncio.sleep(0.01)
        late = full.generate("it", ENDLESS, request_id="late")
        waits = asyncio.ensure_future(late.__anext__())
        await asyncio.sleep(0.05)
        assert not waits.done(), "there is no place for it"
        full.abort("late")
        assert (await waits).outputs[0].finish_reason == "abort"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        wait_until_idle(full)
    try:
        async for _ in llm.generate("it"):
            pass
        raise AssertionError("a closed engine generates")
    except blockformer.InterruptedError:
        pass


def check_async(model):
    prompts = make_prompts(50)
    params = SamplingParams(seed=11, max_tokens=21, ignore_eos=True)
    with LLM(model) as llm:
        expected = [llm.generate(prompt, params, use_tqdm=False)[0].outputs[0].text
                    for prompt in prompts]
    asyncio.run(use_async(model, expected, prompts, params))
    # Nobody closes this one.
    run(sys.executable, "-c", f"import blockformer; blockformer.AsyncLLM({str(model)!r})")


def resident_kb():
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path("/proc/self/status").read_text())[1])


def check_memory(model):
    params = SamplingParams(max_tokens=2, logprobs=1, stop=["zz"])
    with LLM(model) as llm:
        llm.generate(["it"] * (FLAT_REQUESTS // 5), params, use_tqdm=False)
        before = resident_kb()
        for _ in range(FLAT_REQUESTS // 100):
            llm.generate(["it"] * 100, params, use_tqdm=False)
            llm.score([("it", " is")] * 10, use_tqdm=False)
        grown = resident_kb() - before
    assert grown < FLAT_KB, f"{grown} kB more after {FLAT_REQUESTS} requests"
    return f"{grown} kB more after {FLAT_REQUESTS} requests"


def check_speed(program, folder):
    """The best of some runs in turn: the machine has other work."""
    model = make_models(program, folder / "speed", width=256)[1]
    prompts = make_prompts(1024)
    tokens = 64
    rates = {"program": [], "python": []}
    for _ in range(4):
        _, messages = program_lines(
            program, ["generate", "--model", model], folder, [{"prompt": one} for one in prompts],
            "--batch", 64, "--max-tokens", tokens, "--ignore-eos", "--temperature", 0.8)
        rates["program"].append(float(re.search(r"([\d.]+) tokens/s", messages)[1]))
        with LLM(model, max_num_seqs=64) as llm:
            begin = time.perf_counter()
            llm.generate(prompts, SamplingParams(temperature=0.8, max_tokens=tokens, seed=0,
                                                 ignore_eos=True), use_tqdm=False)
            rates["python"].append(len(prompts) * tokens / (time.perf_counter() - begin))
    best = {name: max(values) for name, values in rates.items()}
    return (f"{best['python']:.0f} tokens/s, the program's are {best['program']:.0f}, ratio "
            f"{best['python'] / best['program']:.3f}; all: "
            f"{ {name: [round(value) for value in values] for name, values in rates.items()} }")


def main():
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--program", required=True, type=os.path.abspath)
    parser.add_argument("--only", default="", help="checks whose names begin so")
    parser.add_argument("--speed", action="store_true", help="measure the speed as well")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="check-python-") as name:
        folder = pathlib.Path(name)
        vanilla, block = make_models(arguments.program, folder)
        checks = [("generate block", check_generate, arguments.program, block, folder),
                  ("generate vanilla", check_generate, arguments.program, vanilla, folder),
                  ("score block", check_score, arguments.program, block, folder),
                  ("score vanilla", check_score, arguments.program, vanilla, folder),
                  ("readme", check_readme, block, folder),
                  ("log-probabilities", check_log_probabilities, block),
                  ("ends", check_ends, block), ("stream and chat", check_stream, block),
                  ("structured outputs block", check_structured_outputs, block),
                  ("structured outputs vanilla", check_structured_outputs, vanilla),
                  ("threads", check_threads, block),
                  ("interruption", check_interruption, block),
                  ("exceptions", check_exceptions, block), ("async", check_async, block),
                  ("memory", check_memory, block)]
        if arguments.speed:
            checks.append(("speed", check_speed, arguments.program, folder))
        failed = 0
        for label, function, *values in checks:
            if not label.startswith(arguments.only):
                continue
            begin = time.monotonic()
            try:
                detail = function(*values)
            except Exception as error:  # the others are checked too
                failed += 1
                detail = f"FAILED: {type(error).__name__}: {str(error)[:2000]}"
                if isinstance(error, subprocess.CalledProcessError):
                    detail += f"\n{error.stderr}"
            print(f"{label}: {detail or 'equal'} ({time.monotonic() - begin:.1f} s)", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

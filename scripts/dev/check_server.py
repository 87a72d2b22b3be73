#!/usr/bin/env python3
"""Uses `blockformer serve` as real clients do: openai's library, curl, and lm-evaluation-harness.

    scripts/dev/check_server.py --program PATH [--model DIR] [--data DIR] [--items N]

Without a model a tiny block model with random weights is made; without data, some invented records
are used. The harness's model local-completions has to find the log-likelihoods of `blockformer
eval`, from texts and from token ids. Needs an environment of make_server_venv.sh, and no network.
Prints a line a check; exit code 1 if one fails.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
import urllib.request

import check_lm_eval

TASKS = ["hellaswag", "lambada_openai"]
# Writes a conversation as ChatML does.
CHAT_TEMPLATE = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
                 "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


def parse_arguments():
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--program", required=True, type=os.path.abspath)
    parser.add_argument("--model", type=pathlib.Path, help="a model's directory")
    parser.add_argument("--data", type=pathlib.Path, help="folder with the tasks' records")
    parser.add_argument("--screenshots", type=pathlib.Path, help="folder for those of the page")
    parser.add_argument("--items", type=int, default=200, help="of each task")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


@contextlib.contextmanager
def running_server(arguments, model, *flags):
    """Yields the server's address."""
    command = [arguments.program, "serve", model, "--port", "0", "--model-name", "checked",
               "--threads", str(arguments.threads), *flags]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = []
            for line in process.stderr:
                lines.append(line)
                if found := re.search(r" at (http\S+)$", line.strip()):
                    yield found[1]
                    break
            else:
                raise RuntimeError("the server did not start: " + "".join(lines))
        finally:
            process.terminate()
            # It may still say something, such as that it shuts down.
            process.communicate(timeout=60)
    assert process.returncode == 0, f"the server ended with {process.returncode}"


def check_openai(url):
    import openai

    client = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
    assert [model.id for model in client.models.list()] == ["checked"]
    assert client.models.retrieve("checked").id == "checked"

    wanted = dict(model="checked", prompt="Once upon", max_tokens=16, seed=7, temperature=0.8)
    answer = client.completions.create(**wanted)
    text = answer.choices[0].text
    assert answer.usage.completion_tokens <= 16
    events = list(client.completions.create(**wanted, stream=True,
                                            stream_options={"include_usage": True}))
    assert "".join(e.choices[0].text for e in events if e.choices) == text
    assert events[-1].usage == answer.usage
    assert client.completions.create(**wanted, user="someone", best_of=1).choices[0].text == text

    choice = client.completions.create(**{**wanted, "logprobs": 3, "echo": True}).choices[0]
    assert choice.text == "Once upon" + text
    values = choice.logprobs
    assert values.token_logprobs[0] is None and values.top_logprobs[0] is None
    for token, value, top in zip(values.tokens[1:], values.token_logprobs[1:],
                                 values.top_logprobs[1:]):
        assert top[token] == value and len(top) >= 3 and value <= max(top.values()) <= 0
    several = client.completions.create(model="checked", prompt=["a", "b"], n=3, max_tokens=4)
    assert [c.index for c in several.choices] == list(range(6))

    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    chat = client.chat.completions.create(model="checked", messages=messages, seed=3,
                                          max_completion_tokens=12, logprobs=True, top_logprobs=2)
    content = chat.choices[0].message.content
    assert chat.choices[0].message.role == "assistant"
    assert all(len(t.top_logprobs) == 2 for t in chat.choices[0].logprobs.content)
    parts = client.chat.completions.create(model="checked", messages=messages, seed=3,
                                           max_completion_tokens=12, stream=True)
    assert "".join(p.choices[0].delta.content or "" for p in parts) == content

    check_schemas(client, long_answer(url), messages)

    for error, changes in ((openai.NotFoundError, {"model": "other"}),
                           (openai.BadRequestError, {"max_tokens": 10**6}),
                           (openai.BadRequestError, {"extra_body": {"unknown": 1}})):
        try:
            client.completions.create(**{**wanted, **changes})
        except error as found:
            assert found.body["message"], found
        else:
            raise AssertionError(f"no {error.__name__} for {changes}")


def check_schemas(client, max_tokens, messages):
    """Answers that openai's library parses into objects of a class, drawn at random."""
    from typing import List, Literal, Optional

    import pydantic

    class Flag(pydantic.BaseModel):
        on: bool
        level: Optional[Literal["low", "high"]]

    class Answer(pydantic.BaseModel):
        colour: Literal["red", "green", "blue"]
        flags: List[Flag] = pydantic.Field(min_length=1, max_length=2)

    for seed in range(8):
        chat = client.chat.completions.parse(model="checked", messages=messages, seed=seed,
                                             max_completion_tokens=max_tokens, temperature=1.2,
                                             response_format=Answer)
        choice = chat.choices[0]
        assert choice.finish_reason == "stop", choice
        assert isinstance(choice.message.parsed, Answer), choice


def check_key(arguments, model, folder):
    import openai

    key_file = folder / "key"
    key_file.write_text("a-secret\n", encoding="utf-8")
    with running_server(arguments, model, "--api-key-file", key_file) as url:
        assert openai.OpenAI(base_url=url + "/v1", api_key="a-secret").models.list().data
        try:
            openai.OpenAI(base_url=url + "/v1", api_key="another").models.list()
        except openai.AuthenticationError:
            pass
        else:
            raise AssertionError("another key opens the server")


def context_length(url):
    with urllib.request.urlopen(url + "/v1/models") as answer:
        return json.load(answer)["data"][0]["max_model_len"]


def long_answer(url):
    """Returns a number of tokens that the model's context holds beside a prompt."""
    return min(1500, context_length(url) * 3 // 4)


def check_timeout(arguments, model):
    import openai

    with running_server(arguments, model, "--request-timeout", "0.001") as url:
        client = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
        try:
            # Hundreds of steps of many sequences, since a tiny model ends one within a millisecond.
            client.completions.create(model="checked", prompt=["a"] * 64,
                                      max_tokens=long_answer(url),
                                      extra_body={"ignore_eos": True})
        except openai.APIStatusError as error:
            assert error.status_code == 504, error
        else:
            raise AssertionError("the request did not end at its time-out")


def curl(*arguments):
    return subprocess.run(["curl", "--silent", "--show-error", "--max-time", "60", *arguments],
                          check=True, stdout=subprocess.PIPE, text=True).stdout


def check_curl(url):
    assert json.loads(curl(url + "/health")) == {"status": "ok"}
    body = json.dumps({"prompt": "Once", "max_tokens": 8, "stream": True})
    events = curl("--no-buffer", "--header", "Content-Type: application/json", "--data", body,
                  url + "/v1/completions")
    assert events.endswith("data: [DONE]\n\n"), events
    refused = json.loads(curl("--data", body, url + "/v1/completions"))
    assert "application/json" in refused["error"]["message"]
    assert "vllm:generation_tokens_total" in curl(url + "/metrics")


def check_tls(arguments, model, folder):
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with running_server(arguments, model, "--tls-cert", certificate, "--tls-key", key) as url:
        assert url.startswith("https://")
        url = url.replace("127.0.0.1", "localhost")
        trusted = ("--cacert", certificate)
        assert json.loads(curl(*trusted, url + "/health")) == {"status": "ok"}
        body = json.dumps({"prompt": "Once", "max_tokens": 8})
        answer = json.loads(curl(*trusted, "--json", body, url + "/v1/completions"))
        assert answer["object"] == "text_completion"


async def use_page(url, screenshots):
    import browser

    async with browser.open_page(url) as page:
        await page.wait_for("document.getElementById('model').textContent.includes('checked')")
        text = "document.getElementById('out').textContent"
        status = "document.getElementById('status').textContent"
        fields = {"prompt": "Once upon", "max_tokens": 24, "seed": 1}
        for name, value in fields.items():
            await page.evaluate(f"document.getElementById('{name}').value = {json.dumps(value)}")
        await page.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", modifiers=2)
        await page.wait_for(f"{status} === 'done'")
        generated = await page.evaluate(text)
        assert generated.startswith("Once upon") and len(generated) > 10, generated
        assert await page.evaluate("document.querySelectorAll('#out .block').length") > 1
        assert "%" in await page.evaluate("document.querySelector('#out .token').title")
        await page.screenshot(screenshots / "page.png")

        await page.evaluate("document.getElementById('max_tokens').value = 1500; "
                            "document.getElementById('go').click()")
        await page.wait_for("document.querySelectorAll('#out .block').length > 3")
        await page.call("Input.dispatchKeyEvent", type="keyDown", key="Escape")
        await page.wait_for(f"['stopped', 'done'].includes({status})")

        await page.call("Emulation.setDeviceMetricsOverride", width=390, height=844,
                        deviceScaleFactor=2, mobile=True)
        await page.call("Emulation.setEmulatedMedia",
                        features=[{"name": "prefers-color-scheme", "value": "dark"}])
        await page.evaluate("document.getElementById('mode').value = 'chat'; document."
                            "getElementById('mode').dispatchEvent(new Event('change'))")
        for turn in ("Hello", "And now?"):
            await page.evaluate(f"document.getElementById('prompt').value = {json.dumps(turn)}; "
                                "document.getElementById('max_tokens').value = 16; "
                                "document.getElementById('go').click()")
            await page.wait_for(f"{status} === 'done' && {text}.includes({json.dumps(turn)})")
        assert await page.evaluate("document.querySelectorAll('#out .who').length") == 4
        await page.screenshot(screenshots / "page-dark-phone.png")


def check_page(url, screenshots):
    if shutil.which("chromium") is None:
        print("page: chromium is not installed, not checked", flush=True)
        return
    asyncio.run(use_page(url, screenshots))


def check_harness(arguments, folder, model, url, tokenized):
    length = context_length(url)
    run = check_lm_eval.Run(
        "local-completions, " + ("ids" if tokenized else "texts"), model, "local-completions",
        {"model": "checked", "base_url": url + "/v1/completions", "tokenizer": str(model),
         "tokenizer_backend": "huggingface", "tokenized_requests": tokenized, "num_concurrent": 4,
         "batch_size": 8, "max_length": length}, check_lm_eval.ADAPTER_TOLERANCE)
    program = check_lm_eval.run_program(arguments, folder, model)
    harness = check_lm_eval.run_harness(arguments, folder, run)
    check_lm_eval.print_heading()
    differences = check_lm_eval.compare(run, harness, program)
    assert not differences, "\n".join(differences[:10])


def make_model(arguments, folder):
    """Returns a model directory that has what the clients need beside the model."""
    if arguments.model:
        model = folder / "model"
        model.mkdir()
        for file in arguments.model.resolve().iterdir():
            (model / file.name).symlink_to(file)
    else:
        _, model = check_lm_eval.make_models(arguments.program, folder)
        # Longer than all texts: the harness cuts the others elsewhere.
        config = model / "config.json"
        fields = json.loads(config.read_text(encoding="utf-8"))
        config.write_text(json.dumps({**fields, "max_length": 2048}), encoding="utf-8")
    template = model / "chat_template.jinja"
    tokenizer = model / "tokenizer_config.json"  # for the harness's own tokenizer
    settings = json.loads(tokenizer.read_text(encoding="utf-8")) if tokenizer.exists() else {}
    if not template.exists() and "chat_template" not in settings:
        template.write_text(CHAT_TEMPLATE, encoding="utf-8")
    if "tokenizer_class" not in settings:
        tokenizer.unlink(missing_ok=True)  # writing through a link would change the user's model
        tokenizer.write_text(json.dumps(
            {"eos_token": "<|endoftext|>", **settings, "tokenizer_class": "PreTrainedTokenizerFast",
             "clean_up_tokenization_spaces": False}), encoding="utf-8")
    return model


def run_checks(arguments, folder):
    """Returns the names of those that failed."""
    arguments.tasks = TASKS
    arguments.vanilla = arguments.block = arguments.library = None
    check_lm_eval.prepare_libraries(arguments, folder)
    check_lm_eval.prepare_data(arguments, folder)
    model = make_model(arguments, folder)
    failed = []

    def check(name, function, *values):
        try:
            function(*values)
            print(f"{name}: passed", flush=True)
        except Exception:
            traceback.print_exc()
            print(f"{name}: FAILED", flush=True)
            failed.append(name)

    with running_server(arguments, model) as url:
        check("openai", check_openai, url)
        check("curl", check_curl, url)
        check("page", check_page, url, arguments.screenshots or folder)
        check("lm_eval, texts", check_harness, arguments, folder, model, url, False)
        check("lm_eval, token ids", check_harness, arguments, folder, model, url, True)
    check("key", check_key, arguments, model, folder)
    check("time-out", check_timeout, arguments, model)
    check("TLS", check_tls, arguments, model, folder)
    return failed


def main():
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="check-server-") as folder:
        failed = run_checks(arguments, pathlib.Path(folder))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

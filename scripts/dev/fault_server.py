#!/usr/bin/env python3
"""Uses `blockformer serve` badly, on this machine, and checks that nobody else notices.

    scripts/dev/fault_server.py --program PATH --model DIR [--requests 1000] [--clients 32]
        [--seconds N] [--seed N] [--idle N] [--slow N] [server's flags...]

Of the requests a third hang up (before, in or after the answer's first bytes), a third are
malformed, and a third are checked: their texts have to be, byte for byte, those of the same
requests made alone before. With --seconds, rounds of so many requests follow each other for that
long, and the server's memory after each is printed. Beside them so many connections may be idle
(--idle), and so many clients ask for a long stream and read none of it (--slow). Then nothing may
be left running or waiting in /metrics. At last the server is killed amid requests, another takes
its port and gives the same texts, and SIGTERM has to end it. Needs Python alone. Exit code 1 if
anything is wrong.
"""

import argparse
import asyncio
import collections
import json
import os
import pathlib
import random
import re
import resource
import subprocess
import sys
import time

DISTINCT = 24  # requests that are checked
TIMEOUT = 120  # seconds of one request
# What a request that is malformed may be answered with; None: nothing, the connection is closed.
REFUSALS = {400, 403, 404, 405, 408, 411, 413, 414, 415, 417, 422, 431, 501, 505, None}


def parse_arguments():
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--program", required=True, type=os.path.abspath)
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--requests", type=int, default=1000, help="of a round")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--idle", type=int, default=0, help="connections")
    parser.add_argument("--slow", type=int, default=0, help="readers")
    return parser.parse_known_args()


class Server:
    def __init__(self, arguments, flags, port=0):
        command = [arguments.program, "serve", arguments.model, "--port", str(port), "--batch", "8",
                   "--max-queue", str(4 * arguments.clients), *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)$", line.strip()):
                self.port = int(found[1])
                return
        raise SystemExit("the server did not start")

    def memory_mb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1000

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def stop(self):
        self.process.terminate()
        self.process.communicate(timeout=60)
        return self.process.returncode


def http(path, body, headers=()):
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json",
             f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def completion(number, stream=False):
    """One of the requests that are checked."""
    generator = random.Random(number)
    words = ["the", "rain", "she", "did", "not", "say", "a", "house", "of", "and"]
    return {"prompt": " ".join(generator.choices(words, k=generator.randint(1, 40))),
            "max_tokens": generator.randint(1, 48), "temperature": generator.choice([0, 0.7, 1]),
            "top_p": generator.choice([1, 0.9]), "seed": number, "ignore_eos": True,
            "stream": stream}


async def connect(server):
    return await asyncio.open_connection("127.0.0.1", server.port)


async def exchange(server, request):
    """The status, None without one, and the body."""
    reader, writer = await connect(server)
    try:
        writer.write(request)
        await writer.drain()
        answer = await reader.read()
    except ConnectionError:
        answer = b""
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.[01] (\d+)", head)
    if b"transfer-encoding: chunked" in head.lower():
        body = unchunk(body)
    return (int(status[1]) if status else None), body


def unchunk(body):
    parts = []
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        parts.append(body[:length])
        body = body[length + 2:]
    return b"".join(parts)


def text_of(body, stream):
    if not stream:
        return json.loads(body)["choices"][0]["text"]
    texts = []
    for line in body.decode().splitlines():
        if line.startswith("data: ") and line != "data: [DONE]":
            texts += [choice["text"] for choice in json.loads(line[6:])["choices"]]
    return "".join(texts)


async def ask(server, number, stream):
    body = json.dumps(completion(number, stream)).encode()
    status, answer = await exchange(server, http("/v1/completions", body))
    return status, text_of(answer, stream) if status == 200 else answer


async def hang_up(server, generator):
    """Leaves while the request is written, or after some bytes of the answer."""
    body = json.dumps(dict(completion(generator.randrange(DISTINCT), True), max_tokens=200,
                           n=generator.randint(1, 3))).encode()
    request = http("/v1/completions", body)
    reader, writer = await connect(server)
    try:
        if generator.random() < 0.3:
            writer.write(request[:generator.randrange(len(request))])
            await writer.drain()
        else:
            writer.write(request)
            await writer.drain()
            await reader.read(generator.choice([1, 100, 1000]))
        if generator.random() < 0.5:
            writer.transport.abort()  # a reset
    except ConnectionError:
        pass
    finally:
        writer.close()


def malformed(generator):
    """A request that has to be refused."""
    good = completion(generator.randrange(DISTINCT))
    body = json.dumps(good).encode()
    kinds = [
        lambda: http("/v1/completions", body[:-1]),
        lambda: http("/v1/completions", body.replace(b"prompt", b"pr\xffmpt")),
        lambda: http("/v1/completions", json.dumps({**good, "unknown": 1}).encode()),
        lambda: http("/v1/completions", json.dumps({**good, "max_tokens": -1}).encode()),
        lambda: http("/v1/completions", json.dumps({**good, "temperature": "hot"}).encode()),
        lambda: http("/v1/completions", json.dumps({**good, "logit_bias": {"x": 1}}).encode()),
        lambda: http("/v1/completions", json.dumps({**good, "max_tokens": 10**9}).encode()),
        lambda: http("/v1/completions", b"[" * 5000 + b"]" * 5000),
        lambda: http("/v1/chat/completions", b'{"messages": [{"role": 3}]}'),
        lambda: http("/no/such/path", body),
        lambda: http("/v1/completions", body, ["Content-Length: 5"]),
        lambda: http("/v1/completions", body, ["Transfer-Encoding: nonsense"]),
        lambda: http("/v1/completions", body, ["X: " + "y" * 100_000]),
        lambda: b"POST /v1/completions HTTP/1.1\r\nHost: a b\r\n\r\n",
        lambda: b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
        lambda: b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
                b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        lambda: b"DELETE /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        lambda: generator.randbytes(200) + b"\r\n\r\n",
    ]
    return generator.choice(kinds)()


async def one_request(server, generator, alone, counts, problems):
    kind = generator.choice(["hangs up", "malformed", "checked"])
    counts[kind] += 1
    if kind == "hangs up":
        return await hang_up(server, generator)
    if kind == "malformed":
        request = malformed(generator)
        status, answer = await exchange(server, request)
        if status not in REFUSALS:
            problems.append(f"{request[:120]!r}... was answered with {status}: {answer[:200]!r}")
        return None
    number = generator.randrange(DISTINCT)
    status, text = await ask(server, number, generator.random() < 0.5)
    if status == 429:
        counts["told to come later"] += 1
    elif status != 200 or text != alone[number]:
        problems.append(f"request {number}: {status}, {text!r} and alone {alone[number]!r}")
    return None


async def run_round(server, arguments, seed, alone, problems):
    counts = collections.Counter()
    todo = iter(range(arguments.requests))

    async def client(number):
        generator = random.Random(f"{seed} {number}")
        for _ in todo:
            try:
                await asyncio.wait_for(one_request(server, generator, alone, counts, problems),
                                       TIMEOUT)
            except asyncio.TimeoutError:
                problems.append(f"no end after {TIMEOUT} s")

    await asyncio.gather(*(client(i) for i in range(arguments.clients)))
    return counts


async def metric(server, name):
    status, body = await exchange(
        server, b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    assert status == 200, status
    line = re.search(rf"^\w*:?{name}(?:{{[^}}]*}})? (\S+)$", body.decode(), re.MULTILINE)
    return float(line[1])


async def check_at_rest(server, problems):
    """What hung up last is noticed within a step, so this needs no long wait."""
    for _ in range(50):
        left = [await metric(server, f"num_requests_{state}") for state in ("running", "waiting")]
        if left == [0, 0]:
            return
        await asyncio.sleep(0.1)
    problems.append(f"{left[0]:.0f} requests are still running and {left[1]:.0f} waiting")


async def open_idle(server, count):
    """Connections that say nothing, all of which the server has to take."""
    before = server.memory_mb()
    connections = []
    for _ in range(count):
        connections.append(await connect(server))
    begin = time.monotonic()
    await metric(server, "num_requests_running")  # is behind them in the queue
    if count > 0:
        print(f"{count} idle connections: {(server.memory_mb() - before) * 1e3 / count:.1f} kB "
              f"each; a request takes {time.monotonic() - begin:.3f} s", flush=True)
    return connections


async def open_slow(server, count):
    """Clients that never read what they ask for."""
    writers = []
    for number in range(count):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1)
        writer.transport.pause_reading()
        body = dict(completion(number, True), max_tokens=400, n=2, logprobs=20)
        writer.write(http("/v1/completions", json.dumps(body).encode()))
        await writer.drain()
        writers.append(writer)
    return writers


async def check_after_kill(server, arguments, flags, alone, problems):
    """The server that takes the port, or none."""
    body = json.dumps(dict(completion(0, True), max_tokens=400)).encode()
    streams = []
    for _ in range(8):
        reader, writer = await connect(server)
        writer.write(http("/v1/completions", body))
        await reader.read(100)
        streams.append(writer)
    server.kill()
    for writer in streams:
        writer.close()
    again = Server(arguments, flags, server.port)
    for number, expected in enumerate(alone):
        status, text = await ask(again, number, False)
        if text != expected:
            problems.append(f"after a kill, request {number}: {status}, {text!r}, not {expected!r}")
    return again


async def use_badly(server, arguments):
    """The texts of the requests that are checked, and what is wrong."""
    problems = []
    alone = []
    for number in range(DISTINCT):
        status, text = await ask(server, number, False)
        if status != 200:
            return alone, [f"alone, request {number} was answered with {status}: {text!r}"]
        alone.append(text)
    idle = await open_idle(server, arguments.idle)
    end = time.monotonic() + arguments.seconds
    seed = arguments.seed
    while not problems:
        slow = await open_slow(server, arguments.slow)
        counts = await run_round(server, arguments, seed, alone, problems)
        for writer in slow:
            writer.transport.abort()
        await check_at_rest(server, problems)
        listing = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        print(f"{listing}; {server.memory_mb():.1f} MB", flush=True)
        seed += 1
        if time.monotonic() >= end:
            break
    for _, writer in idle:
        writer.close()
    return alone, problems


def main():
    arguments, flags = parse_arguments()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    server = Server(arguments, flags)
    try:
        alone, problems = asyncio.run(use_badly(server, arguments))
        server = asyncio.run(check_after_kill(server, arguments, flags, alone, problems))
    finally:
        code = server.stop()
    if code != 0:
        problems.append(f"the server ended with {code}")
    print("\n".join(problems[:20]) if problems else "nobody noticed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

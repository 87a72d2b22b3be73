#!/usr/bin/env python3
"""Measures `blockformer serve` on this machine against the engine itself.

    scripts/bench_server.py --program PATH --model DIR [--clients 1,16,64] [--requests N]
        [--max-tokens N] [--prompt-tokens N] [--dtype int8] [--idle N]
    scripts/bench_server.py --port N [--clients 1,16,64] ...

For each number of clients: the tokens a second of `blockformer generate` with as large a batch,
those through HTTP from so many clients that each ask for one stream after the other, and the time
to the first event (p50, p99) and between events. With --idle, the server's memory for that many
idle connections. With --port, the clients use a server that runs already, such as llama.cpp's
llama-server, and nothing else is measured. Needs Python alone. Prints Markdown.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import random
import re
import resource
import subprocess
import tempfile
import time


def parse_arguments():
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--program", type=os.path.abspath)
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--port", type=int, default=0, help="of a server that runs already")
    parser.add_argument("--clients", default="1,16,64")
    parser.add_argument("--requests", type=int, default=2, help="of each client")
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--prompt-tokens", type=int, default=32)
    parser.add_argument("--dtype", default="int8")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--idle", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.port == 0 and not (arguments.program and arguments.model):
        parser.error("--program and --model are wanted, or --port")
    if arguments.port and (arguments.program or arguments.model or arguments.idle):
        parser.error("--port goes without --program, --model and --idle")
    return arguments


@contextlib.contextmanager
def running_server(arguments, batch):
    """Yields the process and its port."""
    command = [arguments.program, "serve", arguments.model, "--port", "0", "--batch", str(batch),
               "--dtype", arguments.dtype, "--threads", str(arguments.threads),
               "--max-connections", "1000000"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)$", line.strip()):
                yield process, int(found[1])
                return
        raise RuntimeError("the server did not start")
    finally:
        process.terminate()
        process.communicate()


def make_prompts(count, words):
    generator = random.Random(1)
    names = [w for w in pathlib.Path(__file__).read_text(encoding="utf-8").split() if w.isalpha()]
    return [" ".join(generator.choice(names) for _ in range(words)) for _ in range(count)]


async def request(reader, writer, prompt, arguments, times):
    body = json.dumps({"prompt": prompt, "max_tokens": arguments.max_tokens, "stream": True,
                       "temperature": 1, "seed": 1, "ignore_eos": True}).encode()
    begin = time.perf_counter()
    writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                 b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await reader.readuntil(b"\r\n\r\n")
    last = None
    while True:
        size = int(await reader.readline(), 16)
        chunk = await reader.readexactly(size + 2)
        now = time.perf_counter()
        if size == 0:
            return
        if chunk.startswith(b"data: {"):
            times["first" if last is None else "next"].append(now - (last or begin))
            last = now


async def client(port, prompts, arguments, times):
    for prompt in prompts:
        # A connection each: llama-server ends it behind a stream.
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        await request(reader, writer, prompt, arguments, times)
        writer.close()


async def run_clients(port, clients, arguments, prompts):
    times = {"first": [], "next": []}
    begin = time.perf_counter()
    await asyncio.gather(*(client(port, prompts[i::clients], arguments, times)
                           for i in range(clients)))
    return len(prompts) * arguments.max_tokens / (time.perf_counter() - begin), times


def engine_rate(arguments, batch, prompts, folder):
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    output = subprocess.run(
        [arguments.program, "generate", "--model", arguments.model, "--input", path, "--output", "-",
         "--batch", str(batch), "--max-tokens", str(arguments.max_tokens), "--temperature", "1",
         "--seed", "1", "--ignore-eos", "--dtype", arguments.dtype, "--threads",
         str(arguments.threads)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True).stderr
    return float(re.search(r"([\d.]+) tokens/s", output)[1])


def percentile(values, share):
    ordered = sorted(values)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def resident_bytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return 1024 * int(re.search(r"VmRSS:\s+(\d+)", status)[1])


async def measure_idle(process, port, count):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    before = resident_bytes(process.pid)
    writers = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append((reader, writer))
        # Each has been used once.
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"}")
    after = resident_bytes(process.pid)
    begin = time.perf_counter()
    times = {"first": [], "next": []}
    arguments = argparse.Namespace(max_tokens=32)
    await client(port, ["hello"], arguments, times)
    print(f"\n{count} idle connections: {(after - before) / count:.0f} bytes each; a request "
          f"beside them took {time.perf_counter() - begin:.3f} s")
    for _, writer in writers:
        writer.close()


def latencies(times):
    first, following = times["first"], times["next"]
    return (f"{percentile(first, .5):.1f}, {percentile(first, .99):.1f} | "
            f"{percentile(following, .5):.1f}, {percentile(following, .99):.1f} |")


def best_round(rounds):
    """Returns the rate and the times of the fastest of run_clients' results."""
    return max(rounds, key=lambda result: result[0])


def measure_port(arguments):
    print("| clients | HTTP, tokens/s | first event p50, p99 ms | between events p50, p99 ms |\n"
          "|---|---|---|---|")
    for clients in map(int, arguments.clients.split(",")):
        prompts = make_prompts(clients * arguments.requests, arguments.prompt_tokens)
        asyncio.run(run_clients(arguments.port, clients, arguments, prompts[:clients]))  # warms up
        rounds = [asyncio.run(run_clients(arguments.port, clients, arguments, prompts))
                  for _ in range(arguments.rounds)]
        best, times = best_round(rounds)
        print(f"| {clients} | {best:.1f} | {latencies(times)}", flush=True)


def measure(arguments, folder):
    print("| clients | engine, tokens/s | HTTP, tokens/s | share | first event p50, p99 ms | "
          "between events p50, p99 ms |\n|---|---|---|---|---|---|")
    for clients in map(int, arguments.clients.split(",")):
        prompts = make_prompts(clients * arguments.requests, arguments.prompt_tokens)
        rounds, own = [], []
        with running_server(arguments, clients) as (_, port):
            asyncio.run(run_clients(port, clients, arguments, prompts[:clients]))  # warms up
            for _ in range(arguments.rounds):
                own.append(engine_rate(arguments, clients, prompts, folder))
                rounds.append(asyncio.run(run_clients(port, clients, arguments, prompts)))
        (best, times), best_own = best_round(rounds), max(own)
        print(f"| {clients} | {best_own:.1f} | {best:.1f} | {best / best_own:.3f} | "
              f"{latencies(times)}", flush=True)


def main():
    arguments = parse_arguments()
    if arguments.port:
        measure_port(arguments)
        return
    with tempfile.TemporaryDirectory(prefix="bench-server-") as folder:
        measure(arguments, pathlib.Path(folder))
    if arguments.idle:
        with running_server(arguments, 1) as (process, port):
            asyncio.run(measure_idle(process, port, arguments.idle))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Checks python/examples/ray_batch.py with two workers on this machine, of which one is killed.

The shards have to hold, line by line, what `blockformer generate` writes for the whole file, and a second
run has nothing to do but what is missing. Exits with 1 otherwise.

    scripts/dev/check_ray.sh        makes the environment, and runs this
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import check_python

EXAMPLE = check_python.PROJECT / "python/examples/ray_batch.py"
MARK = "CHECK_RAY_FOLDER"  # in the environment of all processes of this check, and of no others
NUM_PROMPTS = 1200
SHARD_LINES = 50
FLAGS = {"--temperature": 0.9, "--seed": 5, "--max-tokens": 60}


def start(model, folder):
    command = [sys.executable, EXAMPLE, "--model", model, "--input", folder / "prompts.jsonl",
               "--output", folder / "shards", "--shard-lines", SHARD_LINES, "--workers", 2,
               "--batch", 4]
    command += [word for flag in FLAGS.items() for word in flag]
    log = open(folder / "ray.log", "a", encoding="utf-8")
    environment = os.environ | {MARK: str(folder), "RAY_USAGE_STATS_ENABLED": "0"}
    return subprocess.Popen([str(word) for word in command], stdout=log, stderr=log,
                            env=environment)


def actors(folder):
    """Ids of this check's actors: processes of Ray that have loaded the library."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (f"{MARK}={folder}".encode() in (process / "environ").read_bytes() and
                    (process / "cmdline").read_bytes().startswith(b"ray::") and
                    "libblockformer.so" in (process / "maps").read_text()):
                found.append(int(process.name))
        except OSError:  # it has ended
            continue
    return found


def wait_for(condition, what, seconds=180):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {seconds} s"
        time.sleep(0.01)


def shards(folder):
    return sorted((folder / "shards").glob("shard-?????.jsonl"))


def check(program, folder):
    model = check_python.make_models(program, folder, width=128)[1]
    prompts = [{"prompt": prompt, "id": number}
               for number, prompt in enumerate(check_python.make_prompts(NUM_PROMPTS))]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in prompts))
    run = start(model, folder)
    wait_for(lambda: len(shards(folder)) >= 2 and len(actors(folder)) == 2, "shards of two actors")
    victim = actors(folder)[0]
    os.kill(victim, signal.SIGKILL)
    assert len(shards(folder)) < NUM_PROMPTS // SHARD_LINES, "too late: all is done"
    assert run.wait(300) == 0, (folder / "ray.log").read_text()[-3000:]
    print(f"actor {victim} was killed after {2} shards or more; {len(shards(folder))} are there")

    expected, _ = check_python.program_lines(
        program, ["generate", "--model", model], folder, prompts,
        *(word for flag in FLAGS.items() for word in flag))
    got = [json.loads(line) for path in shards(folder) for line in path.read_text().splitlines()]
    assert [line["id"] for line in got] == list(range(NUM_PROMPTS))
    assert [line["text"] for line in got] == [line["text"] for line in expected]

    before = {path: path.stat().st_mtime_ns for path in shards(folder)}
    shards(folder)[3].unlink()
    assert start(model, folder).wait(300) == 0
    after = {path: path.stat().st_mtime_ns for path in shards(folder)}
    assert after.keys() == before.keys()
    assert sum(before[path] != after[path] for path in before) == 1
    again = [json.loads(line) for path in shards(folder) for line in path.read_text().splitlines()]
    assert again == got
    print(f"{NUM_PROMPTS} lines equal those of one process; a second run made the missing shard alone")


def main():
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--program", required=True, type=os.path.abspath)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="check-ray-") as folder:
        check(arguments.program, pathlib.Path(folder))


if __name__ == "__main__":
    main()

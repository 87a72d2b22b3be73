"""Runs the program `blockformer` on files of JSON lines. Knows nothing of the harness."""

import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from blockformer_lm_eval.generation import generation_flags

ERROR_LINES = 10  # of the program's output, in the message of an error


class ProgramError(RuntimeError):
    """The program is missing, has failed, or has written what was not expected."""


def find_program(path=None):
    """Path of the program: `path`, else $BLOCKFORMER, else `blockformer` in PATH."""
    wanted = path or os.environ.get("BLOCKFORMER") or "blockformer"
    found = shutil.which(str(wanted))
    if found is None:
        raise ProgramError(f"{wanted}: there is no such program; put blockformer in PATH, or name "
                           "it by the environment variable BLOCKFORMER or by program=PATH")
    return found


def _run(command):
    """Runs it, showing its output as it comes on standard error."""
    lines = collections.deque(maxlen=ERROR_LINES)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, encoding="utf-8", errors="replace") as process:
        for line in process.stdout:
            sys.stderr.write(line)
            lines.append(line)
    if process.returncode != 0:
        raise ProgramError(f"`{' '.join(command[:2])}` failed with status {process.returncode}; "
                           f"its last lines:\n{''.join(lines).rstrip()}")


def _read_lines(path, count):
    with open(path, encoding="utf-8") as file:
        results = [json.loads(line) for line in file]
    if len(results) != count:
        raise ProgramError(f"{path}: has {len(results)} lines, one for each of {count} requests "
                           "is wanted")
    return results


class Program:
    """A model directory together with the program and the flags to run it with."""

    def __init__(self, model, program=None, dtype="auto", padding="auto", threads=0,
                 max_length=None):
        self._path = find_program(program)
        self._model = str(model)
        self._flags = [f"--dtype={dtype}", f"--threads={threads}"]
        if max_length is not None:
            self._flags.append(f"--max-length={max_length}")
        self._score_flags = [f"--padding={padding}"]

    def score(self, records):
        """The records, {"context", "continuation"} or {"text"}, with their log-likelihoods."""
        results = self._map_lines("score", [self._model, *self._score_flags], records)
        for record, result in zip(records, results):
            if not isinstance(result.get("log_likelihood"), float):
                raise ProgramError("blockformer score: \"log_likelihood\" is no number in the "
                                   f"result of {json.dumps(record)[:200]}: "
                                   f"{result.get('log_likelihood')!r}")
        return results

    def generate(self, prompts, settings):
        """The continuations of the prompts; settings as of generation.py."""
        results = self._map_lines("generate", [f"--model={self._model}", *generation_flags(settings)],
                                  [{"prompt": prompt} for prompt in prompts])
        return [result["text"] for result in results]

    def _map_lines(self, command, arguments, records):
        if not records:
            return []
        with tempfile.TemporaryDirectory(prefix="blockformer-") as folder:
            source = pathlib.Path(folder, "requests.jsonl")
            destination = pathlib.Path(folder, "results.jsonl")
            with source.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(record) + "\n" for record in records)
            _run([self._path, command, *arguments, *self._flags, f"--input={source}",
                  f"--output={destination}"])
            return _read_lines(destination, len(records))

"""Tests of python/blockformer_lm_eval, but for what imports the harness."""

import contextlib
import io
import json
import os
import pathlib
import tempfile
import unittest
from unittest import mock

from blockformer_lm_eval import generation, program

# Notes its arguments, then does with each line what the test says in BEHAVIOUR.
FAKE_PROGRAM = '''#!/usr/bin/env python3
import json, os, sys
flags = dict(word.split("=", 1) for word in sys.argv[1:] if word.startswith("--"))
json.dump(sys.argv[1:], open(os.environ["ARGUMENTS"], "w"))
behaviour = os.environ["BEHAVIOUR"]
if behaviour == "fail":
    print(*(f"line {i}" for i in range(20)), sep="\\n", file=sys.stderr)
    sys.exit(7)
lines = [json.loads(line) for line in open(flags["--input"])]
if behaviour == "lose": lines.pop()
for line in lines:
    line["text" if "prompt" in line else "log_likelihood"] = (
        line["prompt"].upper() if "prompt" in line else
        None if behaviour == "null" else -float(len(line.get("text", line.get("continuation")))))
    line["is_greedy"] = True
open(flags["--output"], "w").writelines(json.dumps(line) + "\\n" for line in lines)
'''


class ProgramTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.path = self.folder / "blockformer"
        self.path.write_text(FAKE_PROGRAM)
        self.path.chmod(0o755)
        environment = {"ARGUMENTS": str(self.folder / "arguments.json"), "BEHAVIOUR": "work"}
        patch = mock.patch.dict(os.environ, environment)
        patch.start()
        self.addCleanup(patch.stop)
        # The program's output is shown on standard error.
        self.shown = io.StringIO()
        redirection = contextlib.redirect_stderr(self.shown)
        redirection.__enter__()
        self.addCleanup(redirection.__exit__, None, None, None)

    def arguments(self):
        return json.loads((self.folder / "arguments.json").read_text())

    def failure(self, behaviour, records):
        os.environ["BEHAVIOUR"] = behaviour
        with self.assertRaises(program.ProgramError) as caught:
            program.Program("model", self.path).score(records)
        return str(caught.exception)

    def test_scores_records_in_order(self):
        records = [{"context": "a", "continuation": " b\n\u2028é"},
                   {"context": "", "continuation": "c"}, {"text": "whole"}]
        results = program.Program("model", self.path).score(records)
        self.assertEqual([-5.0, -1.0, -5.0], [result["log_likelihood"] for result in results])
        self.assertEqual([record | {"is_greedy": True} for record in records],
                         [{key: result[key] for key in result if key != "log_likelihood"}
                          for result in results])

    def test_passes_the_flags(self):
        program.Program("model", self.path, "bf16", "nopad", 3, 512).score([{"text": "a"}])
        arguments = self.arguments()
        self.assertEqual(["score", "model"], arguments[:2])
        self.assertLess({"--dtype=bf16", "--padding=nopad", "--threads=3", "--max-length=512"},
                        set(arguments))
        program.Program("model", self.path).score([{"text": "a"}])
        self.assertNotIn("--max-length", "".join(self.arguments()))

    def test_nothing_to_score_starts_no_program(self):
        self.assertEqual([], program.Program("model", self.path).score([]))
        self.assertFalse((self.folder / "arguments.json").exists())

    def test_generates(self):
        runner = program.Program("model", self.path, padding="pad")
        self.assertEqual(["A", "B"], runner.generate(["a", "b"], {"max_tokens": 3, "stop": ("\n",)}))
        arguments = self.arguments()
        self.assertEqual(["generate", "--model=model", "--max-tokens=3", "--stop=\n"], arguments[:4])
        self.assertNotIn("--padding=pad", arguments)  # generate does not have it

    def test_failure_shows_the_last_lines(self):
        message = self.failure("fail", [{"text": "a"}])
        self.assertIn("score` failed with status 7", message)
        self.assertIn("line 10\n", message)
        self.assertTrue(message.endswith("line 19"), message)
        self.assertNotIn("line 9\n", message)
        self.assertIn("line 0\n", self.shown.getvalue())

    def test_missing_results_are_an_error(self):
        self.assertIn("1 lines, one for each of 2", self.failure("lose", [{"text": "a"}] * 2))

    def test_a_result_without_number_is_an_error(self):
        message = self.failure("null", [{"text": "odd"}])
        self.assertIn('{"text": "odd"}: None', message)

    def test_finds_the_program(self):
        with mock.patch.dict(os.environ, PATH=f"{self.folder}:{os.environ['PATH']}"):
            self.assertEqual(str(self.path), program.find_program())
            other = self.folder / "other"
            other.symlink_to(self.path)
            with mock.patch.dict(os.environ, BLOCKFORMER=str(other)):
                self.assertEqual(str(other), program.find_program())
                self.assertEqual(str(self.path), program.find_program(self.path))
        with self.assertRaisesRegex(program.ProgramError, "no/such: there is no such program"):
            program.find_program("no/such")


def flags(arguments):
    return generation.generation_flags(generation.generation_settings(arguments))


class GenerationTest(unittest.TestCase):

    def test_greedy_flags(self):
        self.assertEqual(["--max-tokens=256"], flags({}))
        self.assertEqual(
            ["--max-tokens=32", "--stop=\n\n", "--stop=-x"],
            flags({"until": ["\n\n", "", "-x"], "max_gen_toks": 32, "do_sample": False,
                   "temperature": 0.7, "top_p": 0.9}))
        self.assertEqual(["--max-tokens=256", "--stop=."],
                         flags({"until": ".", "temperature": 0}))

    def test_sampling_flags(self):
        self.assertEqual(["--max-tokens=256", "--temperature=1.0", "--top-k=5"],
                         flags({"do_sample": True, "top_k": 5}))
        self.assertEqual(["--max-tokens=8", "--temperature=0.5"],
                         flags({"temperature": 0.5, "max_new_tokens": 8}))

    def test_refuses_what_the_program_lacks(self):
        with self.assertRaisesRegex(NotImplementedError, "num_beams"):
            flags({"num_beams": 4})

    def test_groups_equal_arguments(self):
        requests = [("a", {"until": "."}), ("b", {"until": "!"}), ("c", {"until": ["."]})]
        self.assertEqual([[0, 2], [1]],
                         [positions for _, positions in generation.group_by_settings(requests)])


if __name__ == "__main__":
    unittest.main()

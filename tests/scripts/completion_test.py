import pathlib
import subprocess
import tempfile
import unittest

COMPLETION = pathlib.Path(__file__).parents[2] / "scripts/completion.bash"

# Prints help in the form of CLI11.
PROGRAM = r"""#!/bin/bash
case "$*" in
  --help) printf '%s\n' 'Usage: blockformer [OPTIONS] SUBCOMMAND' 'Options:' \
    '  -h,--help                   Print this help' '  --version  Print the version' \
    'Subcommands:' '  tokenizer                   Trains and runs tokenizers' \
    '  train                       Trains' '                              a model' ;;
  "tokenizer --help") printf '%s\n' 'Options:' '  -h,--help  Print this help' 'Subcommands:' \
    '  encode     Text to ids' '  decode     Ids to text' ;;
  "train --help") printf '%s\n' 'Options:' '  --nproc INT  Processes' 'Or torchrun --no-python.' ;;
  "train --sweep FILE --help") printf '%s\n' 'Options:' '  --sweep FILE' '  --report-only' ;;
  "tokenizer encode --help") printf '%s\n' 'Options:' '  --tokenizer FILE REQUIRED' '  --text' ;;
  *) exit 1 ;;
esac
"""


class CompletionTest(unittest.TestCase):
    def complete(self, *words):
        """The completions of the last word."""
        with tempfile.TemporaryDirectory() as directory:
            program = pathlib.Path(directory, "blockformer")
            program.write_text(PROGRAM)
            program.chmod(0o755)
            script = (f'source {COMPLETION}; COMP_WORDS=({program} "$@"); COMP_CWORD=$#; '
                      '_blockformer; printf "%s\\n" "${COMPREPLY[@]}"')
            result = subprocess.run(["bash", "-c", script, "bash", *words], check=True,
                                    capture_output=True, text=True)
            return result.stdout.split()

    def test_commands(self):
        self.assertEqual(self.complete(""), ["tokenizer", "train"])
        self.assertEqual(self.complete("to"), ["tokenizer"])

    def test_commands_of_a_command(self):
        self.assertEqual(self.complete("tokenizer", ""), ["encode", "decode"])

    def test_flags(self):
        self.assertEqual(self.complete("--v"), ["--version"])
        self.assertEqual(self.complete("tokenizer", "encode", "--t"), ["--text", "--tokenizer"])

    def test_flags_of_a_sweep_are_others(self):
        self.assertEqual(self.complete("train", "-"), ["--nproc", "--sweep"])
        self.assertEqual(self.complete("train", "--sweep", "a.yaml", "-"),
                         ["--report-only", "--sweep"])

    def test_flags_after_values(self):
        self.assertEqual(self.complete("tokenizer", "encode", "--tokenizer", "a.json", "--te"),
                         ["--text"])

    def test_nothing_is_left_to_file_names(self):
        self.assertEqual(self.complete("tokenizer", "encode", "x"), [])


if __name__ == "__main__":
    unittest.main()

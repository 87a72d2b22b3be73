import pathlib
import subprocess
import tempfile
import unittest

STAGE = pathlib.Path(__file__).parents[2] / "scripts/stage.sh"
# Appends to the output, so that each run of the command shows.
COMMAND = "stage make 'out' 'in' sh -c 'echo run >> out; cat in >> out; [ ! -f fail ]'"


class StageTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = pathlib.Path(directory.name)
        self.write("in", "1\n")

    def write(self, name, text):
        (self.folder / name).write_text(text, encoding="utf-8")

    def run_stage(self, command=COMMAND):
        script = f"set -euo pipefail; stamps=.; source {STAGE}; {command}"
        return subprocess.run(["bash", "-c", script], cwd=self.folder, check=False,
                              capture_output=True, text=True).returncode

    def output(self):
        return (self.folder / "out").read_text(encoding="utf-8").split()

    def test_a_finished_stage_is_skipped(self):
        self.assertEqual([self.run_stage(), self.run_stage()], [0, 0])
        self.assertEqual(self.output(), ["run", "1"])

    def test_changed_inputs_begin_anew(self):
        self.run_stage()
        self.write("in", "2\n")
        self.run_stage()
        self.assertEqual(self.output(), ["run", "2"])

    def test_a_changed_command_begins_anew(self):
        self.run_stage()
        self.run_stage(COMMAND.replace("run", "again"))
        self.assertEqual(self.output(), ["again", "1"])

    def test_a_lost_output_is_made_again(self):
        self.run_stage()
        (self.folder / "out").unlink()
        self.run_stage()
        self.assertEqual(self.output(), ["run", "1"])

    def test_an_interrupted_stage_continues_what_it_had(self):
        self.write("fail", "")
        self.assertNotEqual(self.run_stage(), 0)
        (self.folder / "fail").unlink()
        self.assertEqual(self.run_stage(), 0)
        self.assertEqual(self.output(), ["run", "1", "run", "1"])

    def test_an_interrupted_stage_with_other_inputs_begins_anew(self):
        self.write("fail", "")
        self.run_stage()
        (self.folder / "fail").unlink()
        self.write("in", "2\n")
        self.run_stage()
        self.assertEqual(self.output(), ["run", "2"])

    def test_paths_may_hold_spaces(self):
        self.write("an in", "1\n")
        command = ("stage make \"$(paths 'an out' 'more out')\" \"$(paths 'an in' in)\" "
                   "sh -c 'cat \"an in\" in > \"an out\"; echo >> \"more out\"'")
        self.assertEqual([self.run_stage(command), self.run_stage(command)], [0, 0])
        self.assertEqual((self.folder / "more out").read_text(encoding="utf-8"), "\n")
        self.write("an in", "2\n")
        self.run_stage(command)
        self.assertEqual((self.folder / "an out").read_text(encoding="utf-8"), "2\n1\n")

    def test_where_an_argument_ends_matters(self):
        command = "stage make 'out' 'in' sh -c 'echo $# > out' sh {}"
        for arguments, count in (("'a b'", "1"), ("a b", "2")):
            self.run_stage(command.format(arguments))
            self.assertEqual(self.output(), [count])

    def test_a_missing_input_is_an_error(self):
        (self.folder / "in").unlink()
        self.assertNotEqual(self.run_stage(), 0)
        self.assertFalse((self.folder / "out").exists())


if __name__ == "__main__":
    unittest.main()

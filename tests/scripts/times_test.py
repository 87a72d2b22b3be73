import pathlib
import subprocess
import unittest

TIMES = pathlib.Path(__file__).parents[2] / "scripts/times.sh"


class TimesTest(unittest.TestCase):
    def run_stages(self, stages):
        script = f"set -euo pipefail; source {TIMES}; trap print_times EXIT; {stages}"
        result = subprocess.run(["bash", "-c", script], check=False, capture_output=True, text=True)
        lines = result.stdout.split("Time taken:\n")[1].splitlines()
        return result.returncode, [line.split(" s  ")[1] for line in lines]

    def test_stages_are_named_in_order(self):
        self.assertEqual(self.run_stages("timed 'the first' true; timed second echo x"),
                         (0, ["the first", "second", "all"]))

    def test_a_failure_ends_the_script_and_is_named(self):
        stages = "timed first true; timed second sh -c 'exit 3'; timed third true"
        self.assertEqual(self.run_stages(stages), (3, ["first", "second: failed", "all"]))

    def test_errors_within_a_function_end_it(self):
        self.assertEqual(self.run_stages("stage() { false; true; }; timed only stage"),
                         (1, ["only: failed", "all"]))


if __name__ == "__main__":
    unittest.main()

import pathlib
import subprocess
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts/gpu_carry.sh"


class GpuCarryTest(unittest.TestCase):
    def test_a_folder_of_others_is_left_alone(self):
        with tempfile.TemporaryDirectory() as directory:
            thesis = pathlib.Path(directory) / "thesis.txt"
            thesis.write_text("mine", encoding="utf-8")
            outcome = subprocess.run([SCRIPT, directory], check=False, capture_output=True, text=True)
            self.assertEqual(outcome.returncode, 2)
            self.assertIn(f"{directory}: was not made by this script", outcome.stderr)
            self.assertEqual(thesis.read_text(encoding="utf-8"), "mine")


if __name__ == "__main__":
    unittest.main()

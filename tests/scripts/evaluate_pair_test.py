import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).parents[2]
# Writes what each command would, and its arguments into a log.
PROGRAM = """#!/bin/bash
echo "$*" >>calls
case $1-$2 in
  eval-show-task) if [[ $3 == piqa ]]; then echo '    validation: piqa.jsonl'; fi; exit ;;
  train-*) folder=evaluation/$(basename "$2" .yaml); mkdir -p "$folder"
    echo "$*" >"$folder/model.safetensors"; exit ;;
esac
while [[ $# -gt 0 ]]; do
  case $1 in
    --output) touch "$2".{bin,idx} "$2/tokenizer.json" 2>/dev/null ;;
    --json) touch "$2" ;;
  esac
  shift
done
exit 0
"""


class EvaluatePairTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = pathlib.Path(directory.name)
        for name in ("scripts", "build", "my data"):
            (self.folder / name).mkdir()
        for name in ("evaluate_pair.sh", "stage.sh"):
            shutil.copy(ROOT / "scripts" / name, self.folder / "scripts")
        shutil.copytree(ROOT / "recipes/books", self.folder / "recipes/books")
        (self.folder / "build/blockformer").write_text(PROGRAM, encoding="utf-8")
        (self.folder / "build/blockformer").chmod(0o755)
        for name in ("train.txt", "validation.txt", "test.txt", "piqa.jsonl"):
            self.write(name, name)

    def write(self, name, text):
        (self.folder / "my data" / name).write_text(text, encoding="utf-8")

    # The commands that run, without those that compare or show.
    def commands(self, *settings):
        texts = [self.folder / "my data" / f"{name}.txt" for name in ("train", "validation", "test")]
        environment = os.environ | {"BUILD": "build", "EVAL_DATA": str(self.folder / "my data")}
        subprocess.run([self.folder / "scripts/evaluate_pair.sh", *texts, *settings], check=True,
                       capture_output=True, env=environment)
        calls = self.folder / "calls"
        lines = calls.read_text(encoding="utf-8").splitlines()
        calls.unlink()
        words = [line.split() for line in lines]
        return [" ".join(line[:2]) for line in words
                if line[:2] not in (["eval", "show-task"], ["eval", "compare"])]

    TRAIN = ["train recipes/books/block.yaml", "train recipes/books/vanilla.yaml"]
    TASKS = ["eval tasks", "eval tasks"]

    def test_what_is_done_is_skipped(self):
        self.assertEqual(len(self.commands()), 8)
        self.assertEqual(self.commands(), [])

    def test_other_settings_train_and_evaluate_again(self):
        self.commands("training.steps=5")
        self.assertEqual(self.commands("training.steps=6"),
                         [*self.TRAIN, *self.TASKS, "eval positions"])

    def test_other_data_of_a_task_is_evaluated_again(self):
        self.commands()
        self.write("piqa.jsonl", "others")
        self.assertEqual(self.commands(), self.TASKS)


if __name__ == "__main__":
    unittest.main()

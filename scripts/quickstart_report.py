#!/usr/bin/env python3
"""Prints what `make quickstart` found, from the files in its folder.

    scripts/quickstart_report.py FOLDER

Fails if fewer than 80 % of the words that the block model generated occur in the training text, or
if it did not generate faster than the vanilla model at the largest batch.
"""

import json
import math
import pathlib
import sys

MODELS = ["block", "vanilla"]
MIN_KNOWN_WORDS = 0.8


def read_json_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def bits_per_byte(loss, counts):
    """`loss` in nats a token; every document has one more token, its end of text."""
    tokens = counts["tokens"] + counts["documents"]
    return loss * tokens / (counts["text_bytes"] * math.log(2))


def known_words_share(text, training_words):
    words = text.split()
    return sum(word in training_words for word in words) / max(len(words), 1)


def tokens_per_second(results):
    """Total tokens/s as {batch: {kind: rate}}."""
    table = {}
    for result in results:
        table.setdefault(result["batch"], {})[result["kind"]] = result["total_tokens_per_s"]
    return dict(sorted(table.items()))


def print_losses(folder):
    counts = json.loads((folder / "data/validation.json").read_text())
    print("Loss on the held-out chapters, in nats a token and in bits a byte:\n")
    for model in MODELS:
        state = json.loads((folder / model / "latest/state.json").read_text())
        loss = state["validation_loss"]
        print(f"  {model:8} {loss:6.3f} {bits_per_byte(loss, counts):8.3f}")


def print_texts(folder):
    """Returns the share of the block model's words that the training text holds."""
    training_words = set()
    for document in read_json_lines(folder / "data/train.jsonl"):
        training_words.update(document["text"].split())
    shares = {}
    for model in MODELS:
        texts = [entry["text"] for entry in read_json_lines(folder / f"{model}.text.jsonl")]
        shares[model] = known_words_share(" ".join(texts), training_words)
        print(f"\nThe {model} model continues:\n\n  {' '.join(texts[0].split())}\n\n"
              f"  ({shares[model]:.0%} of the words of its {len(texts)} texts occur in the "
              "training text)")
    return shares["block"]


def print_race(folder):
    """Returns how many times faster the block model is at the largest batch."""
    results = json.loads((folder / "throughput.json").read_text())["results"]
    first = results[0]
    print(f"\nTokens/s over prompts of {first['prompt']} and {first['generate']} generated tokens, "
          "prompts included in the time:\n")
    print(f"  {'batch':>6} {'block':>10} {'vanilla':>10} {'ratio':>7}")
    for batch, rates in tokens_per_second(results).items():
        ratio = rates["block"] / rates["vanilla"]
        print(f"  {batch:6} {rates['block']:10.0f} {rates['vanilla']:10.0f} {ratio:7.2f}")
    return ratio


def main(folder):
    print_losses(folder)
    known_words = print_texts(folder)
    ratio = print_race(folder)
    problems = []
    if known_words < MIN_KNOWN_WORDS:
        problems.append(f"only {known_words:.0%} of the block model's words are known ones; at "
                        f"least {MIN_KNOWN_WORDS:.0%} were expected")
    if ratio <= 1:
        problems.append(f"the block model is only {ratio:.2f} times as fast at the largest batch")
    for problem in problems:
        print(f"quickstart: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(pathlib.Path(sys.argv[1])))

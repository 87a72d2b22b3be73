#!/usr/bin/env python3
"""Continues the prompts of a file on many machines, with Ray Data.

    pip install 'ray[data]'
    python ray_batch.py --model DIR --input prompts.jsonl --output FOLDER --workers 4

Each line of the input is an object with "prompt". Its lines are cut into shards; an actor, which loads
the model once, takes one shard after the other and writes FOLDER/shard-00000.jsonl and so on: the
objects with "text" and "finish_reason". A shard appears when all of it is done, so that the same
command goes on after an interruption with those that are missing. When an actor or its machine dies, Ray
gives its shard to another one. A text depends on the seed and the number of its line alone: the lines are
those that one process writes.

The input, the model and FOLDER lie on storage that all machines see. One actor has a machine to itself if
--cpus is the number of its processors.
"""

import argparse
import itertools
import json
import os
import pathlib

import ray

from blockformer import LLM, SamplingParams


def shard_path(output, number):
    return pathlib.Path(output) / f"shard-{number:05}.jsonl"


class Worker:
    """An actor: continues the prompts of shards."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.llm = LLM(arguments["model"], dtype=arguments["dtype"], threads=arguments["cpus"],
                       max_num_seqs=arguments["batch"])
        self.params = SamplingParams(temperature=arguments["temperature"], seed=arguments["seed"],
                                     max_tokens=arguments["max_tokens"], truncate_prompt=True)

    def __call__(self, batch):
        for number in batch["item"]:
            self.write_shard(int(number))
        return batch

    def write_shard(self, number):
        path = shard_path(self.arguments["output"], number)
        if path.exists():  # the actor before died between writing and telling so
            return
        first = number * self.arguments["shard_lines"]
        with open(self.arguments["input"], encoding="utf-8") as file:
            lines = itertools.islice(file, first, first + self.arguments["shard_lines"])
            records = [json.loads(line) for line in lines]
        outputs = self.llm.generate([record["prompt"] for record in records], self.params,
                                    use_tqdm=False, first_index=first)
        unfinished = path.with_name(f"{path.name}.{os.uname().nodename}.{os.getpid()}")
        with open(unfinished, "w", encoding="utf-8") as file:
            for record, output in zip(records, outputs):
                text = output.outputs[0]
                record.update(text=text.text, finish_reason=text.finish_reason)
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
        unfinished.rename(path)


def parse_arguments():
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--model", required=True)
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--cpus", type=int, default=1, help="of each worker")
    parser.add_argument("--shard-lines", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-tokens", type=int, default=128)
    arguments = parser.parse_args()
    # Workers have a directory of their own.
    for name in ("model", "input", "output"):
        setattr(arguments, name, os.path.abspath(getattr(arguments, name)))
    return arguments


def main():
    arguments = parse_arguments()
    pathlib.Path(arguments.output).mkdir(parents=True, exist_ok=True)
    with open(arguments.input, "rb") as file:
        lines = sum(1 for _ in file)
    shards = [number for number in range(-(-lines // arguments.shard_lines))
              if not shard_path(arguments.output, number).exists()]
    print(f"{lines} prompts; {len(shards)} shards are to be done")
    if not shards:
        return
    # As many blocks as shards, so that each is a task of its own.
    ray.data.from_items(shards, override_num_blocks=len(shards)).map_batches(
        Worker, fn_constructor_args=(vars(arguments),), batch_size=1, num_cpus=arguments.cpus,
        compute=ray.data.ActorPoolStrategy(size=arguments.workers)).materialize()
    print("done")


if __name__ == "__main__":
    main()

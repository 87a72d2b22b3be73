#!/usr/bin/env python3
"""Compares `blockformer eval` with EleutherAI's lm-evaluation-harness, request by request.

    scripts/dev/check_lm_eval.py --program PATH [--vanilla DIR] [--block DIR] [--data DIR] [--items N]

The harness runs its own definitions of the tasks, unchanged but for where their data lie: with its
own backend `hf`, which runs the vanilla model, and the block model as `convert --to hf` exports it,
by transformers and torch; and with the model "blockformer" of python/, on both models, by the
program and in the process. Without models, tiny ones with random weights are made; without data,
some invented records are used. Needs an environment of make_lm_eval_venv.sh, or of check_hf.sh for
the exported model, and no network. Prints a table, then all differences; exit code 1 if there are
any.
"""

import argparse
import collections
import contextlib
import io
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import lm_eval_data

PROJECT = pathlib.Path(__file__).resolve().parent.parent.parent
# Of log-likelihoods: nats, and a share of their size, of which the larger counts. The backend hf
# takes its softmax in f32, which with 49,152 logits makes sums too small by 6e-6 of their size; the
# adapter gives what the program gives, though from other batches.
Tolerance = collections.namedtuple("Tolerance", "nats share")
HF_TOLERANCE = Tolerance(1e-3, 1e-5)
ADAPTER_TOLERANCE = Tolerance(1e-6, 1e-6)
METRIC_TOLERANCE = 1e-4  # a share of perplexities
ITEMS_A_PAGE = 40  # a page of wikitext takes as long as many questions
VOCABULARY = 600  # of the tiny models

# requests: {(document, request): (log-likelihood[, is greedy])}; metrics: {name: value}
Scores = collections.namedtuple("Scores", "requests metrics")
# One run of the harness, and how far it may be from the program.
Run = collections.namedtuple("Run", "label model backend model_arguments tolerance")


def parse_arguments():
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--program", required=True, type=os.path.abspath)
    parser.add_argument("--library", type=pathlib.Path, help="libblockformer.so")
    parser.add_argument("--vanilla", type=pathlib.Path, help="a vanilla model's directory")
    parser.add_argument("--block", type=pathlib.Path, help="a block model's directory")
    parser.add_argument("--data", type=pathlib.Path,
                        help="folder with " + ", ".join(lm_eval_data.FILES.values()))
    parser.add_argument("--tasks", default=",".join(lm_eval_data.FILES))
    parser.add_argument("--items", type=int, default=200,
                        help=f"of each task; {ITEMS_A_PAGE} count as one page of wikitext")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    arguments.tasks = arguments.tasks.split(",")
    unknown = set(arguments.tasks) - set(lm_eval_data.FILES)
    if unknown:
        parser.error(f"--tasks: {', '.join(sorted(unknown))}: not known; there are "
                     f"{', '.join(lm_eval_data.FILES)}")
    return arguments


def prepare_data(arguments, folder):
    """Writes folder/program and folder/harness: the same records in two forms."""
    (folder / "program").mkdir()
    (folder / "harness").mkdir()
    for task in arguments.tasks:
        name = lm_eval_data.FILES[task]
        count = arguments.items
        if task == "wikitext":
            count = math.ceil(count / ITEMS_A_PAGE)
        if arguments.data:
            records = lm_eval_data.read_records(arguments.data / name, count)
        else:
            records = lm_eval_data.INVENTED[task][:count]
        lm_eval_data.write_records(folder / "program" / name, records)
        lm_eval_data.write_records(folder / "harness" / f"{task}.jsonl",
                                   [lm_eval_data.to_hub(task, record) for record in records])


def make_models(program, folder):
    """Tiny models with random weights: a vanilla one, and the block model made of it."""
    vanilla, block = folder / "vanilla", folder / "block"
    vanilla.mkdir()
    make_tiny_model = PROJECT / "tests/install/make_tiny_model.py"
    for command in (
            [program, "tokenizer", "train", "--vocab-size", str(VOCABULARY), "--output", vanilla,
             lm_eval_data.__file__],
            [sys.executable, "-B", make_tiny_model, vanilla, str(VOCABULARY)],
            [program, "convert", "--uptrain", "duplicate", "--block-length", "4", vanilla, block]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return vanilla, block


def to_scores(samples, metrics):
    """`samples`: pairs of a document's number and the results of its requests."""
    requests = {(document, number): tuple(result)
                for document, results in samples for number, result in enumerate(results)}
    return Scores(requests, metrics)


def results_of(sample):
    """Of each request of a sample the log-likelihood and, but for whole texts, whether it is greedy."""
    return [tuple(result) if isinstance(result, (tuple, list)) else (result,)
            for result in sample["filtered_resps"]]


def run_program(arguments, folder, model):
    """{task: Scores} of `blockformer eval`."""
    output = folder / f"{model.name}.json"
    subprocess.run([arguments.program, "eval", "tasks", model, "--tasks", ",".join(arguments.tasks),
                    "--data", folder / "program", "--threads", str(arguments.threads), "--json",
                    output], check=True, stdout=subprocess.DEVNULL)
    report = json.loads(output.read_text(encoding="utf-8"))
    output.unlink()  # another model's folder may have the same name
    return {task: to_scores([(sample["doc_id"], results_of(sample))
                             for sample in report["samples"][task]], report["results"][task])
            for task in arguments.tasks}


def run_harness(arguments, folder, run):
    """{task: Scores} of the harness."""
    # Late, since it takes seconds, and reads the environment; from 0.4.12 on, the backends register
    # themselves only when they are imported.
    import lm_eval.models  # noqa: F401

    tasks = []
    for task in arguments.tasks:
        # The task knows which split it evaluates.
        path = str(folder / "harness" / f"{task}.jsonl")
        files = dict.fromkeys(("train", "validation", "test"), path)
        tasks.append({"task": task, "dataset_path": "json", "dataset_name": None,
                      "dataset_kwargs": {"data_files": files}})
    start = time.monotonic()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        # A perplexity's error, found by resampling at random, is not compared: few samples do.
        report = lm_eval.simple_evaluate(model=run.backend, model_args=run.model_arguments,
                                         tasks=tasks, bootstrap_iters=2, verbosity="ERROR")
    print(f"harness with {run.label}: {time.monotonic() - start:.0f} s", file=sys.stderr)

    return {task: to_scores([(sample["doc_id"], results_of(sample))
                             for sample in report["samples"][task]], report["results"][task])
            for task in arguments.tasks}


def can_run_exports():
    import torch

    if hasattr(torch.nn.functional, "scaled_dot_product_attention"):
        return True
    print(f"hf, block: left out, since exported block models need torch 2 and this is "
          f"{torch.__version__}; scripts/dev/check_hf.sh has it", file=sys.stderr)
    return False


def export_for_transformers(program, model, folder):
    """With the code that runs a block model."""
    export = folder / "export"
    subprocess.run([program, "convert", "--to", "hf", model, export], check=True,
                   stdout=subprocess.DEVNULL)
    return export


def plan_runs(arguments, folder):
    runs = []
    values = {"dtype": "float32", "device": "cpu", "batch_size": 8}
    if arguments.vanilla:
        runs.append(Run("hf, vanilla", arguments.vanilla, "hf",
                        values | {"pretrained": str(arguments.vanilla)}, HF_TOLERANCE))
    if arguments.block and can_run_exports():
        export = export_for_transformers(arguments.program, arguments.block, folder)
        runs.append(Run("hf, block", arguments.block, "hf",
                        values | {"pretrained": str(export), "trust_remote_code": True},
                        HF_TOLERANCE))
    for kind, model in (("vanilla", arguments.vanilla), ("block", arguments.block)):
        if not model:
            continue
        values = {"pretrained": str(model), "threads": arguments.threads}
        runs.append(Run(f"program, {kind}", model, "blockformer",
                        values | {"program": str(arguments.program)}, ADAPTER_TOLERANCE))
        if arguments.library:
            runs.append(Run(f"library, {kind}", model, "blockformer", values, ADAPTER_TOLERANCE))
    return runs


def request_differences(expected, got, tolerance):
    if expected.keys() != got.keys():
        return [f"{len(expected)} requests in the harness, {len(got)} in blockformer eval, or of "
                "other documents"]
    lines = []
    for (document, number), wanted in expected.items():
        found = got[document, number]
        limit = max(tolerance.nats, tolerance.share * abs(wanted[0]))
        if not abs(wanted[0] - found[0]) <= limit or wanted[1:] != found[1:]:
            lines.append(f"document {document}, request {number}: {list(wanted)} in the harness, "
                         f"{list(found)} in blockformer eval")
    return lines


def compared_metrics(metrics):
    """Numbers, without the errors that are found by resampling at random."""
    return {name: value for name, value in metrics.items()
            if isinstance(value, float) and (name.startswith("acc") or "_stderr" not in name)}


def metric_differences(expected, got):
    lines = []
    for name, wanted in compared_metrics(expected).items():
        found = got.get(name)
        tolerance = 1e-9 if name.startswith("acc") else METRIC_TOLERANCE * abs(wanted)
        if not isinstance(found, (int, float)) or not abs(wanted - found) <= tolerance:
            lines.append(f"{name}: {wanted} in the harness, {found} in blockformer eval")
    return lines


def largest_difference(expected, got):
    return max((abs(wanted[0] - got[key][0]) for key, wanted in expected.items() if key in got),
               default=math.nan)


def print_heading():
    print(f"\n{'harness with':20} {'task':14} {'requests':>8} {'largest':>9} {'differences':>11}  "
          "the harness's metrics", flush=True)


def compare(run, harness, program):
    """Prints a row a task; returns the differences."""
    differences = []
    for task, expected in harness.items():
        got = program[task]
        lines = request_differences(expected.requests, got.requests, run.tolerance)
        lines += metric_differences(expected.metrics, got.metrics)
        differences += [f"{run.label}, {task}, {line}" for line in lines]
        metrics = ", ".join(f"{name.split(',')[0]} {value:.4f}"
                            for name, value in compared_metrics(expected.metrics).items()
                            if "_stderr" not in name)
        print(f"{run.label:20} {task:14} {len(expected.requests):8} "
              f"{largest_difference(expected.requests, got.requests):9.1e} {len(lines):11}  "
              f"{metrics}", flush=True)
    return differences


def prepare_libraries(arguments, folder):
    """No network, and no files outside `folder`."""
    os.environ.update(HF_HOME=str(folder / "hub"), HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1",
                      TOKENIZERS_PARALLELISM="false")
    sys.path.insert(0, str(PROJECT / "python"))
    os.environ.pop("BLOCKFORMER", None)
    if arguments.library:
        os.environ["BLOCKFORMER_LIBRARY"] = str(arguments.library)
    import blockformer_lm_eval.model  # noqa: F401  registers the model
    import torch

    torch.set_num_threads(arguments.threads)


def check(arguments, folder):
    """Returns the differences."""
    prepare_libraries(arguments, folder)
    prepare_data(arguments, folder)
    if not (arguments.vanilla or arguments.block):
        arguments.vanilla, arguments.block = make_models(arguments.program, folder)
    of_program, of_harness = {}, []
    for run in plan_runs(arguments, folder):
        if run.model not in of_program:
            of_program[run.model] = run_program(arguments, folder, run.model)
        of_harness.append((run, run_harness(arguments, folder, run)))
    print_heading()
    return [line for run, scores in of_harness
            for line in compare(run, scores, of_program[run.model])]


def main():
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="check-lm-eval-") as folder:
        try:
            differences = check(arguments, pathlib.Path(folder))
        except subprocess.CalledProcessError as error:
            sys.exit(f"check_lm_eval.py: {error}")
    if differences:
        print(f"\n{len(differences)} differences:", *differences, sep="\n")
        sys.exit(1)
    print("\nNo differences.")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Compares models that `blockformer convert --to hf` exports, run by transformers, with the program
and with golden files.

    scripts/dev/check_hf.py --program PATH [--golden DIR] [--golden-hf DIR] [--only NAME]

A tiny model that the program makes is always checked: greedy texts and log-likelihoods against
`blockformer generate` and `score`, in batches with padding on the left, with and without a cache,
beams, sampling, gradients, bf16. Golden models are checked where their folders are: logits within
1e-4, loss, greedy ids, and what save_pretrained writes. In the other direction, models of every family
that transformers makes, with every field away from its default, are read by the program:
log-likelihoods and greedy texts. Needs no network. Prints a line a check; exit code 1 if one fails.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

# Transformers copies a model's code to a folder of its own, which it asks for when it is imported.
HUB = tempfile.TemporaryDirectory(prefix="check-hf-hub-")
os.environ.update(HF_HOME=HUB.name, HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

PROJECT = pathlib.Path(__file__).resolve().parent.parent.parent
LOGIT_TOLERANCE = 1e-4
LOSS_TOLERANCE = 1e-5
SCORE_TOLERANCE = 1e-4  # nats of a text
VOCABULARY = 600  # of the tiny models
PROMPTS = ["Call me Ishmael.", "It was the best of times, it was the worst of times,", "A", "two words",
           "In the beginning the Universe was created.", "one two three four five six seven"]


class Checks:
    """Counts and prints."""

    def __init__(self, only):
        self.only = only
        self.failed = 0
        self.count = 0

    def wants(self, name):
        return self.only is None or self.only in name

    def that(self, what, passed, detail=""):
        self.count += 1
        self.failed += not passed
        print(f"{'ok    ' if passed else 'FAILED'} {what} {detail}", flush=True)

    def close(self, what, got, wanted, tolerance):
        difference = (got - wanted).abs().max().item() if wanted.numel() else 0.0
        self.that(what, difference <= tolerance, f"{difference:.1e}")

    def equal(self, what, got, wanted):
        self.that(what, got == wanted, "" if got == wanted else f"{got} for {wanted}")


def parse_arguments():
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--program", required=True, type=os.path.abspath)
    shared = PROJECT.parent / "shared"
    parser.add_argument("--golden", type=pathlib.Path, default=shared / "golden")
    parser.add_argument("--golden-hf", type=pathlib.Path, default=shared / "golden-hf")
    parser.add_argument("--only", help="only models whose names hold this")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def run(*command):
    result = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"check_hf.py: {' '.join(map(str, command))}: {result.stderr.strip()}")
    return result.stdout


def convert(program, *arguments):
    """The report."""
    return json.loads(run(program, "convert", "--json", "--check", "never", *arguments))


def load(directory, **kwargs):
    model, loading = AutoModelForCausalLM.from_pretrained(
        directory, trust_remote_code=True, output_loading_info=True, **kwargs)
    problems = [name for name in ("missing_keys", "unexpected_keys", "mismatched_keys")
                if loading[name]]
    if problems:
        sys.exit(f"check_hf.py: {directory}: {problems}: {loading}")
    return model.eval()


# ---- Golden models -------------------------------------------------------------------------------


def published(golden, folder):
    """A published checkpoint of a golden file's weights."""
    folder.mkdir()
    save_file({name[2:]: golden.get_tensor(name).clone() for name in golden.keys()
               if name.startswith("w.")}, folder / "model.safetensors")
    (folder / "trainer.yaml").write_text(golden.metadata()["config"], encoding="utf-8")
    return folder


def check_logits(checks, model, golden, name, case):
    """Teacher forcing over blocks that begin at column 0."""
    names = set(golden.keys())
    prefix = f"io.{case}."
    if prefix + "input_ids" not in names:
        return
    ids = golden.get_tensor(prefix + "input_ids")
    length = ids.shape[2]
    mask = torch.ones_like(ids)
    if prefix + "attention_mask" in names:
        mask = golden.get_tensor(prefix + "attention_mask")
    blocks = mask.bool().any(dim=2)
    has_flash = prefix + "logits_flash" in names
    wanted = golden.get_tensor(prefix + ("logits_flash" if has_flash else "logits"))
    inputs = {"input_ids": ids.flatten(1), "attention_mask": mask.flatten(1), "block_offset": 0}
    with torch.no_grad():
        logits = model(**inputs).logits
        cached = model(**inputs, use_cache=True).logits
    got = logits[:, length - 1:-1].view(wanted.shape)
    # Padding and blocks of it are not predicted; nor is, without flash attention, what follows one.
    kept = (mask[:, 1:].bool() | (ids[:, 1:] != 0)) & blocks[:, 1:, None]
    if not has_flash:
        kept &= blocks[:, :-1, None]
    checks.close(f"{name}: logits of {case}", got[kept], wanted[kept], LOGIT_TOLERANCE)
    checks.close(f"{name}: the same with a cache", cached, logits, LOGIT_TOLERANCE)
    if case == "full":
        with torch.no_grad():
            loss = model(**inputs, labels=inputs["input_ids"]).loss
        checks.close(f"{name}: loss", loss, golden.get_tensor("io.full.loss").view(()),
                     LOSS_TOLERANCE)


def check_generation(checks, model, golden, name):
    names = set(golden.keys())
    for case in "abcdf":
        prefix = f"io.gen_{case}."
        if prefix + "prompt" not in names:
            continue
        consistent = prefix + "output_consistent"
        wanted = golden.get_tensor(consistent if consistent in names else prefix + "output")
        prompt = golden.get_tensor(prefix + "prompt")
        mask = torch.ones_like(prompt)
        if prefix + "attention_mask" in names:
            mask = golden.get_tensor(prefix + "attention_mask")
        for use_cache in (True, False):
            got = model.generate(prompt, attention_mask=mask, do_sample=False, use_cache=use_cache,
                                 max_new_tokens=wanted.shape[1] - prompt.shape[1],
                                 eos_token_id=None)
            checks.equal(f"{name}: greedy ids, {case}, {'cache' if use_cache else 'no cache'}",
                         got.tolist(), wanted.tolist())


def check_saved(checks, program, model, exported, folder, name):
    """save_pretrained writes what transformers, and the program, take for the same model."""
    saved = folder / "saved"
    model.save_pretrained(saved)
    again = load(saved)
    ids = torch.arange(1, 30)[None] % model.config.vocab_size
    with torch.no_grad():
        checks.equal(f"{name}: saved and loaded", again(ids).logits.tolist(),
                     model(ids).logits.tolist())
    checksums = [convert(program, source, folder / f"engine-{source.name}")["checksum"]
                 for source in (exported, saved)]
    checks.equal(f"{name}: the program reads what was saved", *checksums)
    configs = [json.loads((folder / f"engine-{source.name}" / "config.json").read_text())
               for source in (exported, saved)]
    checks.equal(f"{name}: and its configuration", *configs)


def check_golden(checks, program, golden, source, folder, name):
    exported = folder / "exported"
    convert(program, "--to", "hf", source, exported)
    model = load(exported)
    for case in ("full", "pad", "train"):
        check_logits(checks, model, golden, name, case)
    check_generation(checks, model, golden, name)
    check_saved(checks, program, model, exported, folder, name)


def check_goldens(checks, arguments, folder):
    if not arguments.golden.is_dir():
        print(f"skipped: {arguments.golden} is not there")
    for path in sorted(arguments.golden.glob("block_*.safetensors")):
        if checks.wants(path.stem):
            place = folder / path.stem
            place.mkdir()
            golden = safe_open(path, "pt")
            check_golden(checks, arguments.program, golden, published(golden, place / "published"),
                         place, path.stem)
    if not arguments.golden_hf.is_dir():
        print(f"skipped: {arguments.golden_hf} is not there")
    for path in sorted(arguments.golden_hf.glob("block_*")):
        if checks.wants(path.name):
            place = folder / f"hf-{path.name}"
            place.mkdir()
            golden = safe_open(path / "expected.safetensors", "pt")
            check_golden(checks, arguments.program, golden, path, place, path.name)


# ---- A tiny model with a tokenizer ---------------------------------------------------------------


def make_models(program, folder):
    """Directories of a vanilla model and of block models with and without random padding."""
    vanilla, block, unpadded = folder / "vanilla", folder / "block", folder / "unpadded"
    vanilla.mkdir()
    text = PROJECT / "README.md"
    run(program, "tokenizer", "train", "--vocab-size", VOCABULARY - 8, "--output", vanilla, text)
    run(sys.executable, "-B", PROJECT / "tests/install/make_tiny_model.py", vanilla, VOCABULARY)
    convert(program, "--uptrain", "duplicate", "--block-length", 4, vanilla, block)
    convert(program, "--no-padding", block, unpadded)
    return vanilla, block, unpadded


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def program_texts(program, model, folder):
    write_lines(folder / "prompts.jsonl", [{"prompt": prompt} for prompt in PROMPTS])
    run(program, "generate", "--model", model, "--input", folder / "prompts.jsonl", "--output",
        folder / "texts.jsonl", "--force", "--max-tokens", 13, "--ignore-eos")
    return [record["text"] for record in read_lines(folder / "texts.jsonl")]


def program_scores(program, model, folder):
    write_lines(folder / "texts.jsonl", [{"text": prompt} for prompt in PROMPTS])
    run(program, "score", model, "--input", folder / "texts.jsonl", "--output",
        folder / "scores.jsonl", "--force")
    return [record["log_likelihood"] for record in read_lines(folder / "scores.jsonl")]


def generate(model, tokenizer, prompts, **kwargs):
    inputs = tokenizer(prompts, return_tensors="pt", padding=True)
    inputs.pop("token_type_ids", None)
    output = model.generate(**inputs, max_new_tokens=13, eos_token_id=None, **kwargs)
    return output[:, inputs["input_ids"].shape[1]:]


def check_texts(checks, program, model, tokenizer, exported, folder, name):
    wanted = program_texts(program, exported, folder)
    for use_cache in (True, False):
        got = tokenizer.batch_decode(generate(model, tokenizer, PROMPTS, do_sample=False,
                                              use_cache=use_cache))
        checks.equal(f"{name}: greedy texts of a batch, {'cache' if use_cache else 'no cache'}",
                     got, wanted)
    alone = [tokenizer.batch_decode(generate(model, tokenizer, [prompt], do_sample=False))[0]
             for prompt in PROMPTS]
    checks.equal(f"{name}: greedy texts one by one", alone, wanted)


def log_likelihood(logits, ids, skipped):
    """Of ids [t] but the first `skipped`, by logits of the columns before them."""
    rows = torch.log_softmax(logits[skipped - 1:-1].double(), dim=-1)
    return rows.gather(1, ids[skipped:, None]).sum().item()


def check_scores(checks, program, model, tokenizer, exported, folder, name):
    """The program's `score` begins a text behind an end of text, which is not scored."""
    config = model.config
    skipped = 1 if config.padding["random_first_block"] else config.block_length
    wanted = torch.tensor(program_scores(program, exported, folder), dtype=torch.float64)
    checks.that(f"{name}: log-likelihoods are below 0", wanted.sum().item() < -10)
    rows = [torch.tensor([config.eos_token_id] + tokenizer(prompt)["input_ids"])
            for prompt in PROMPTS]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    with torch.no_grad():
        alone = [model(row[None]).logits[0] for row in rows]
        batch = model(padded).logits
    checks.close(f"{name}: log-likelihoods one by one", torch.tensor(
        [log_likelihood(logits, row, skipped) for logits, row in zip(alone, rows)],
        dtype=torch.float64), wanted, SCORE_TOLERANCE)
    checks.close(f"{name}: log-likelihoods padded on the right", torch.tensor(
        [log_likelihood(logits[:len(row)], row, skipped) for logits, row in zip(batch, rows)],
        dtype=torch.float64), wanted, SCORE_TOLERANCE)
    # With a mask, a row's logits do not depend on what stands to its left.
    longest = max(len(row) for row in rows)
    left = torch.stack([torch.nn.functional.pad(row, (longest - len(row), 0), value=7)
                        for row in rows])
    mask = torch.stack([torch.nn.functional.pad(torch.ones_like(row), (longest - len(row), 0))
                        for row in rows])
    with torch.no_grad():
        shifted = model(left, attention_mask=mask).logits
        wanted = [model(row[None], attention_mask=torch.ones_like(row)[None]).logits[0]
                  for row in rows]
    checks.close(f"{name}: logits padded on the left", torch.cat(
        [logits[-len(row):] for logits, row in zip(shifted, rows)]), torch.cat(wanted),
        LOGIT_TOLERANCE)


def check_cache(checks, model, name):
    """Any division of a text into calls gives the same logits."""
    ids = torch.randint(1, VOCABULARY - 8, (2, 23), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, :3] = 0
    for offset in (0, 3):
        with torch.no_grad():
            wanted = model(ids, attention_mask=mask, block_offset=offset).logits
            for parts in ([23], [9, 14], [1] * 23, [2, 3, 1, 12, 5]):
                cache, got, end = None, [], 0
                for part in parts:
                    begin, end = end, end + part
                    output = model(ids[:, begin:end], attention_mask=mask[:, :end], use_cache=True,
                                   block_offset=offset, past_key_values=cache)
                    cache = output["past_key_values"]
                    got.append(output.logits)
                checks.close(f"{name}: cache in {len(parts)} parts, offset {offset}",
                             torch.cat(got, dim=1), wanted, LOGIT_TOLERANCE)
            kept = model(ids, attention_mask=mask, block_offset=offset, logits_to_keep=6).logits
        checks.close(f"{name}: the last logits alone, offset {offset}", kept, wanted[:, -6:],
                     LOGIT_TOLERANCE)


def check_strategies(checks, model, tokenizer, name):
    beams = [generate(model, tokenizer, PROMPTS, do_sample=False, num_beams=3,
                      use_cache=use_cache).tolist() for use_cache in (True, False)]
    checks.equal(f"{name}: beams, cache and no cache", *beams)
    greedy = generate(model, tokenizer, PROMPTS, do_sample=False).tolist()
    likeliest = generate(model, tokenizer, PROMPTS, do_sample=True, top_k=1).tolist()
    checks.equal(f"{name}: sampling among one", likeliest, greedy)
    torch.manual_seed(1)
    samples = generate(model, tokenizer, PROMPTS, do_sample=True, top_k=0, temperature=2.0,
                       num_return_sequences=20)
    checks.that(f"{name}: samples differ", len({tuple(row) for row in samples.tolist()}) > 100)
    checks.that(f"{name}: no sample is an id that the tokenizer lacks",
                samples.max().item() < len(tokenizer))


def check_sample_shares(checks, model, name):
    """Shares of the first sampled id against the probabilities: 5 standard deviations."""
    prompt = torch.tensor([[5, 6, 7, 8, 9]])
    count = 4000
    with torch.no_grad():
        logits = model(prompt, attention_mask=torch.ones_like(prompt), block_offset=3).logits[0, -1]
    logits[VOCABULARY - 8:] = -torch.inf
    shares = torch.softmax(logits, dim=-1)
    torch.manual_seed(2)
    ids = model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=True, top_k=0,
                         max_new_tokens=1, num_return_sequences=count, eos_token_id=None)[:, -1]
    seen = torch.bincount(ids, minlength=VOCABULARY) / count
    deviation = (shares * (1 - shares) / count).sqrt() + 1 / count
    checks.that(f"{name}: shares of samples", bool(((seen - shares).abs() <= 5 * deviation).all()))


def check_tensors(checks, model, exported, name):
    ids = torch.randint(1, VOCABULARY - 8, (2, 17), generator=torch.Generator().manual_seed(3))
    model(ids, labels=ids).loss.backward()
    without = [parameter for parameter, value in model.named_parameters()
               if value.grad is None or not value.grad.isfinite().all()]
    model.zero_grad()
    checks.equal(f"{name}: gradients", without, [])
    half = load(exported, dtype=torch.bfloat16)
    with torch.no_grad():
        difference = (half(ids).logits.float() - model(ids).logits).abs().max().item()
    checks.that(f"{name}: bf16", half.dtype == torch.bfloat16 and difference < 0.5,
                f"{difference:.1e}")


def check_tiny(checks, program, folder):
    vanilla, block, unpadded = make_models(program, folder)
    for source in (block, unpadded):
        exported = folder / f"{source.name}-hf"
        convert(program, "--to", "hf", source, exported)
        model = load(exported)
        tokenizer = AutoTokenizer.from_pretrained(exported, trust_remote_code=True)
        name = f"tiny {source.name}"
        check_texts(checks, program, model, tokenizer, exported, folder, name)
        check_scores(checks, program, model, tokenizer, exported, folder, name)
        check_cache(checks, model, name)
        check_strategies(checks, model, tokenizer, name)
        check_sample_shares(checks, model, name)
        check_tensors(checks, model, exported, name)
    exported = folder / "vanilla-hf"
    convert(program, "--to", "hf", vanilla, exported)
    model, tokenizer = (kind.from_pretrained(exported)  # no code of its own
                        for kind in (AutoModelForCausalLM, AutoTokenizer))
    check_texts(checks, program, model, tokenizer, exported, folder, "tiny vanilla")


# ---- Models that transformers makes, read by the program -----------------------------------------


def rope(kind, **fields):
    return {"rope_type": kind, "rope_theta": 10000.0, **fields}


def foreign_configs():
    """Configurations by name: every field that a family has, away from its default at least once."""
    common = {"vocab_size": VOCABULARY, "num_hidden_layers": 2, "max_position_embeddings": 256,
              "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
    heads = {"hidden_size": 48, "num_attention_heads": 6, "intermediate_size": 100}
    make = transformers
    yarn = {"factor": 4.0, "original_max_position_embeddings": 64}
    return {
        "llama": make.LlamaConfig(**common, **heads, num_key_value_heads=2),
        "llama biased, tied": make.LlamaConfig(**common, **heads, attention_bias=True, mlp_bias=True,
                                               tie_word_embeddings=True, rms_norm_eps=1e-3),
        "llama wide heads": make.LlamaConfig(**common, **heads, head_dim=22, num_key_value_heads=1),
        "llama linear": make.LlamaConfig(**common, **heads, rope_parameters=rope("linear", factor=3.0)),
        "llama llama3": make.LlamaConfig(**common, **heads, rope_parameters=rope(
            "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=32)),
        "llama yarn": make.LlamaConfig(**common, **heads, rope_parameters=rope("yarn", **yarn)),
        "llama yarn betas": make.LlamaConfig(**common, **heads, head_dim=32, rope_parameters=rope(
            "yarn", **yarn, beta_fast=16.0, beta_slow=2.0, attention_factor=1.3)),
        "llama yarn mscale": make.LlamaConfig(**common, **heads, rope_parameters=rope(
            "yarn", **yarn, mscale=0.7, mscale_all_dim=0.4, truncate=False)),
        "mistral": make.MistralConfig(**common, **heads, num_key_value_heads=3, head_dim=16,
                                      sliding_window=None),
        "mistral whole window": make.MistralConfig(**common, **heads, num_key_value_heads=2,
                                                   sliding_window=256),
        "qwen2": make.Qwen2Config(**common, **heads, num_key_value_heads=2),
        "qwen2 tied": make.Qwen2Config(**common, **heads, num_key_value_heads=6,
                                       tie_word_embeddings=True),
        "qwen3": make.Qwen3Config(**common, **heads, num_key_value_heads=2, head_dim=20),
        "qwen3 biased": make.Qwen3Config(**common, **heads, num_key_value_heads=3, head_dim=8,
                                         attention_bias=True, tie_word_embeddings=True),
        "gpt_neox": make.GPTNeoXConfig(**common, **heads),
        "gpt_neox in sequence": make.GPTNeoXConfig(
            **common, **heads, use_parallel_residual=False, layer_norm_eps=1e-3,
            rope_parameters=rope("default", partial_rotary_factor=1.0)),
        "gpt_neox half rotary": make.GPTNeoXConfig(
            **common, **heads, rope_parameters={"rope_type": "default", "rope_theta": 777.0,
                                                "partial_rotary_factor": 0.5}),
    }


def randomize(model, seed):
    """Initial weights are too small, and norms and biases too plain, to show mistakes."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        is_table = parameter.dim() == 2
        parameter.data = noise * 0.15 if is_table else 1 + noise * 0.3
    return model


def program_continuations(program, model, folder, dtype):
    lines = [{"context": prompt, "continuation": " and so on, as it was in the beginning"}
             for prompt in PROMPTS]
    write_lines(folder / "continuations.jsonl", lines)
    run(program, "score", model, "--input", folder / "continuations.jsonl", "--output",
        folder / "scored.jsonl", "--dtype", dtype, "--force")
    return lines, [record["log_likelihood"] for record in read_lines(folder / "scored.jsonl")]


def check_import(checks, program, tokenizer_folder, folder, name, config, dtype):
    torch.manual_seed(1)
    model = randomize(AutoModelForCausalLM.from_config(config), len(name)).to(dtype)
    place = folder / name.replace(" ", "-").replace(",", "")
    model.save_pretrained(place, max_shard_size="40KB" if "yarn" in name else "1GB")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        if (tokenizer_folder / file).exists():
            (place / file).write_bytes((tokenizer_folder / file).read_bytes())
    model = load(place, dtype=torch.float32)  # its rotary frequencies were rounded, too
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(place / "tokenizer.json"))
    lines, got = program_continuations(program, place, folder, "f32")
    wanted = []
    for line in lines:
        ids = torch.tensor(tokenizer(line["context"] + line["continuation"])["input_ids"])
        with torch.no_grad():
            logits = model(ids[None]).logits[0]
        wanted.append(log_likelihood(logits, ids, len(tokenizer(line["context"])["input_ids"])))
    checks.close(f"import {name}: log-likelihoods", torch.tensor(got), torch.tensor(wanted),
                 SCORE_TOLERANCE)
    texts = program_texts(program, place, folder)
    for prompt, text in zip(PROMPTS, texts):
        ids = torch.tensor([tokenizer(prompt)["input_ids"]])
        output = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False,
                                max_new_tokens=13, eos_token_id=None, pad_token_id=0,
                                suppress_tokens=list(range(len(tokenizer), VOCABULARY)))
        checks.equal(f"import {name}: greedy text", text, tokenizer.decode(output[0, ids.shape[1]:]))


def check_imports(checks, program, folder):
    tokenizer_folder = folder / "tokenizer"
    run(program, "tokenizer", "train", "--vocab-size", VOCABULARY - 8, "--output", tokenizer_folder,
        PROJECT / "README.md")
    for number, (name, config) in enumerate(foreign_configs().items()):
        if checks.wants(name):
            dtype = (torch.float32, torch.bfloat16, torch.float16)[number % 3]
            check_import(checks, program, tokenizer_folder, folder, name, config, dtype)


def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    checks = Checks(arguments.only)
    with tempfile.TemporaryDirectory(prefix="check-hf-") as folder:
        folder = pathlib.Path(folder)
        if checks.wants("tiny"):
            check_tiny(checks, arguments.program, folder)
        check_imports(checks, arguments.program, folder)
        check_goldens(checks, arguments, folder)
    print(f"\n{checks.count} checks, {checks.failed} failed")
    sys.exit(1 if checks.failed else 0)


if __name__ == "__main__":
    main()

"""The model "blockformer" of the harness; importing this module registers it."""

import os

from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from blockformer_lm_eval.generation import group_by_settings
from blockformer_lm_eval.program import Program


def open_runner(program, model, dtype, padding, threads, max_length):
    """The program, if it is named by `program` or $BLOCKFORMER; otherwise the model in this process."""
    if program or os.environ.get("BLOCKFORMER"):
        return Program(model, program, dtype, padding, threads, max_length)
    try:
        from blockformer_lm_eval.library import Library
    except ImportError:  # the package stands alone, without the wheel's library
        return Program(model, program, dtype, padding, threads, max_length)
    return Library(model, dtype, padding, threads, max_length)


@register_model("blockformer")
class BlockformerLM(LM):
    """Model arguments: see README.md.

    The harness adds batch sizes and a device of its own; the engine forms its batches itself, and
    runs on the processor.
    """

    def __init__(self, pretrained, program=None, dtype="auto", padding="auto", threads=0,
                 max_length=None, batch_size=None, max_batch_size=None, device=None):
        super().__init__()
        del batch_size, max_batch_size
        if device not in (None, "cpu"):
            raise ValueError(f"device={device}: blockformer runs on the cpu alone")
        self._runner = open_runner(program, pretrained, dtype, padding, threads, max_length)

    def loglikelihood(self, requests, disable_tqdm=False):
        records = [{"context": context, "continuation": continuation}
                   for context, continuation in (request.args for request in requests)]
        return [(result["log_likelihood"], result["is_greedy"])
                for result in self._runner.score(records)]

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        records = [{"text": request.args[0]} for request in requests]
        return [result["log_likelihood"] for result in self._runner.score(records)]

    def generate_until(self, requests, disable_tqdm=False):
        arguments = [request.args for request in requests]
        texts = [None] * len(arguments)
        for settings, positions in group_by_settings(arguments):
            prompts = [arguments[position][0] for position in positions]
            for position, text in zip(positions, self._runner.generate(prompts, settings)):
                texts[position] = text
        return texts

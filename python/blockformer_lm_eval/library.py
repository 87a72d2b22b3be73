"""Runs a model in this process, by the package blockformer. Knows nothing of the harness."""

from blockformer import LLM, BlockformerError, SamplingParams


class Library:
    """A model directory that is loaded; in the place of program.Program."""

    def __init__(self, model, dtype="auto", padding="auto", threads=0, max_length=None):
        self._llm = LLM(model, dtype=dtype, score_padding=padding, threads=threads,
                        max_model_len=max_length)

    def score(self, records):
        """The records, {"context", "continuation"} or {"text"}, with their log-likelihoods."""
        inputs = [record["text"] if "text" in record
                  else (record["context"], record["continuation"]) for record in records]
        results = []
        for record, score in zip(records, self._llm.score(inputs)):
            if score.log_likelihood != score.log_likelihood:
                raise BlockformerError(f"the log-likelihood of {record!r:.200} is no number")
            results.append(record | {"log_likelihood": score.log_likelihood,
                                     "is_greedy": score.is_greedy})
        return results

    def generate(self, prompts, settings):
        """The continuations of the prompts; settings as of generation.py."""
        params = SamplingParams(**{"temperature": 0.0, "seed": 0} | settings)
        outputs = [result.outputs[0] for result in self._llm.generate(prompts, params)]
        for prompt, output in zip(prompts, outputs):
            if output.error is not None:
                raise BlockformerError(f"the continuation of {prompt!r:.200}: {output.error}")
        return [output.text for output in outputs]

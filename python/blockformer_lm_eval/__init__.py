"""Blockformer models in EleutherAI's lm-evaluation-harness.

`blockformer_lm_eval.model` registers the model "blockformer"; `python -m blockformer_lm_eval` does
so and runs the harness's command line. `blockformer_lm_eval.program` runs the program, without the
harness.
"""

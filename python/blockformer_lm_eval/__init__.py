"""Blockformer models in EleutherAI's lm-evaluation-harness.

`blockformer_lm_eval.model` registers the model "blockformer"; `python -m blockformer_lm_eval` does
so and runs the harness's command line. Models run in the process (`library`), or by the program
(`program`).
"""

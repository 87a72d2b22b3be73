"""The harness's own command line, with the model "blockformer" among its models."""

import sys

from lm_eval.__main__ import cli_evaluate

import blockformer_lm_eval.model  # noqa: F401  registers the model
from blockformer_lm_eval.program import ProgramError


def library_errors():
    try:
        from blockformer import BlockformerError
    except ImportError:
        return ()
    return (BlockformerError,)


def main():
    try:
        cli_evaluate()
    except (ProgramError, *library_errors()) as error:
        sys.exit(f"blockformer_lm_eval: {error}")


if __name__ == "__main__":
    main()

"""Translates the harness's arguments of generation into flags of `blockformer generate`."""

DEFAULT_MAX_TOKENS = 256
LENGTH_NAMES = ("max_gen_toks", "max_new_tokens", "max_tokens")
SAMPLING_FLAGS = {"temperature": "--temperature", "top_k": "--top-k", "top_p": "--top-p",
                  "min_p": "--min-p", "repetition_penalty": "--repetition-penalty"}


def generation_flags(arguments):
    """Raises NotImplementedError for what the program does not have."""
    rest = dict(arguments)
    stops = rest.pop("until", None) or []
    lengths = [rest.pop(name) for name in LENGTH_NAMES if name in rest]
    flags = [f"--max-tokens={lengths[0] if lengths else DEFAULT_MAX_TOKENS}"]
    flags += [f"--stop={stop}" for stop in ([stops] if isinstance(stops, str) else stops) if stop]
    sampling = {name: rest.pop(name) for name in SAMPLING_FLAGS if name in rest}
    # Sampling is asked for by do_sample, or by a temperature alone.
    if rest.pop("do_sample", sampling.get("temperature", 0) > 0):
        sampling.setdefault("temperature", 1.0)
    else:
        sampling = {name: value for name, value in sampling.items() if name == "repetition_penalty"}
    if rest:
        raise NotImplementedError(f"{', '.join(sorted(rest))}: blockformer generate has no such "
                                  "argument")
    return flags + [f"{SAMPLING_FLAGS[name]}={value}" for name, value in sampling.items()]


def group_by_flags(requests):
    """{flags: positions} of the requests (prompt, arguments), in order of their occurrence."""
    groups = {}
    for position, (_, arguments) in enumerate(requests):
        groups.setdefault(tuple(generation_flags(arguments)), []).append(position)
    return groups

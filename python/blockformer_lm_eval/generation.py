"""Translates the harness's arguments of generation into settings of the engine."""

DEFAULT_MAX_TOKENS = 256
LENGTH_NAMES = ("max_gen_toks", "max_new_tokens", "max_tokens")
SAMPLING_NAMES = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")


def generation_settings(arguments):
    """{"max_tokens", "stop", ...}, named as in blockformer.SamplingParams; what is not there is as in
    greedy generation. Raises NotImplementedError for what the engine does not have."""
    rest = dict(arguments)
    stops = rest.pop("until", None) or []
    lengths = [rest.pop(name) for name in LENGTH_NAMES if name in rest]
    settings = {"max_tokens": lengths[0] if lengths else DEFAULT_MAX_TOKENS,
                "stop": tuple(stop for stop in ([stops] if isinstance(stops, str) else stops) if stop)}
    sampling = {name: rest.pop(name) for name in SAMPLING_NAMES if name in rest}
    # Sampling is asked for by do_sample, or by a temperature alone.
    if rest.pop("do_sample", sampling.get("temperature", 0) > 0):
        sampling.setdefault("temperature", 1.0)
    else:
        sampling = {name: value for name, value in sampling.items() if name == "repetition_penalty"}
    if rest:
        raise NotImplementedError(f"{', '.join(sorted(rest))}: blockformer has no such argument of "
                                  "generation")
    return settings | sampling


def generation_flags(settings):
    """The settings as flags of `blockformer generate`."""
    flags = [f"--max-tokens={settings['max_tokens']}"]
    flags += [f"--stop={stop}" for stop in settings["stop"]]
    return flags + [f"--{name.replace('_', '-')}={settings[name]}" for name in SAMPLING_NAMES
                    if name in settings]


def group_by_settings(requests):
    """[(settings, positions)] of the requests (prompt, arguments), in order of their occurrence."""
    groups = {}
    for position, (_, arguments) in enumerate(requests):
        settings = generation_settings(arguments)
        groups.setdefault(tuple(settings.items()), (settings, []))[1].append(position)
    return list(groups.values())

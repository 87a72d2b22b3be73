#!/usr/bin/env python3
"""Writes a tiny vanilla model with random weights: make_tiny_model.py DIRECTORY VOCABULARY_SIZE"""

import json
import pathlib
import random
import struct
import sys

WIDTH = 16


def shapes(vocab_size):
    layer = "gpt_neox.layers.0."
    linears = {"attention.query_key_value": 3 * WIDTH, "attention.dense": WIDTH,
               "mlp.dense_h_to_4h": WIDTH, "mlp.dense_4h_to_h": WIDTH}
    norms = [layer + "input_layernorm", layer + "post_attention_layernorm",
             "gpt_neox.final_layer_norm"]
    result = {"gpt_neox.embed_in.weight": [vocab_size, WIDTH],
              "embed_out.weight": [vocab_size, WIDTH]}
    for name, outputs in linears.items():
        result[f"{layer}{name}.weight"] = [outputs, WIDTH]
        result[f"{layer}{name}.bias"] = [outputs]
    for name in norms:
        result[f"{name}.weight"] = [WIDTH]
        result[f"{name}.bias"] = [WIDTH]
    return result


def write_safetensors(path, tensor_shapes):
    header, data = {"__metadata__": {"format": "pt"}}, bytearray()  # transformers wants it
    generator = random.Random(1)
    for name, shape in tensor_shapes.items():
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        begin = len(data)
        data += struct.pack(f"<{count}f", *(generator.gauss(0, 0.5) for _ in range(count)))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(data)]}
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)


def main(directory, vocab_size):
    config = {"architectures": ["GPTNeoXForCausalLM"], "model_type": "gpt_neox",
              "vocab_size": vocab_size, "hidden_size": WIDTH, "num_hidden_layers": 1,
              "num_attention_heads": 2, "intermediate_size": WIDTH, "hidden_act": "gelu",
              "max_position_embeddings": 128, "rotary_pct": 0.25, "rotary_emb_base": 10000,
              "layer_norm_eps": 1e-5, "use_parallel_residual": True,
              "tie_word_embeddings": False, "bos_token_id": 0, "eos_token_id": 0}
    folder = pathlib.Path(directory)
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "model.safetensors", shapes(vocab_size))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

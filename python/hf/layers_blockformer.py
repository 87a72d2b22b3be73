"""Stacks of decoder layers as GPT-NeoX, Llama, Mistral, Qwen2 and Qwen3 have them.

Shapes in comments: n blocks or sequences, t positions, h heads, d numbers a head.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Stack:
    """What a stack of decoder layers is, read from its part of config.json."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    inner: int
    family: str  # whose names the parameters have: a key of NAMES
    norm: str  # "layer" or "rms"
    norm_eps: float
    mlp: str  # "gelu" or "swiglu"
    parallel_residual: bool
    qkv_bias: bool
    out_bias: bool
    mlp_bias: bool
    qk_norm: bool
    rotary_size: int  # dimensions of a head that are rotated, from the first on
    rotary_base: float
    rotary_scaling: dict  # as Hugging Face's rope_scaling; empty: none

    @classmethod
    def read(cls, fields):
        width = fields["hidden_size"]
        heads = fields["num_attention_heads"]
        architecture = fields.get("architecture", "gpt_neox")
        common = {
            "width": width,
            "layers": fields["num_hidden_layers"],
            "heads": heads,
            "inner": fields["intermediate_size"],
        }
        if architecture == "gpt_neox":
            return cls(
                **common,
                kv_heads=heads,
                head_size=width // heads,
                family="gpt_neox",
                norm="layer",
                norm_eps=fields.get("layer_norm_eps", 1e-5),
                mlp="gelu",
                parallel_residual=fields.get("use_parallel_residual", True),
                qkv_bias=True,
                out_bias=True,
                mlp_bias=True,
                qk_norm=False,
                rotary_size=int(width // heads * fields.get("rotary_pct", 0.25)),
                rotary_base=fields.get("rope_theta", fields.get("rotary_emb_base", 10000)),
                rotary_scaling={},
            )
        if architecture not in ("llama", "mistral", "qwen2", "qwen3"):
            raise ValueError(
                f'config.json: architecture "{architecture}" is not supported; '
                "gpt_neox, llama, mistral, qwen2 and qwen3 are"
            )
        head_size = fields.get("head_dim") or width // heads
        rope = fields.get("rope_parameters") or fields.get("rope_scaling") or {}
        attention_bias = fields.get("attention_bias", False)
        return cls(
            **common,
            kv_heads=fields.get("num_key_value_heads") or heads,
            head_size=head_size,
            family="llama",
            norm="rms",
            norm_eps=fields.get("rms_norm_eps", 1e-6),
            mlp="swiglu",
            parallel_residual=False,
            qkv_bias=architecture == "qwen2" or attention_bias,
            out_bias=architecture != "qwen2" and attention_bias,
            mlp_bias=fields.get("mlp_bias", False),
            qk_norm=architecture == "qwen3",
            rotary_size=head_size,
            rotary_base=rope.get("rope_theta", fields.get("rope_theta", 10000.0)),
            rotary_scaling=rope,
        )


# Names of a family's parameters, where they differ.
NAMES = {
    "gpt_neox": {
        "stack": "gpt_neox",
        "table": "embed_in",
        "attention": "attention",
        "final_norm": "final_layer_norm",
        "head": "embed_out",
    },
    "llama": {
        "stack": "model",
        "table": "embed_tokens",
        "attention": "self_attn",
        "final_norm": "norm",
        "head": "lm_head",
    },
}


class BlockformerRMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * wide.to(x.dtype)


def make_norm(stack):
    if stack.norm == "layer":
        return nn.LayerNorm(stack.width, eps=stack.norm_eps)
    return BlockformerRMSNorm(stack.width, stack.norm_eps)


def rotary_frequencies(stack, device):
    """Radians a position of each pair of rotated dimensions, [rotary_size / 2], and what cosines
    and sines are multiplied by."""
    size, base, scaling = stack.rotary_size, stack.rotary_base, stack.rotary_scaling
    pairs = torch.arange(0, size, 2, dtype=torch.float32, device=device)
    frequencies = 1.0 / base ** (pairs / size)
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return frequencies, 1.0
    factor = scaling["factor"]
    if kind == "linear":
        return frequencies / factor, 1.0
    context = scaling["original_max_position_embeddings"]
    if kind == "llama3":
        # Llama 3.1: pairs that turn seldom in the original context are slowed, others in part.
        turns = context * frequencies / (2 * math.pi)
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        kept = ((turns - low) / (high - low)).clamp(0, 1)
        return kept * frequencies + (1 - kept) * frequencies / factor, 1.0
    if kind != "yarn":
        raise ValueError(
            f'config.json: rope_type "{kind}" is not supported; default, linear, llama3, yarn are'
        )
    # YaRN (arXiv 2309.00071): the same by bounds on the pair's number.
    bounds = [
        size * math.log(context / (turns * 2 * math.pi)) / (2 * math.log(base))
        for turns in (scaling.get("beta_fast", 32), scaling.get("beta_slow", 1))
    ]
    if scaling.get("truncate", True):
        bounds = [math.floor(bounds[0]), math.ceil(bounds[1])]
    first, last = max(bounds[0], 0), min(bounds[1], size - 1)
    if first == last:
        last += 0.001
    slowed = ((pairs / 2 - first) / (last - first)).clamp(0, 1)
    magnitude = scaling.get("attention_factor", 0.1 * math.log(factor) + 1)
    return frequencies / factor * slowed + frequencies * (1 - slowed), magnitude


def rotary_tables(stack, positions):
    """Cosines and sines [t, rotary_size] for positions [t]."""
    frequencies, magnitude = rotary_frequencies(stack, positions.device)
    angles = positions.float()[:, None] * frequencies
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos() * magnitude, angles.sin() * magnitude


def rotate(x, tables):
    """Rotates dimension i of [n, h, t, d] with dimension i + rotary_size / 2."""
    cos, sin = tables
    size = cos.shape[-1]
    if size == 0:
        return x
    turned, rest = x[..., :size].float(), x[..., size:]
    first, second = turned.chunk(2, dim=-1)
    turned = turned * cos + torch.cat([-second, first], dim=-1) * sin
    return torch.cat([turned.to(x.dtype), rest], dim=-1)


class KeyValues:
    """Keys and values [n, h, t, d] of the positions that each layer of a stack has seen."""

    def __init__(self):
        self.layers = {}

    @property
    def length(self):
        return self.layers[0][0].shape[2] if self.layers else 0

    def append(self, layer, keys, values):
        """Adds positions; returns all."""
        if layer in self.layers:
            old_keys, old_values = self.layers[layer]
            keys = torch.cat([old_keys, keys], dim=2)
            values = torch.cat([old_values, values], dim=2)
        self.layers[layer] = (keys, values)
        return keys, values

    def reorder(self, index):
        self.layers = {
            layer: (keys[index.to(keys.device)], values[index.to(keys.device)])
            for layer, (keys, values) in self.layers.items()
        }


class Attention(nn.Module):
    """Causal attention. Subclasses say how heads are made of x, and what makes one of heads."""

    def forward(self, x, layer, tables, mask, cache, visible):
        """mask: bool [n or 1, 1, t, keys]. visible: None, or bool [n, t]; the rows that are not
        visible get zeros in place of their heads' outputs."""
        n, t, _ = x.shape
        queries, keys, values = self.split(x)
        queries, keys = rotate(queries, tables), rotate(keys, tables)
        if cache is not None:
            keys, values = cache.append(layer, keys, values)
        groups = queries.shape[1] // keys.shape[1]
        if groups > 1:
            keys = keys.repeat_interleave(groups, dim=1)
            values = values.repeat_interleave(groups, dim=1)
        out = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        if visible is not None:
            out = out * visible[:, None, :, None].to(out.dtype)
        return self.join(out.transpose(1, 2).reshape(n, t, -1))


class NeoxAttention(Attention):
    """One product for q, k and v, whose outputs lie head by head."""

    def __init__(self, stack):
        super().__init__()
        self.heads = stack.heads
        self.query_key_value = nn.Linear(stack.width, 3 * stack.width)
        self.dense = nn.Linear(stack.width, stack.width)

    def split(self, x):
        n, t, _ = x.shape
        qkv = self.query_key_value(x).view(n, t, self.heads, -1).transpose(1, 2)
        return qkv.chunk(3, dim=-1)

    def join(self, heads):
        return self.dense(heads)


class LlamaAttention(Attention):
    """A product each, fewer heads of keys and values than of queries."""

    def __init__(self, stack):
        super().__init__()
        self.head_size = stack.head_size
        queries = stack.heads * stack.head_size
        keys = stack.kv_heads * stack.head_size
        self.q_proj = nn.Linear(stack.width, queries, bias=stack.qkv_bias)
        self.k_proj = nn.Linear(stack.width, keys, bias=stack.qkv_bias)
        self.v_proj = nn.Linear(stack.width, keys, bias=stack.qkv_bias)
        self.o_proj = nn.Linear(queries, stack.width, bias=stack.out_bias)
        self.qk_norm = stack.qk_norm
        if stack.qk_norm:
            self.q_norm = BlockformerRMSNorm(stack.head_size, stack.norm_eps)
            self.k_norm = BlockformerRMSNorm(stack.head_size, stack.norm_eps)

    def split(self, x):
        n, t, _ = x.shape
        queries, keys, values = (
            linear(x).view(n, t, -1, self.head_size)
            for linear in (self.q_proj, self.k_proj, self.v_proj)
        )
        if self.qk_norm:
            queries, keys = self.q_norm(queries), self.k_norm(keys)
        return queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2)

    def join(self, heads):
        return self.o_proj(heads)


class GeluMlp(nn.Module):
    def __init__(self, stack):
        super().__init__()
        self.dense_h_to_4h = nn.Linear(stack.width, stack.inner, bias=stack.mlp_bias)
        self.dense_4h_to_h = nn.Linear(stack.inner, stack.width, bias=stack.mlp_bias)

    def forward(self, x):
        return self.dense_4h_to_h(F.gelu(self.dense_h_to_4h(x)))


class SwigluMlp(nn.Module):
    def __init__(self, stack):
        super().__init__()
        self.gate_proj = nn.Linear(stack.width, stack.inner, bias=stack.mlp_bias)
        self.up_proj = nn.Linear(stack.width, stack.inner, bias=stack.mlp_bias)
        self.down_proj = nn.Linear(stack.inner, stack.width, bias=stack.mlp_bias)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class DecoderLayer(nn.Module):
    def __init__(self, stack):
        super().__init__()
        self.attention_name = NAMES[stack.family]["attention"]
        self.parallel_residual = stack.parallel_residual
        self.input_layernorm = make_norm(stack)
        self.post_attention_layernorm = make_norm(stack)
        attention = NeoxAttention if stack.family == "gpt_neox" else LlamaAttention
        self.add_module(self.attention_name, attention(stack))
        self.mlp = GeluMlp(stack) if stack.mlp == "gelu" else SwigluMlp(stack)

    def forward(self, x, *attention_inputs):
        attention = getattr(self, self.attention_name)
        y = x + attention(self.input_layernorm(x), *attention_inputs)
        return y + self.mlp(self.post_attention_layernorm(x if self.parallel_residual else y))


class DecoderStack(nn.Module):
    """The layers and the norm behind them, with a table of embeddings if `vocab_size` is given."""

    def __init__(self, stack, vocab_size=None):
        super().__init__()
        names = NAMES[stack.family]
        self.stack = stack
        self.table_name, self.norm_name = names["table"], names["final_norm"]
        if vocab_size is not None:
            self.add_module(self.table_name, nn.Embedding(vocab_size, stack.width))
        self.layers = nn.ModuleList(DecoderLayer(stack) for _ in range(stack.layers))
        self.add_module(self.norm_name, make_norm(stack))

    @property
    def table(self):
        return getattr(self, self.table_name)

    def forward(self, x, mask, cache=None, visible=None):
        """x [n, t, width] stands behind what `cache` holds, which grows by it."""
        first = cache.length if cache is not None else 0
        tables = rotary_tables(self.stack, torch.arange(first, first + x.shape[1], device=x.device))
        for index, layer in enumerate(self.layers):
            x = layer(x, index, tables, mask, cache, visible)
        return getattr(self, self.norm_name)(x)

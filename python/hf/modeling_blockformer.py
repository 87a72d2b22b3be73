"""Block Transformers (arXiv 2406.02657) in plain PyTorch, for Hugging Face's transformers.

A text is cut into blocks of L tokens. The *embedder* makes one vector of a block, the *block
decoder* reads these vectors causally and gives a context for the block that follows, and the *token
decoder* writes the tokens of that block, seeing the context and the block's earlier tokens alone.
The first block has no context: its tokens are never predicted.

Names of parameters are those of blockformer's checkpoints. Shapes in comments: n blocks or
sequences, t positions, h heads, d numbers a head. Nothing here has dropout.
"""

import inspect
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from .configuration_blockformer import BlockformerConfig

# What this version of transformers calls the cache: both names are in use.
CACHE_NAME = (
    "cache"
    if "cache" in inspect.signature(GenerationMixin.prepare_inputs_for_generation).parameters
    else "past_key_values"
)


# ---- A stack of decoder layers, described once ---------------------------------------------------


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


# ---- The embedder --------------------------------------------------------------------------------


class RobertaLayer(nn.Module):
    """A post-norm encoder layer."""

    def __init__(self, fields):
        super().__init__()
        width, inner = fields["hidden_size"], fields["intermediate_size"]
        eps = fields.get("layer_norm_eps", 1e-5)
        self.heads = fields["num_attention_heads"]
        self.attention = nn.ModuleDict(
            {
                "self": nn.ModuleDict(
                    {name: nn.Linear(width, width) for name in ("query", "key", "value")}
                ),
                "output": nn.ModuleDict(
                    {"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, eps=eps)}
                ),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
        self.output = nn.ModuleDict(
            {"dense": nn.Linear(inner, width), "LayerNorm": nn.LayerNorm(width, eps=eps)}
        )

    def forward(self, x, mask):
        """mask: bool [n, t]. A block of which nothing is visible attends to all of it alike."""
        n, t, width = x.shape
        queries, keys, values = (
            self.attention["self"][name](x).view(n, t, self.heads, -1).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        seen = mask.any(dim=1, keepdim=True)
        queries = queries * seen[:, :, None, None].to(x.dtype)
        mask = (mask | ~seen)[:, None, None, :].expand(n, 1, t, t)
        out = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        out = out.transpose(1, 2).reshape(n, t, width)
        attention = self.attention["output"]
        x = attention["LayerNorm"](x + attention["dense"](out))
        inner = F.gelu(self.intermediate["dense"](x))
        return self.output["LayerNorm"](x + self.output["dense"](inner))


class Embedder(nn.Module):
    """Makes one vector of a block's tokens."""

    def __init__(self, config):
        super().__init__()
        fields = config.embedder
        width = fields["hidden_size"]
        self.is_lookup = fields["type"] == "lookup"
        self.projection = fields["projection"] if self.is_lookup else "projection_layer"
        pooled = config.block_length
        if self.is_lookup:
            self.embeddings = nn.Embedding(config.vocab_size, width)
        else:
            eps = fields.get("layer_norm_eps", 1e-5)
            positions = fields.get("max_position_embeddings", 514)
            self.pad_id = fields.get("pad_token_id", 1)
            self.cls_tokens = fields.get("n_cls_tokens", 0) if "cls" in fields["type"] else 0
            self.cls_id = fields.get("cls_token_id", 0)
            pooled = self.cls_tokens or pooled
            self.embeddings = nn.ModuleDict(
                {
                    "word_embeddings": nn.Embedding(config.vocab_size, width),
                    "position_embeddings": nn.Embedding(positions, width),
                    "token_type_embeddings": nn.Embedding(1, width),
                    "LayerNorm": nn.LayerNorm(width, eps=eps),
                }
            )
            layers = (RobertaLayer(fields) for _ in range(fields["num_hidden_layers"]))
            self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})
        if self.projection == "projection_layer":
            self.projection_layer = nn.Conv1d(width, config.block_decoder["hidden_size"], pooled)

    @property
    def table(self):
        return self.embeddings if self.is_lookup else self.embeddings["word_embeddings"]

    def forward(self, ids, mask):
        """ids, mask: [n, L]; returns [n, width of the block decoder]."""
        x = self.embeddings(ids) if self.is_lookup else self.encode(ids, mask)
        if self.projection == "concat":
            return x.flatten(1)
        if self.projection == "sum":
            return x.sum(dim=1)
        if self.projection == "mean":
            return x.mean(dim=1)
        return self.projection_layer(x.transpose(1, 2)).squeeze(-1)

    def encode(self, ids, mask):
        if self.cls_tokens:
            ids = F.pad(ids, (self.cls_tokens, 0), value=self.cls_id)
            mask = F.pad(mask, (self.cls_tokens, 0), value=True)
        # Tokens that are the padding id take no position of their own, whatever the mask says.
        counts = (ids != self.pad_id).long()
        positions = counts.cumsum(dim=1) * counts + self.pad_id
        parts = self.embeddings
        x = parts["word_embeddings"](ids) + parts["position_embeddings"](positions)
        x = parts["LayerNorm"](x + parts["token_type_embeddings"].weight[0])
        for layer in self.encoder["layer"]:
            x = layer(x, mask)
        return x[:, : self.cls_tokens] if self.cls_tokens else x


# ---- The token decoder ---------------------------------------------------------------------------


class T5Attention(nn.Module):
    """Unscaled, without biases; its initial values make up for the scale."""

    def __init__(self, fields, buckets=None):
        super().__init__()
        width, self.heads = fields["hidden_size"], fields["num_attention_heads"]
        inner = self.heads * fields.get("head_size", 64)
        self.q = nn.Linear(width, inner, bias=False)
        self.k = nn.Linear(width, inner, bias=False)
        self.v = nn.Linear(width, inner, bias=False)
        self.o = nn.Linear(inner, width, bias=False)
        if buckets is not None:
            self.relative_attention_bias = nn.Embedding(buckets, self.heads)

    def split(self, linear, x):
        return linear(x).view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

    def forward(self, x, keys, values, bias):
        out = F.scaled_dot_product_attention(
            self.split(self.q, x), keys, values, attn_mask=bias, scale=1.0
        )
        return self.o(out.transpose(1, 2).flatten(2))


class T5Layer(nn.Module):
    """Pre-norm: attention inside the block, attention to the expanded context, feed-forward."""

    def __init__(self, fields, buckets):
        super().__init__()
        width, inner = fields["hidden_size"], fields["intermediate_size"]
        eps = fields.get("layer_norm_eps", 1e-6)
        mlp = {
            "wi": nn.Linear(width, inner, bias=False),
            "wo": nn.Linear(inner, width, bias=False),
        }
        parts = (
            ("SelfAttention", T5Attention(fields, buckets)),
            ("EncDecAttention", T5Attention(fields)),
            ("DenseReluDense", nn.ModuleDict(mlp)),
        )
        self.layer = nn.ModuleList(
            nn.ModuleDict({name: part, "layer_norm": BlockformerRMSNorm(width, eps)})
            for name, part in parts
        )

    def forward(self, x, index, bias, vectors, cache):
        """cache: KeyValues inside the block, and of the vectors; both may be None."""
        own, context = cache
        attention = self.layer[0]["SelfAttention"]
        normed = self.layer[0]["layer_norm"](x)
        keys, values = (attention.split(part, normed) for part in (attention.k, attention.v))
        if own is not None:
            keys, values = own.append(index, keys, values)
        x = x + attention(normed, keys, values, bias)

        attention = self.layer[1]["EncDecAttention"]
        if context is None or index not in context.layers:
            keys, values = (attention.split(part, vectors) for part in (attention.k, attention.v))
            if context is not None:
                context.append(index, keys, values)
        else:
            keys, values = context.layers[index]
        x = x + attention(self.layer[1]["layer_norm"](x), keys, values, None)

        mlp = self.layer[2]["DenseReluDense"]
        return x + mlp["wo"](F.relu(mlp["wi"](self.layer[2]["layer_norm"](x))))


class T5Stack(nn.Module):
    def __init__(self, fields):
        super().__init__()
        self.buckets = fields.get("relative_attention_num_buckets", 32)
        self.max_distance = fields.get("relative_attention_max_distance", 128)
        self.block = nn.ModuleList(
            T5Layer(fields, self.buckets if index == 0 else None)
            for index in range(fields["num_hidden_layers"])
        )
        self.final_layer_norm = BlockformerRMSNorm(
            fields["hidden_size"], fields.get("layer_norm_eps", 1e-6)
        )

    def position_bias(self, first, count, dtype):
        """Biases [1, h, count, first + count] of positions first on, from the first layer's table."""
        table = self.block[0].layer[0]["SelfAttention"].relative_attention_bias
        device = table.weight.device
        queries = torch.arange(first, first + count, device=device)[:, None]
        distance = (queries - torch.arange(first + count, device=device)).clamp(min=0)
        exact = self.buckets // 2
        steps = torch.log(distance.clamp(min=1).float() / exact) / math.log(
            self.max_distance / exact
        )
        far = exact + (steps * (self.buckets - exact)).long().clamp(min=0)
        buckets = torch.where(distance < exact, distance, far.clamp(max=self.buckets - 1))
        return table(buckets).permute(2, 0, 1)[None].to(dtype)

    def forward(self, x, mask, vectors, cache):
        own = cache[0]
        bias = self.position_bias(own.length if own is not None else 0, x.shape[1], x.dtype)
        bias = bias.masked_fill(~mask, torch.finfo(x.dtype).min)
        for index, block in enumerate(self.block):
            x = block(x, index, bias, vectors, cache)
        return self.final_layer_norm(x)


class LocalCache:
    """What the token decoder keeps of the block that it writes."""

    def __init__(self, vectors):
        self.vectors = vectors  # [n, X, width]
        self.own = KeyValues()
        self.context = KeyValues()

    def reorder(self, index):
        self.vectors = self.vectors[index.to(self.vectors.device)]
        self.own.reorder(index)
        self.context.reorder(index)


class TokenDecoder(nn.Module):
    """Writes the tokens of a block, given the context that was made of the blocks before it.

    Its inputs are the *lead*, the expanded context or a begin token, and the block's tokens but the
    last; the output at the end of the lead predicts the first token.
    """

    def __init__(self, config):
        super().__init__()
        fields = config.token_decoder
        self.type = fields["type"]
        self.width = fields["hidden_size"]
        self.vectors = fields["expansion_ratio"] if self.type == "prefix" else config.block_length
        self.lead = self.vectors if self.type == "prefix" else 1
        self.begin_id = fields.get("bos_token_id", 1 if self.type == "cross_attention" else 0)
        if fields["expansion"] == "expansion_layer":
            self.expansion_layer = nn.Conv1d(
                config.block_decoder["hidden_size"], self.vectors * self.width, 1
            )
        if self.type == "cross_attention":
            self.shared = nn.Embedding(config.vocab_size, self.width)
            self.decoder = T5Stack(fields)
            return
        stack = Stack.read(fields)
        names = NAMES[stack.family]
        self.stack_name = names["stack"]
        self.head_name = None if config.tie_word_embeddings else names["head"]
        self.add_module(self.stack_name, DecoderStack(stack, config.vocab_size))
        if self.head_name is not None:
            self.add_module(self.head_name, nn.Linear(self.width, config.vocab_size, bias=False))

    @property
    def table(self):
        if self.type == "cross_attention":
            return self.shared
        return getattr(self, self.stack_name).table

    def expand(self, contexts):
        """[n, width of the block decoder] -> [n, X, width]."""
        if not hasattr(self, "expansion_layer"):
            return contexts[:, None].expand(-1, self.vectors, -1)
        layer = self.expansion_layer
        y = F.linear(contexts, layer.weight.squeeze(-1), layer.bias)
        return y.view(-1, self.vectors, self.width)

    def forward(self, vectors, ids, mask, cache=None):
        """Runs the lead, unless `cache` holds it already, and the last tokens of ids [n, k].

        ids and mask, [n, k], are all tokens of the block so far. Returns the final hidden states of
        the positions that ran, [n, count, width].
        """
        done = cache.own.length if cache is not None else 0
        n, tokens = ids.shape
        total = self.lead + tokens
        x = self.table(ids[:, max(0, done - self.lead) :])
        if done == 0:
            lead = vectors
            if self.type != "prefix":
                lead = self.table(torch.full((n, 1), self.begin_id, device=ids.device))
            x = torch.cat([lead, x], dim=1)
        if self.type == "summation":
            x = x + vectors[:, done:total]
        places = torch.arange(total, device=ids.device)
        keys = F.pad(mask, (self.lead, 0), value=True)
        seen = (places[None, :] <= places[done:, None])[None, None] & keys[:, None, None, :]
        if self.type == "cross_attention":
            caches = (None, None) if cache is None else (cache.own, cache.context)
            return self.decoder(x, seen, vectors, caches)
        stack = getattr(self, self.stack_name)
        return stack(x, seen, cache.own if cache is not None else None)

    def head(self, hidden):
        if self.type == "cross_attention":
            return F.linear(hidden * self.width**-0.5, self.shared.weight)
        if self.head_name is None:
            return F.linear(hidden, self.table.weight)
        return getattr(self, self.head_name)(hidden)


# ---- The model -----------------------------------------------------------------------------------


class BlockCache:
    """What the model keeps of a batch of texts, whose blocks begin at the same columns.

    Whole blocks are one position each in the block decoder's keys and values; of the block that is
    being written there are its tokens, its context and the token decoder's keys and values.
    """

    is_compileable = False
    is_linear = (False,)  # for transformers: not all that is kept has a fixed size

    def __init__(self, block_offset):
        self.block_offset = block_offset  # slots before the first column in its block
        self.length = 0  # columns seen
        self.decoder = KeyValues()
        self.block_mask = None  # bool [batch, whole blocks]
        self.context = None  # [batch, width], for the current block; None: it is the first
        self.ids = None  # [batch, k], the current block so far
        self.mask = None
        self.local = None  # LocalCache, once the current block ran

    def get_seq_length(self, layer_idx=0):
        return self.length

    def reorder_cache(self, beam_idx):
        """Row i becomes what row beam_idx[i] was."""
        self.decoder.reorder(beam_idx)
        for name in ("block_mask", "context", "ids", "mask"):
            value = getattr(self, name)
            if value is not None:
                setattr(self, name, value[beam_idx.to(value.device)])
        if self.local is not None:
            self.local.reorder(beam_idx)


class BlockformerForCausalLM(PreTrainedModel, GenerationMixin):
    """A Block Transformer as a causal language model: logits at column j predict column j + 1.

    Where blocks begin matters to a Block Transformer. `generate` puts a prompt's end at a block's
    end, so that each generated block begins at a block's start, as blockformer does. A plain
    forward pass puts a text's beginning where the model's training had it (blockformer's `score`):
    with random padding of the first block, a text's first token is the last of its first block and
    all others are predicted; without it, the first L tokens are not predicted, and their logits are
    zeros. `block_offset` overrides this: the number of slots before column 0 in its block.

    Without an `attention_mask`, a plain forward pass takes tokens of the padding id for padding, as
    the published evaluation does; the first of them in a text that begins with another token is an
    end of text. Padding on the left of a plain forward pass is left out.
    """

    config_class = BlockformerConfig
    base_model_prefix = "block_transformer"
    main_input_name = "input_ids"
    _no_split_modules = ["DecoderLayer", "RobertaLayer", "T5Layer"]
    _supports_sdpa = True
    _is_stateful = True  # the cache cannot be shortened
    # Stands in published checkpoints; nothing reads it.
    _keys_to_ignore_on_load_unexpected = [r"block_decoder\.gpt_neox\.embed_in\.weight"]

    def __init__(self, config):
        super().__init__(config)
        stack = Stack.read(config.block_decoder)
        self.stack_name = NAMES[stack.family]["stack"]
        self.embedder = Embedder(config)
        self.block_decoder = nn.ModuleDict({self.stack_name: DecoderStack(stack)})
        self.token_decoder = TokenDecoder(config)
        self.post_init()

    @classmethod
    def _supports_default_dynamic_cache(cls):
        return False  # forward makes its own

    def get_input_embeddings(self):
        return self.embedder.table

    # -- Whole blocks

    def embed_blocks(self, ids, mask):
        """ids, mask: [batch, blocks, L] -> [batch, blocks, width]."""
        batch, blocks, length = ids.shape
        x = self.embedder(ids.reshape(-1, length), mask.reshape(-1, length))
        return x.view(batch, blocks, -1)

    def decode_blocks(self, embeddings, block_mask, cache=None):
        """embeddings [batch, blocks, width] -> contexts, the same shape. block_mask [batch, keys]
        is that of all blocks, those in the cache too. A masked block is seen by none, and its own
        row attends to nothing."""
        blocks = embeddings.shape[1]
        keys = block_mask.shape[1]
        places = torch.arange(keys, device=embeddings.device)
        rows = places[keys - blocks :, None]
        mask = (places <= rows)[None] & block_mask[:, None, :]
        mask = mask | (places == rows)[None]  # no row is without keys; `visible` undoes it
        visible = block_mask[:, keys - blocks :]
        stack = self.block_decoder[self.stack_name]
        return stack(embeddings, mask[:, None], cache, visible)

    def write_blocks(self, contexts, ids, mask):
        """Hidden states [batch, blocks, L, width] that predict the tokens of `ids`, which the
        token decoder is given: contexts [batch, blocks, width], ids and mask [batch, blocks, L]."""
        batch, blocks, length = ids.shape
        vectors = self.token_decoder.expand(contexts.flatten(0, 1))
        hidden = self.token_decoder(
            vectors, ids.flatten(0, 1)[:, :-1], mask.flatten(0, 1)[:, :-1]
        )
        return hidden[:, -length:].view(batch, blocks, length, -1)

    # -- Columns

    def lay_out(self, ids, mask, shift, blocks, pad_id):
        """Puts column j of row i into slot j + shift[i]: [batch, blocks, L]. Slots below 0 are left
        out, and those that stay empty are padding."""
        length = self.config.block_length
        end = blocks * length
        slots = torch.arange(ids.shape[1], device=ids.device) + shift[:, None]
        slots = torch.where(slots < 0, end, slots)
        out = ids.new_full((ids.shape[0], end + 1), pad_id).scatter(1, slots, ids)
        out_mask = mask.new_zeros((ids.shape[0], end + 1)).scatter(1, slots, mask)
        shape = (ids.shape[0], blocks, length)
        return out[:, :end].view(shape), out_mask[:, :end].view(shape)

    def forced(self, ids, mask, shift, contexts, kept):
        """Hidden states [batch, kept, width] of the last `kept` columns, and which of them there
        are, bool [batch, kept]. ids, mask: [batch, blocks, L]; contexts [batch, blocks - 1, width]
        are for the blocks from the second on."""
        length = self.config.block_length
        columns = torch.arange(1 - kept, 1, device=ids.device)
        slots = columns + shift[:, None]  # of the tokens that they predict
        predicted = slots >= length
        first = max(1, int(slots.min()) // length)
        hidden = self.write_blocks(contexts[:, first - 1 :], ids[:, first:], mask[:, first:])
        hidden = hidden.flatten(1, 2)
        index = (slots - first * length).clamp(min=0)[..., None].expand(-1, -1, hidden.shape[-1])
        return hidden.gather(1, index), predicted

    def score(self, ids, mask, shift, kept, pad_id):
        """As `forced`, for columns [batch, columns] without a cache."""
        length = self.config.block_length
        end = shift + ids.shape[1]  # the slot that the last column predicts
        blocks = int(end.max()) // length + 1
        if blocks == 1:
            return None, None
        ids, mask = self.lay_out(ids, mask, shift, blocks, pad_id)
        embeddings = self.embed_blocks(ids[:, :-1], mask[:, :-1])
        contexts = self.decode_blocks(embeddings, mask[:, :-1].any(dim=2))
        return self.forced(ids, mask, end, contexts, kept)

    def prefill(self, ids, mask, kept, pad_id, cache):
        """As `score`, and fills the empty `cache`."""
        length = self.config.block_length
        columns = ids.shape[1]
        end = columns + cache.block_offset
        blocks = end // length + 1
        shift = torch.full((ids.shape[0],), cache.block_offset, device=ids.device)
        ids, mask = self.lay_out(ids, mask, shift, blocks, pad_id)
        cache.length = columns
        cache.ids, cache.mask = ids[:, -1, : end % length], mask[:, -1, : end % length]
        cache.block_mask = mask[:, :-1].any(dim=2)
        if blocks == 1:
            return None, None
        embeddings = self.embed_blocks(ids[:, :-1], mask[:, :-1])
        contexts = self.decode_blocks(embeddings, cache.block_mask, cache.decoder)
        cache.context = contexts[:, -1]
        if kept <= end % length + 1:
            return self.write_current(cache)[:, -kept:], None
        return self.forced(ids, mask, shift + columns, contexts, kept)

    def write_current(self, cache):
        """Runs what has not run yet of the current block; returns the hidden states of it, which
        for the lead is its last one."""
        if cache.local is None:
            cache.local = LocalCache(self.token_decoder.expand(cache.context))
            hidden = self.token_decoder(cache.local.vectors, cache.ids, cache.mask, cache.local)
            return hidden[:, self.token_decoder.lead - 1 :]
        return self.token_decoder(cache.local.vectors, cache.ids, cache.mask, cache.local)

    def close_current(self, cache):
        """The current block is whole: its context for the next."""
        embedding = self.embed_blocks(cache.ids[:, None], cache.mask[:, None])
        cache.block_mask = torch.cat([cache.block_mask, cache.mask.any(dim=1, keepdim=True)], dim=1)
        cache.context = self.decode_blocks(embedding, cache.block_mask, cache.decoder)[:, -1]
        cache.ids, cache.mask = cache.ids[:, :0], cache.mask[:, :0]
        cache.local = None

    def extend(self, ids, mask, kept, cache):
        """As `score`, for columns behind those in the cache; a block after the other."""
        length = self.config.block_length
        hidden, predicted = [], []
        for column in range(ids.shape[1]):
            cache.ids = torch.cat([cache.ids, ids[:, column, None]], dim=1)
            cache.mask = torch.cat([cache.mask, mask[:, column, None]], dim=1)
            cache.length += 1
            if cache.ids.shape[1] == length:
                self.close_current(cache)
            wanted = column >= ids.shape[1] - kept
            predicted += [cache.context is not None] * wanted
            if cache.context is not None:
                rows = self.write_current(cache)
                hidden += [rows[:, -1:]] * wanted
        if not hidden:
            return None, None
        hidden = torch.cat(hidden, dim=1)
        missing = len(predicted) - hidden.shape[1]
        flags = torch.tensor(predicted, device=ids.device).expand(ids.shape[0], -1)
        return F.pad(hidden, (0, 0, missing, 0)), flags

    def text_mask(self, ids):
        """Which tokens are text, as the published evaluation has it: those that are not the padding
        id, and the first that is, an end of text, unless the row begins with one."""
        is_pad = ids == self.config.pad_token_id
        ends_text = is_pad & (is_pad.cumsum(dim=1) == 1) & ~is_pad[:, :1]
        return ~is_pad | ends_text

    def forward(
        self,
        input_ids,
        attention_mask=None,
        past_key_values=None,
        labels=None,
        use_cache=None,
        logits_to_keep=0,
        block_offset=None,
        cache=None,
        return_dict=None,
        **kwargs,
    ):
        """input_ids [batch, columns], behind those that the cache holds. attention_mask: of all
        columns. A cache (`past_key_values`, or `cache` in newer versions of transformers) is made
        with use_cache=True, and changed in place. logits_to_keep: 0 for all columns. labels: not
        yet shifted, -100 is left out; the loss also leaves out what is not predicted."""
        cache = past_key_values if cache is None else cache
        columns = input_ids.shape[1]
        kept = min(logits_to_keep or columns, columns)
        is_scored = block_offset is None and cache is None
        # What the first block begins with: the padding of training, or that of prompts.
        pad_id = self.config.pad_token_id if is_scored else self.config.prompt_pad_id
        if block_offset is None:
            block_offset = self.config.scoring_offset
        if attention_mask is not None:
            mask = attention_mask[:, -columns:].bool()
        else:
            mask = self.text_mask(input_ids) if is_scored else torch.ones_like(input_ids).bool()
        if cache is None and use_cache:
            if is_scored and not mask[:, 0].all() and attention_mask is not None:
                raise ValueError("use_cache=True with padding on the left needs a block_offset")
            cache = BlockCache(block_offset)
        if cache is not None and cache.length > 0:
            hidden, predicted = self.extend(input_ids, mask, kept, cache)
        elif cache is not None:
            hidden, predicted = self.prefill(input_ids, mask, kept, pad_id, cache)
        else:
            shift = torch.full((input_ids.shape[0],), block_offset, device=input_ids.device)
            if is_scored and attention_mask is not None:
                shift = shift - mask.int().argmax(dim=1)
                padded = torch.arange(columns, device=mask.device) + shift[:, None] < block_offset
                input_ids = input_ids.masked_fill(padded, pad_id)
            hidden, predicted = self.score(input_ids, mask, shift, kept, pad_id)

        if hidden is None:  # nothing but the first block, which is not predicted
            shape = (input_ids.shape[0], kept, self.config.vocab_size)
            logits = torch.zeros(shape, dtype=self.dtype, device=input_ids.device)
            predicted = torch.zeros(shape[:2], dtype=torch.bool, device=input_ids.device)
        else:
            logits = self.token_decoder.head(hidden)
        if predicted is not None:
            logits = logits.masked_fill(~predicted[..., None], 0)
        loss = None
        if labels is not None:
            loss = self.loss(logits, predicted, labels, kwargs.get("num_items_in_batch"))
        output = CausalLMOutputWithPast(loss=loss, logits=logits, **{CACHE_NAME: cache})
        return output if return_dict is not False else output.to_tuple()

    def loss(self, logits, predicted, labels, num_items_in_batch):
        if logits.shape[1] != labels.shape[1]:
            raise ValueError("labels need the logits of all columns: logits_to_keep=0")
        targets = labels[:, 1:]
        if predicted is not None:
            targets = targets.masked_fill(~predicted[:, :-1], -100)
        losses = F.cross_entropy(
            logits[:, :-1].flatten(0, 1).float(), targets.flatten(), reduction="sum"
        )
        return losses / (num_items_in_batch or (targets != -100).sum())

    # -- Generation

    def generate(self, inputs=None, generation_config=None, **kwargs):
        """As transformers' `generate`; a prompt ends with a block."""
        ids = inputs if inputs is not None else kwargs.get("input_ids")
        cache = kwargs.get("cache") or kwargs.get("past_key_values")
        if kwargs.get("block_offset") is None:
            columns = ids.shape[1] if ids is not None else 1
            kwargs["block_offset"] = (
                cache.block_offset if cache is not None else -columns % self.config.block_length
            )
        return super().generate(inputs, generation_config, **kwargs)

    def prepare_inputs_for_generation(
        self,
        input_ids,
        past_key_values=None,
        attention_mask=None,
        use_cache=True,
        block_offset=None,
        logits_to_keep=1,
        cache=None,
        **kwargs,
    ):
        cache = past_key_values if cache is None else cache
        if attention_mask is not None and attention_mask.shape[1] == input_ids.shape[1]:
            # Whatever a tokenizer pads with, the model sees the padding of its training.
            input_ids = input_ids.masked_fill(attention_mask == 0, self.config.prompt_pad_id)
        if cache is not None:
            input_ids = input_ids[:, cache.get_seq_length() :]
        return {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            CACHE_NAME: cache,
            "use_cache": use_cache,
            "block_offset": block_offset,
            "logits_to_keep": logits_to_keep,
        }

"""The embedder and the token decoder of a Block Transformer.

Shapes in comments: n blocks, t positions, h heads, L tokens a block.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from .layers_blockformer import NAMES, BlockformerRMSNorm, DecoderStack, KeyValues, Stack


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


class TokenCache:
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

"""Block Transformers (arXiv 2406.02657) in plain PyTorch, for Hugging Face's transformers.

A text is cut into blocks of L tokens. The *embedder* makes one vector of a block, the *block
decoder* reads these vectors causally and gives a context for the block that follows, and the *token
decoder* writes the tokens of that block, seeing the context and the block's earlier tokens alone.
The first block has no context: its tokens are never predicted.

Names of parameters are those of blockformer's checkpoints. Nothing here has dropout.
"""

import inspect

import torch
import torch.nn.functional as F
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from .configuration_blockformer import BlockformerConfig
from .layers_blockformer import NAMES, DecoderStack, KeyValues, Stack
from .parts_blockformer import Embedder, TokenCache, TokenDecoder

# What this version of transformers calls the cache: both names are in use.
CACHE_NAME = (
    "cache"
    if "cache" in inspect.signature(GenerationMixin.prepare_inputs_for_generation).parameters
    else "past_key_values"
)


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
        self.token_cache = None  # TokenCache, once the current block ran

    def get_seq_length(self, layer_idx=0):
        return self.length

    def reorder_cache(self, beam_idx):
        """Row i becomes what row beam_idx[i] was."""
        self.decoder.reorder(beam_idx)
        for name in ("block_mask", "context", "ids", "mask"):
            value = getattr(self, name)
            if value is not None:
                setattr(self, name, value[beam_idx.to(value.device)])
        if self.token_cache is not None:
            self.token_cache.reorder(beam_idx)


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
        begins = cache.token_cache is None
        if begins:
            cache.token_cache = TokenCache(self.token_decoder.expand(cache.context))
        tokens = cache.token_cache
        hidden = self.token_decoder(tokens.vectors, cache.ids, cache.mask, tokens)
        return hidden[:, self.token_decoder.lead - 1 :] if begins else hidden

    def close_current(self, cache):
        """The current block is whole: its context for the next."""
        embedding = self.embed_blocks(cache.ids[:, None], cache.mask[:, None])
        cache.block_mask = torch.cat([cache.block_mask, cache.mask.any(dim=1, keepdim=True)], dim=1)
        cache.context = self.decode_blocks(embedding, cache.block_mask, cache.decoder)[:, -1]
        cache.ids, cache.mask = cache.ids[:, :0], cache.mask[:, :0]
        cache.token_cache = None

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

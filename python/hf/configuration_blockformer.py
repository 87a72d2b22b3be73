"""Configuration of a Block Transformer (arXiv 2406.02657) that blockformer exported."""

from transformers import PretrainedConfig


class BlockformerConfig(PretrainedConfig):
    """The fields of blockformer's config.json (its docs/model-directory.md explains them).

    `embedder`, `block_decoder`, `token_decoder` and `padding` stay dictionaries. `max_length`, the
    context in tokens, is `max_position_embeddings` here, because transformers has another meaning
    for the former; it is written to config.json under both names, so that blockformer reads what
    `save_pretrained` writes.
    """

    model_type = "block_transformer"
    has_no_defaults_at_init = True

    def __init__(
        self,
        vocab_size=0,
        max_length=2048,
        max_position_embeddings=None,
        block_length=1,
        embedder=None,
        block_decoder=None,
        token_decoder=None,
        padding=None,
        eos_token_id=0,
        pad_token_id=0,
        tie_word_embeddings=False,
        **kwargs,
    ):
        self.vocab_size = vocab_size
        self.max_position_embeddings = (
            max_length if max_position_embeddings is None else max_position_embeddings
        )
        self.block_length = block_length
        self.embedder = embedder
        self.block_decoder = block_decoder
        self.token_decoder = token_decoder
        self.padding = {"random_first_block": True, "to_block_boundary": True, **(padding or {})}
        super().__init__(
            eos_token_id=eos_token_id,
            pad_token_id=pad_token_id,
            tie_word_embeddings=tie_word_embeddings,
            **kwargs,
        )

    @property
    def prompt_pad_id(self):
        """What fills up the first block of a prompt: the id to which a RoBERTa gives no position."""
        if self.embedder["type"] == "lookup":
            return self.pad_token_id
        return self.embedder.get("pad_token_id", 1)

    @property
    def scoring_offset(self):
        """Slots before a text in its first block when it is scored, as the model was trained."""
        return self.block_length - 1 if self.padding["random_first_block"] else 0

    def to_diff_dict(self):
        """What config.json gets. Values that happen to be transformers' defaults stay in it."""
        output = super().to_diff_dict()
        for name in ("vocab_size", "block_length", "eos_token_id", "pad_token_id"):
            output[name] = getattr(self, name)
        output["tie_word_embeddings"] = self.tie_word_embeddings
        output["max_length"] = self.max_position_embeddings
        return output

"""The cases of `families.py`: a name, a class of `transformers`, its config, and the calls to answer.

Sizes are small and odd, and differ where one could stand for another; what is added to a variance is large enough to
show. The first case of a family has every call that applies, the others what they differ in.
"""

SPECIAL = dict(pad_token_id=0, bos_token_id=1, eos_token_id=2)
LLAMA = dict(
    SPECIAL, vocab_size=67, hidden_size=24, intermediate_size=17, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-2,
)
LONG_HEADS = dict(LLAMA, num_attention_heads=2, num_key_value_heads=1, head_dim=16)
GEMMA = dict(LLAMA, head_dim=10, pad_token_id=0, bos_token_id=2, eos_token_id=1)
EXPERTS = dict(LLAMA, num_experts_per_tok=2, router_aux_loss_coef=0.05)
QWEN_MOE = dict(EXPERTS, num_experts=5, moe_intermediate_size=11)
QWEN2_MOE = dict(QWEN_MOE, shared_expert_intermediate_size=13)
BERT = dict(
    vocab_size=67, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=31,
    max_position_embeddings=48, layer_norm_eps=1e-2,
)
ROBERTA = dict(BERT, type_vocab_size=1)
DISTILBERT = dict(vocab_size=67, dim=24, n_layers=2, n_heads=3, hidden_dim=31, max_position_embeddings=48)
ALBERT = dict(BERT, embedding_size=14)
ELECTRA = dict(BERT, embedding_size=14, hidden_act="relu")
T5 = dict(
    vocab_size=67, d_model=24, d_kv=7, d_ff=17, num_layers=2, num_heads=4, relative_attention_num_buckets=8,
    relative_attention_max_distance=13, layer_norm_epsilon=1e-2, decoder_start_token_id=0,
)
SEQ2SEQ = dict(
    vocab_size=67, d_model=24, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
    decoder_attention_heads=3, encoder_ffn_dim=19, decoder_ffn_dim=17,
)
BART = dict(SEQ2SEQ, max_position_embeddings=48)
MARIAN = dict(BART, pad_token_id=66, decoder_start_token_id=66, eos_token_id=0, activation_function="swish")
WHISPER = dict(
    SEQ2SEQ, **SPECIAL, num_mel_bins=10, max_source_positions=15, max_target_positions=20, decoder_start_token_id=1,
    begin_suppress_tokens=None,
)
VIT = dict(
    hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=31, image_size=16, patch_size=4,
    layer_norm_eps=1e-2,
)
TEXT = dict(
    vocab_size=67, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=31,
    max_position_embeddings=17, layer_norm_eps=1e-2, pad_token_id=1, bos_token_id=66, eos_token_id=65,
)
VISION = dict(VIT, hidden_size=30, intermediate_size=29)


def rope(kind="default", theta=10_000.0, **scaling):
    return {"rope_type": kind, "rope_theta": theta, **scaling}


LLAMA3 = rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
YARN = rope("yarn", theta=100.0, factor=4.0, beta_fast=4.0, beta_slow=1.0, original_max_position_embeddings=32)
TWO_ROPES = {"full_attention": rope(theta=1e6), "sliding_attention": rope()}
SCALED_ROPES = {"full_attention": rope("linear", theta=1e6, factor=8.0), "sliding_attention": rope()}
GEMMA3 = dict(
    GEMMA, num_hidden_layers=4, sliding_window=6, sliding_window_pattern=3, query_pre_attn_scalar=7,
    rope_parameters=TWO_ROPES,
)
GEMMA3_SCALED = dict(GEMMA3, num_hidden_layers=2, sliding_window_pattern=2, rope_parameters=SCALED_ROPES)

PADDED = "plain left right"

CASES = {
    "llama-gqa": ("LlamaForCausalLM", LLAMA, f"{PADDED} positions grad"),
    "llama-mha": (
        "LlamaForCausalLM",
        dict(LLAMA, num_key_value_heads=4, head_dim=10, attention_bias=True, mlp_bias=True), "plain left"),
    "llama-tied": (
        "LlamaForCausalLM",
        dict(LLAMA, num_key_value_heads=1, attention_bias=True, tie_word_embeddings=True,
             rope_parameters=rope(theta=500.0)),
        "plain left"),
    "llama-llama3": ("LlamaForCausalLM", dict(LONG_HEADS, rope_parameters=LLAMA3), "plain long"),
    "llama-linear": ("LlamaForCausalLM", dict(LLAMA, rope_parameters=rope("linear", factor=2.5)), "plain"),
    "llama-dynamic": (  # `long` last: the frequencies of a longer text are kept for shorter ones
        "LlamaForCausalLM",
        dict(LONG_HEADS, max_position_embeddings=20, rope_parameters=rope("dynamic", factor=2.0)), "plain long"),
    "llama-yarn": (
        "LlamaForCausalLM", dict(LONG_HEADS, max_position_embeddings=128, rope_parameters=YARN), "plain long"),
    "smollm": (
        "LlamaForCausalLM",
        dict(LLAMA, hidden_size=36, num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True,
             rope_parameters=rope(theta=100_000.0)),
        "plain left"),
    "smollm3": ("SmolLM3ForCausalLM", dict(LLAMA, num_hidden_layers=3, no_rope_layer_interval=2), PADDED),
    "mistral": ("MistralForCausalLM", dict(LLAMA, sliding_window=6, head_dim=8), f"{PADDED} long"),
    "mistral-full": ("MistralForCausalLM", dict(LLAMA, sliding_window=None, rope_parameters=rope(theta=1e6)), "plain"),
    "qwen2": ("Qwen2ForCausalLM", LLAMA, PADDED),
    "qwen2-window": (
        "Qwen2ForCausalLM",
        dict(LLAMA, use_sliding_window=True, sliding_window=6, max_window_layers=1, tie_word_embeddings=True),
        "plain long"),
    "qwen3": ("Qwen3ForCausalLM", dict(LLAMA, head_dim=10), PADDED),
    "qwen3-tied": (
        "Qwen3ForCausalLM", dict(LLAMA, head_dim=8, attention_bias=True, tie_word_embeddings=True), "plain"),
    "gemma": ("GemmaForCausalLM", dict(GEMMA, num_key_value_heads=1), PADDED),
    "gemma2": (
        "Gemma2ForCausalLM",
        dict(GEMMA, query_pre_attn_scalar=7, sliding_window=6, attn_logit_softcapping=2.0,
             final_logit_softcapping=1.5),
        f"{PADDED} long"),
    "gemma3": ("Gemma3ForCausalLM", GEMMA3, f"{PADDED} long grad"),
    "gemma3-scaled": ("Gemma3ForCausalLM", GEMMA3_SCALED, "plain long"),
    "mixtral": (
        "MixtralForCausalLM", dict(EXPERTS, num_local_experts=4, intermediate_size=11), f"{PADDED} grad grad-router"),
    "qwen2-moe": ("Qwen2MoeForCausalLM", QWEN2_MOE, PADDED),
    "qwen2-moe-mixed": (
        "Qwen2MoeForCausalLM", dict(QWEN2_MOE, mlp_only_layers=[0], norm_topk_prob=True), "plain left"),
    "qwen3-moe": ("Qwen3MoeForCausalLM", dict(QWEN_MOE, head_dim=10, norm_topk_prob=True), PADDED),
    "qwen3-moe-mixed": (
        "Qwen3MoeForCausalLM", dict(QWEN_MOE, head_dim=8, decoder_sparse_step=2, num_experts_per_tok=3), "plain left"),
    "bert-mlm": ("BertForMaskedLM", BERT, f"{PADDED} types positions grad"),
    "bert-base": ("BertModel", dict(BERT, hidden_act="relu"), f"{PADDED} types"),
    "bert-pretraining": ("BertForPreTraining", BERT, f"{PADDED} types"),
    "bert-classifier": ("BertForSequenceClassification", dict(BERT, num_labels=3), f"{PADDED} types"),
    "roberta-mlm": ("RobertaForMaskedLM", ROBERTA, PADDED),
    "roberta-classifier": ("RobertaForSequenceClassification", dict(ROBERTA, num_labels=3), PADDED),
    "ernie-mlm": (
        "ErnieForMaskedLM", dict(BERT, type_vocab_size=4, task_type_vocab_size=3, use_task_id=True),
        f"{PADDED} types tasks"),
    "distilbert-mlm": ("DistilBertForMaskedLM", DISTILBERT, PADDED),
    "distilbert-classifier": ("DistilBertForSequenceClassification", dict(DISTILBERT, num_labels=3), PADDED),
    "albert-mlm": ("AlbertForMaskedLM", dict(ALBERT, num_hidden_layers=3), f"{PADDED} types"),
    "albert-groups": (
        "AlbertForMaskedLM", dict(ALBERT, num_hidden_layers=4, num_hidden_groups=2, inner_group_num=2), "plain right"),
    "electra-discriminator": ("ElectraForPreTraining", ELECTRA, f"{PADDED} types"),
    "electra-mlm": ("ElectraForMaskedLM", ELECTRA, "plain left"),
    "electra-base": ("ElectraModel", dict(BERT, embedding_size=24, num_hidden_layers=1), "plain right"),
    "electra-classifier": (
        "ElectraForSequenceClassification", dict(ELECTRA, num_hidden_layers=1, num_labels=3), "plain right"),
    "bert-tagger": ("BertForTokenClassification", dict(BERT, num_hidden_layers=1, num_labels=5), "plain right"),
    "t5": ("T5ForConditionalGeneration", T5, f"{PADDED} grad"),
    "t5-v1-1": (
        "T5ForConditionalGeneration",
        dict(T5, feed_forward_proj="gated-gelu", num_decoder_layers=1, tie_word_embeddings=False), PADDED),
    "bart": ("BartForConditionalGeneration", BART, f"{PADDED} grad"),
    "bart-scaled": (
        "BartForConditionalGeneration",
        dict(BART, scale_embedding=True, activation_function="relu", encoder_layers=1), "plain right"),
    "marian": ("MarianMTModel", dict(MARIAN, scale_embedding=True), f"{PADDED} grad"),
    "marian-apart": (
        "MarianMTModel",
        dict(MARIAN, vocab_size=71, decoder_vocab_size=67, share_encoder_decoder_embeddings=False), "plain right"),
    "whisper": ("WhisperForConditionalGeneration", WHISPER, "plain grad"),
    "vit": ("ViTModel", VIT, "plain wider"),
    "vit-classifier": ("ViTForImageClassification", dict(VIT, qkv_bias=False, num_labels=5), "plain wider"),
    "clip": ("CLIPModel", dict(text_config=TEXT, vision_config=VISION, projection_dim=20), "plain right"),
    "clip-argmax": (
        "CLIPModel",
        dict(text_config=dict(TEXT, bos_token_id=65, eos_token_id=2), vision_config=VISION, projection_dim=20),
        "right"),
    "siglip": (
        "SiglipModel", dict(text_config=dict(TEXT, projection_size=30), vision_config=VISION), "plain right"),
}

# Cases with a `config.v4.json`.
WITH_V4 = {
    "llama-gqa", "llama-llama3", "llama-linear", "gemma3", "gemma3-scaled", "qwen3-moe", "bert-mlm", "t5", "t5-v1-1",
}

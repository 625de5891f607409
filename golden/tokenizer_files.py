"""Tiny tokenizers of every kind, with the ids that `transformers` and `sentencepiece` give, and chat templates with the
texts that `apply_chat_template` makes of them.

usage: tokenizer_files.py FOLDER CORPUS

CORPUS holds `austen.txt` and `tang.txt`. Needs `transformers`, `sentencepiece`, `protobuf` and `tiktoken`. A folder a
tokenizer: its files (some share a vocabulary) and `golden.json`:

  ids       of every text of `texts.json`, without special tokens
  decoded   of those ids
  single    of the first text, with special tokens
  pair      of the first two texts, with special tokens: ids and type ids
  specials  a text that has special tokens in it, and its ids
"""
import base64
import json
import pathlib
import random
import shutil
import sys
import tempfile

import sentencepiece
import tokenizers
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

VOCAB = 600
TSV = [("\u3000", " "), ("\t", " "), ("\ufb01", "fi"), ("\u2026", "..."), ("\u00bd", "1/2")]
TSV += [(chr(0xFF01 + i), chr(0x21 + i)) for i in range(94)]


def texts():
    rng = random.Random(7)
    fixed = [
        "It is a truth universally acknowledged, that a single man in possession of a good fortune",
        "must be in want of a wife.",
        "",
        " ",
        "  two  spaces, three   spaces ",
        "line\nbreaks\r\n\n\nand\ttabs\t",
        "秦川雄帝宅,函谷壯皇居。綺殿千尋起",
        "mixed 中文 and English, 混合mixed文字",
        "emoji 😀👍🏽 👨‍👩‍👧‍👦 🇫🇷 end",
        "Crème brûlée naïve façade Ångström élan",
        "Cre\u0300me combining a\u0301\u0323 n\u0303",
        "ﬁne full ｗｉｄｔｈ ① ½ …",
        "don't can't we'll I'd they've it's 'S 'T",
        "1234567890 3.14159 1,000,000 2024-01-31",
        "control \x00\x01\x02\x1f\x7f chars \u200b\u200d\ufeff\u00ad",
        "ПРИВЕТ мир Ελληνικά עברית العربية हिन्दी ภาษาไทย 한국어 日本語かな",
        "UPPER lower MiXeD camelCase snake_case kebab-case",
        "def f(x):\n    return x ** 2  # square\n",
        "https://example.org/a?b=c&d=%20#e user@example.org",
        "``quoted'' \"text\" «guillemets» „low“ ‘single’",
        "a" * 40,
        "supercalifragilisticexpialidocious antidisestablishmentarianism",
        "▁metaspace ▁▁ in text",
        "<0x41> ##ing Ġword",
        "\u2028line sep\u2029para\u0085next",
        "İstanbul ſtraße ǅ Ω≈ç√",
    ]
    alphabet = "abcdefghij KLMNOP 0123 .,!?-'\"\n\té水火木😀\u0301ßжא\u3000"
    fixed += ["".join(rng.choice(alphabet) for _ in range(rng.randint(1, 30))) for _ in range(8)]
    fixed += ["".join(chr(rng.randint(1, 0x2FFF)) for _ in range(8)) for _ in range(2)]
    return fixed


TEXTS = texts()


def corpus(folder):
    austen = (folder / "austen.txt").read_text()[2000:90_000]
    tang = (folder / "tang.txt").read_text()[:6_000]
    return [line for line in (austen + tang).splitlines() if line]


def write(folder, name, value):
    (folder / name).write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


def golden(folder, tokenizer, specials):
    plain = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    pair = tokenizer(TEXTS[0], TEXTS[1], return_token_type_ids=True)
    write(folder, "golden.json", {
        "ids": plain,
        "decoded": [tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) for ids in plain],
        "single": tokenizer(TEXTS[0])["input_ids"],
        "pair": [pair["input_ids"], pair["token_type_ids"]],
        "specials": [specials, tokenizer(specials, add_special_tokens=False)["input_ids"]],
    })


def auto(folder, specials, shared=None, **config):
    write(folder, "tokenizer_config.json", config)
    with tempfile.TemporaryDirectory() as together:
        for files in filter(None, (shared, folder)):
            shutil.copytree(files, together, dirs_exist_ok=True)
        golden(folder, transformers.AutoTokenizer.from_pretrained(together), specials)


def wordpiece(root, lines):
    for name, config in (
        ("bert", {}),
        ("bert-cased", {"do_lower_case": False, "strip_accents": False, "tokenize_chinese_chars": False}),
    ):
        folder = root / name
        folder.mkdir(parents=True)
        lower = not config
        trained = tokenizers.BertWordPieceTokenizer(lowercase=lower, strip_accents=lower)
        trained.train_from_iterator(lines, vocab_size=VOCAB, min_frequency=2, limit_alphabet=200, show_progress=False)
        trained.save_model(str(folder))
        auto(folder, "fill the [MASK] in[SEP]", tokenizer_class="BertTokenizer", **config)


def byte_level(root, lines):
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    first = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>", "<|startoftext|>", "<|startoftranscript|>", "<|notimestamps|>"]
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, initial_alphabet=alphabet, special_tokens=first, show_progress=False)
    trained.train_from_iterator(lines, trainer)
    mask = {"__type": "AddedToken", "content": "<mask>", "lstrip": True, "normalized": False}
    kinds = {
        "gpt2": ("GPT2Tokenizer", "a<|endoftext|>b <|endoftext|>", {}),
        "gpt2-bos": ("GPT2Tokenizer", "a<|endoftext|>b", {"add_bos_token": True, "add_prefix_space": True}),
        "roberta": ("RobertaTokenizer", "fill the <mask> in</s>", {"mask_token": mask}),
        "qwen2": ("Qwen2Tokenizer", "a<|endoftext|>b", {}),
        "whisper": ("WhisperTokenizer", "<|startoftranscript|>a", {}),
    }
    shared = root / "byte-level"
    shared.mkdir(parents=True)
    trained.model.save(str(shared))
    for name, (kind, specials, config) in kinds.items():
        folder = root / name
        folder.mkdir(parents=True)
        auto(folder, specials, shared, tokenizer_class=kind, **config)
    folder = root / "clip"
    folder.mkdir(parents=True)
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    first = ["<|startoftext|>", "<|endoftext|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=1000, initial_alphabet=alphabet, special_tokens=first, end_of_word_suffix="</w>", show_progress=False
    )
    trained.train_from_iterator([line.lower() for line in lines], trainer)
    trained.model.save(str(folder))
    auto(folder, "a<|endoftext|>b", tokenizer_class="CLIPTokenizer")


def train_sentencepiece(path, lines, kind, **options):
    options = {"vocab_size": 500, "character_coverage": 0.98, "hard_vocab_limit": False, **options}
    tsv = path.parent / "rules.tsv"
    if "normalization_rule_name" not in options:
        rules = ["\t".join(" ".join(f"{ord(c):X}" for c in side) for side in rule) for rule in TSV]
        tsv.write_text("\n".join(rules) + "\n")
        options["normalization_rule_tsv"] = str(tsv)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(path.with_suffix("")), model_type=kind, minloglevel=2,
        num_threads=1, **options
    )
    path.with_suffix(".model").rename(path)
    path.with_suffix(".vocab").unlink()
    tsv.unlink(missing_ok=True)


def sentencepieces(root, lines):
    def folder(name):
        made = root / name
        made.mkdir(parents=True)
        return made

    made = folder("t5")
    train_sentencepiece(made / "spiece.model", lines, "unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    auto(made, "fill <extra_id_0> in</s>", tokenizer_class="T5Tokenizer", extra_ids=10)

    made = folder("albert")
    train_sentencepiece(
        made / "spiece.model", lines, "unigram", pad_id=0, unk_id=1, eos_id=-1, bos_id=-1,
        control_symbols="[CLS],[SEP],[MASK]",
    )
    auto(made, "fill [MASK] in[SEP]", tokenizer_class="AlbertTokenizer", do_lower_case=True)

    made = folder("xlm-roberta")
    train_sentencepiece(made / "sentencepiece.bpe.model", lines, "unigram")
    auto(made, "fill <mask> in</s>", tokenizer_class="XLMRobertaTokenizer")

    fallback = {"byte_fallback": True, "remove_extra_whitespaces": False, "normalization_rule_name": "identity"}
    shared = folder("llama-model")
    train_sentencepiece(shared / "tokenizer.model", lines, "bpe", vocab_size=VOCAB, split_digits=True, **fallback)
    made = folder("llama")
    auto(made, "a</s>b <s>", shared, tokenizer_class="LlamaTokenizer", add_bos_token=True, add_eos_token=False)

    made = folder("llama-legacy")
    auto(made, "a</s>b", shared, tokenizer_class="LlamaTokenizer", add_bos_token=True, add_eos_token=True, legacy=True)

    made = folder("gemma")
    train_sentencepiece(
        made / "tokenizer.model", lines, "bpe", vocab_size=VOCAB, pad_id=0, eos_id=1, bos_id=2, unk_id=3,
        pad_piece="<pad>", eos_piece="<eos>", bos_piece="<bos>", user_defined_symbols="<mask>,<start_of_turn>,\u2581\u2581",
        add_dummy_prefix=False, **fallback
    )
    auto(made, "<start_of_turn>a<eos>", tokenizer_class="GemmaTokenizer", add_bos_token=True)

    made = folder("marian")
    train_sentencepiece(made / "source.spm", lines[:800], "unigram", vocab_size=300)
    train_sentencepiece(made / "target.spm", lines[-20:] * 10, "unigram", vocab_size=400)
    pieces = []
    for name in ("source.spm", "target.spm"):
        processor = sentencepiece.SentencePieceProcessor(model_file=str(made / name))
        pieces += [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
    vocab = dict.fromkeys(["</s>", "<unk>", ">>fra<<"] + [p for p in pieces if p != "<s>"] + ["<pad>"])
    write(made, "vocab.json", {piece: i for i, piece in enumerate(vocab)})
    auto(made, ">>fra<< hello</s>", tokenizer_class="MarianTokenizer", source_lang="en", target_lang="fr")
    (made / "target.spm").unlink()

    for kind in ("unigram", "bpe"):
        made = folder(f"sentencepiece-{kind}")
        train_sentencepiece(made / "tokenizer.model", lines, kind)
        processor = sentencepiece.SentencePieceProcessor(model_file=str(made / "tokenizer.model"))
        ids = [processor.encode(text) for text in TEXTS]
        write(made, "golden.json", {"ids": ids, "decoded": [processor.decode(i).replace(" \u2047 ", "") for i in ids]})


def tiktokens(root, lines):
    folder = root / "tiktoken"
    folder.mkdir(parents=True)
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, initial_alphabet=alphabet, show_progress=False)
    trained.train_from_iterator(lines, trainer)
    from transformers.convert_slow_tokenizer import TikTokenConverter, bytes_to_unicode

    spelled = {char: byte for byte, char in bytes_to_unicode().items()}
    ranks = sorted((rank, bytes(spelled[c] for c in token)) for token, rank in trained.get_vocab().items())
    with open(folder / "tiny.tiktoken", "wb") as file:
        for rank, token in ranks:
            file.write(base64.b64encode(token) + f" {rank}\n".encode())
    tokenizer = TikTokenConverter(str(folder / "tiny.tiktoken")).converted()
    ids = [tokenizer.encode(text).ids for text in TEXTS]
    write(folder, "golden.json", {"ids": ids, "decoded": [tokenizer.decode(i) for i in ids]})


CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " Hello \n"},
        {"role": "assistant", "content": "Hi!"}, {"role": "user", "content": "水 <b> & 'q'?"}]
TEMPLATES = {
    "smollm2": "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "llama3": "{{- bos_token }}\n{%- if not date_string is defined %}\n    {%- if strftime_now is defined %}\n        {%- set date_string = '26 Jul 2024' %}\n    {%- endif %}\n{%- endif %}\n{%- if messages[0]['role'] == 'system' %}\n    {%- set system_message = messages[0]['content']|trim %}\n    {%- set messages = messages[1:] %}\n{%- else %}\n    {%- set system_message = '' %}\n{%- endif %}\n{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' }}\n{{- 'Today Date: ' + date_string + '\\n\\n' }}\n{{- system_message }}\n{{- '<|eot_id|>' }}\n{%- for message in messages %}\n    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}\n        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}\n    {%- elif message.role == 'tool' %}\n        {{- message.content | tojson }}\n    {%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n{%- endif %}\n",
    "qwen2.5": "{%- if tools %}\n    {{- '# Tools' }}\n{%- else %}\n    {%- if messages[0]['role'] == 'system' %}\n        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}\n    {%- else %}\n        {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}\n    {%- endif %}\n{%- endif %}\n{%- for message in messages %}\n    {%- if (message.role == \"user\") or (message.role == \"system\" and not loop.first) or (message.role == \"assistant\" and not message.tool_calls) %}\n        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}\n    {%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n{%- endif %}\n",
    "mistral": "{%- if messages[0]['role'] == 'system' %}\n    {%- set system_message = messages[0]['content'] %}\n    {%- set loop_messages = messages[1:] %}\n{%- else %}\n    {%- set loop_messages = messages %}\n{%- endif %}\n{{- bos_token }}\n{%- for message in loop_messages %}\n    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\n        {{- raise_exception('After the optional system message, conversation roles must alternate user/assistant/user/assistant/...') }}\n    {%- endif %}\n    {%- if message['role'] == 'user' %}\n        {%- if loop.first and system_message is defined %}\n            {{- ' [INST] ' + system_message + '\\n\\n' + message['content'] + ' [/INST]' }}\n        {%- else %}\n            {{- ' [INST] ' + message['content'] + ' [/INST]' }}\n        {%- endif %}\n    {%- elif message['role'] == 'assistant' %}\n        {{- ' ' + message['content'] + eos_token}}\n    {%- else %}\n        {{- raise_exception('Only user and assistant roles are supported, with the exception of an initial optional system message!') }}\n    {%- endif %}\n{%- endfor %}\n",
    "gemma": "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}",
    "generation": "{%- for message in messages %}\n  {%- if message.role == 'assistant' %}\n    {%- generation -%}\n    {{ message.content }}|\n    {%- endgeneration %}\n  {%- else %}\n{% generation %}\n{{ message.content }}\n{% endgeneration %}\n  {% endif %}\n{%- endfor %}\n",
    "python": "{% set ns = namespace(n=0) %}{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{% set ns.n = ns.n + 1 %}{{ m.content.strip().upper() }}|{{ m.content.split(' ')[-1] }}|{{ m.role.startswith('u') }}|{{ none }}|{{ m.get('x', 'y') }}|{{ m.items() | list | length }}\n{% endfor %}{{ ns.n }}{{ messages[:1] | tojson }}{{ messages[0] | tojson(indent=2) }}{{ 'é\\n\"</' | tojson }}{{ [1, 2.5, true, none] | tojson }}{{ messages | map(attribute='role') | join(',') }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ '%s-%d' | format('a', 3) }}{{ 'abc'[::-1] }}{{ messages[-1].role.title() }}{{ 'a' ~ 1 ~ true }}",
}


def chats(root):
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1}, unk_token="<s>")), bos_token="<s>", eos_token="</s>"
    )
    cases = []
    for name, template in TEMPLATES.items():
        for messages in (CHAT, CHAT[1:], CHAT[1:2], CHAT[:1] + CHAT[2:]):
            for prompt in (False, True):
                case = {"name": name, "messages": messages, "add_generation_prompt": prompt}
                try:
                    case["text"] = tokenizer.apply_chat_template(
                        messages, chat_template=template, add_generation_prompt=prompt, tokenize=False
                    )
                except Exception as error:
                    case["error"] = str(error)
                cases.append(case)
    root.mkdir(parents=True)
    write(root, "chat.json", {"templates": TEMPLATES, "cases": cases})


def main(root, corpus_folder):
    root = pathlib.Path(root)
    lines = corpus(pathlib.Path(corpus_folder))
    root.mkdir(parents=True, exist_ok=True)
    write(root, "texts.json", TEXTS)
    wordpiece(root, lines)
    byte_level(root, lines)
    sentencepieces(root, lines)
    tiktokens(root, lines)
    chats(root / "chat")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Conversations and pairs as `transformers` shows them to a model, and the losses of what is learned of them.

usage: dialogue.py [FOLDER]   fills FOLDER

`dialogue.json` has chat templates with `{% generation %}`, conversations with the ids and the mask of the assistant's
tokens that `apply_chat_template` gives of them, and, of committed models, rows of ids with `labels` (-100 where nothing
is learned), their summed loss and the length of its gradient. `tokenizer.json` is what the conversations are encoded with.
"""
import json
import pathlib
import sys

# The folder of this script has another's name in it.
sys.path = [path for path in sys.path if pathlib.Path(path or ".").resolve() != pathlib.Path(__file__).resolve().parent]

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

MODELS = pathlib.Path(__file__).resolve().parent.parent / "crates/models/tests/golden"
TEXT = "A user asks; the assistant answers: hello there, the old house is by the sea. " * 9
# Each as its models have it, with the marks of what is learned around it.
TEMPLATES = {
    "chatml": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}{% else %}{{ m.content + '<|im_end|>\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "llama2": "{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}{% elif m.role == "
    "'assistant' %}{% generation %}{{ ' ' + m.content + '<|im_end|>' }}{% endgeneration %}{% endif %}{% endfor %}",
}
CHATS = [
    [("user", "hello"), ("assistant", "hello there")],
    [("system", "be old"), ("user", "a house?"), ("assistant", "the old house is\nby the sea."), ("user", " and "),
     ("assistant", "\n it is, é 水")],
    [("user", ""), ("assistant", ""), ("user", "?"), ("assistant", "  ")],
]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def tokenizer(folder):
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    inner.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False))
    inner.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in SPECIAL])
    inner.save(str(folder / "tokenizer.json"))
    return transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), eos_token=SPECIAL[0])


def chats(tokenizer):
    for name, template in TEMPLATES.items():
        for turns in CHATS:
            messages = [{"role": role, "content": content} for role, content in turns]
            said = tokenizer.apply_chat_template(
                messages, chat_template=template, return_dict=True, return_assistant_tokens_mask=True
            )
            yield {"template": name, "messages": messages, "ids": said["input_ids"], "mask": said["assistant_masks"]}


def rows(generator, n_vocab, is_pair):
    for i in range(4):
        draw = lambda n: torch.randint(3, n_vocab, (n,), generator=generator).tolist()
        ids = draw(4 + 2 * i)
        if is_pair:
            yield {"ids": ids, "labels": draw(2 + (5 * i) % 7)}
        else:
            # Of the third nothing is learned, of the first everything but where it begins.
            is_learned = [i != 2 and (i == 0 or at % 3 > 0) for at in range(len(ids))]
            yield {"ids": ids, "labels": [id if is_ else -100 for id, is_ in zip(ids, is_learned)]}


def losses(name, is_pair):
    kind = transformers.AutoModelForSeq2SeqLM if is_pair else transformers.AutoModelForCausalLM
    model = kind.from_pretrained(MODELS / name, dtype=torch.float32).eval()
    drawn = list(rows(torch.Generator().manual_seed(5), model.config.vocab_size, is_pair))
    pad = lambda key, value: torch.tensor([r[key] + [value] * (max(len(o[key]) for o in drawn) - len(r[key])) for r in drawn])
    mask = (pad("ids", -1) >= 0).long()
    labels = pad("labels", -100)
    n = int((labels if is_pair else labels[:, 1:]).ne(-100).sum())
    loss = model(input_ids=pad("ids", 0), attention_mask=mask, labels=labels).loss * n
    loss.backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    return {"model": name, "rows": drawn, "n": n, "sum": loss.item(), "norm": sum(g.square().sum() for g in grads).sqrt().item()}


def near(name):
    """Losses of mean-pooled vectors as `sentence-transformers` defines them, summed over what is asked."""
    generator = torch.Generator().manual_seed(7)
    model = transformers.AutoModel.from_pretrained(MODELS / name, dtype=torch.float32).eval()
    draw = lambda n: torch.randint(3, model.config.vocab_size, (n,), generator=generator).tolist()
    drawn = [[draw(3 + (5 * i + 3 * j) % 7) for j in range(3 + i % 2)] for i in range(4)]
    # Of one, anchor and positive are there in another sample, too.
    drawn.append([drawn[1][0], drawn[1][1], draw(5)])
    embed = lambda ids: model(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(0)
    cases = {}
    for loss in ("contrast", "triplet", "cosine"):
        model.zero_grad()
        texts = [[embed(ids) for ids in row] for row in drawn]
        cos = torch.nn.functional.cosine_similarity
        if loss == "contrast":
            # `MultipleNegativesRankingLoss`, without candidates that are copies of what is right.
            total = 0.0
            for i, row in enumerate(texts):
                others = [(j, k) for j in range(len(drawn)) for k in range(1, len(drawn[j]))]
                kept = [(j, k) for j, k in others if (j, k) == (i, 1) or drawn[j][k] not in (drawn[i][0], drawn[i][1])]
                z = torch.stack([20 * cos(row[0], texts[j][k], dim=0) for j, k in kept])
                total = total - z.log_softmax(0)[kept.index((i, 1))]
        elif loss == "triplet":
            apart = lambda a, b: (a - b).square().sum().sqrt()
            total = sum(torch.relu(apart(r[0], r[1]) - apart(r[0], n) + 5) for r in texts for n in r[2:])
        else:
            total = sum((cos(r[0], r[1], dim=0) - 0.1 * i).square() for i, r in enumerate(texts))
        total.backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        cases[loss] = {"sum": total.item(), "norm": sum(g.square().sum() for g in grads).sqrt().item()}
    return {"model": name, "rows": drawn, "losses": cases}


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    cases = [losses(name, False) for name in ("gpt2-tiny", "llama-gqa", "qwen3")]
    cases += [losses(name, True) for name in ("t5", "t5-v1-1", "bart", "marian")]
    said = {"templates": TEMPLATES, "chats": list(chats(tokenizer(folder))), "losses": cases, "near": near("bert-base")}
    (folder / "dialogue.json").write_text(json.dumps(said, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "crates/train/tests/golden/dialogue"))

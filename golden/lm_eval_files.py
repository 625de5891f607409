"""A tiny model, tasks, and what lm-evaluation-harness makes of them.

usage: lm_eval_files.py FOLDER

Writes `model/` (a random LLaMA of 64 positions with a byte-level tokenizer and a chat template), a task file and a table for
each kind of request, and `lm_eval.json`: of each task its results and, of each document and request, what was asked and what
came. Tasks that end in `_chat` are asked in the words of the template. Few-shot examples are the first ones: which are drawn
else is not the same in another program.
"""
import json
import os
import pathlib
import sys

# The folder of this script has another's name in it.
sys.path = [path for path in sys.path if pathlib.Path(path or ".").resolve() != pathlib.Path(__file__).resolve().parent]

os.environ["HF_HUB_OFFLINE"] = "1"

import lm_eval
import torch
import yaml
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEXT = """It was a bright cold day in April, and the clocks were striking thirteen. The cat sat on the mat. The dog is in the
fog. A good question has one answer: yes or no. What is two and two? It is four. Emma was handsome, clever, and rich."""
CHAT = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CHOICES = [
    ("Where is the cat?", ["on the mat", "in the fog", "at four"], 0),
    ("Is it cold?", ["yes", "no"], 1),
    ("What is two and two? ", ["four", "five", "a cat", "two"], 0),
    ("Who was rich? " + TEXT, ["Emma", "the dog is"], 0),
    ("Où est le chat?", ["sur le tapis, là", "dans le brouillard"], 1),
]
COMMON = {"dataset_path": "json", "test_split": "test", "metadata": {"version": 1.0}}
TASKS = {
    "choice": dict(
        output_type="multiple_choice",
        description="Answer the question.\n\n",
        doc_to_text="Q: {{question.strip()}}\nA:",
        doc_to_choice="choices",
        doc_to_target="answer",
        fewshot_split="test",
        num_fewshot=1,
        fewshot_config={"sampler": "first_n"},
        metric_list=[{"metric": name} for name in ["acc", "acc_norm", "exact_match"]],
    ),
    "yes": dict(
        output_type="multiple_choice",
        doc_to_text="{{text}}",
        doc_to_choice='{{["no", "yes it is", "maybe"]}}',
        doc_to_target="{{label}}",
        target_delimiter="",
        metric_list=[{"metric": "acc"}, {"metric": "mcc", "aggregation": "matthews_corrcoef"}],
    ),
    "last": dict(output_type="loglikelihood", doc_to_text="text", doc_to_target="{{last}}"),
    "whole": dict(output_type="loglikelihood_rolling", doc_to_text="", doc_to_target="page"),
    "write": dict(
        output_type="generate_until",
        doc_to_text="{{text}}",
        doc_to_target="{{target}}",
        generation_kwargs={"until": ["\n", " the"], "max_gen_toks": 12, "do_sample": False, "temperature": 0.0},
        filter_list=[
            {"name": "letter", "filter": [{"function": "regex", "regex_pattern": "([a-z])"}, {"function": "take_first"}]},
            {"name": "plain", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]},
        ],
        metric_list=[{"metric": "exact_match", "ignore_case": True, "ignore_punctuation": True}],
    ),
}
TASKS["choice_chat"] = dict(TASKS["choice"], num_fewshot=1, gen_prefix="The answer is")


def tables():
    lines = [line.strip() for line in TEXT.replace("\n", " ").split(". ")]
    yield "choice", [dict(question=q, choices=c, answer=a) for q, c, a in CHOICES]
    yield "yes", [dict(text=line, label=at % 3) for at, line in enumerate(lines)]
    cut = [line.rsplit(" ", 2) for line in lines + [TEXT]]
    rows = [dict(text=" ".join(words[:-1]), last=" " + words[-1]) for words in cut]
    yield "last", rows + [dict(text="", last="The cat sat"), dict(text="It was  ", last="cold"), dict(text="ab", last="cd ef")]
    yield "whole", [dict(page=text) for text in ["It was.", lines[0] + "\n", TEXT, " " + TEXT + TEXT, "là \U0001f600 là"]]
    yield "write", [dict(text=line, target="a") for line in lines + [TEXT]]
    yield "choice_chat", [dict(question=q, choices=c, answer=a) for q, c, a in CHOICES]


def model(folder):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|begin|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=340, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator([TEXT] * 4, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|begin|>", eos_token="<|end|>", pad_token="<|end|>")
    fast.chat_template = CHAT
    fast.save_pretrained(folder)
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=64, bos_token_id=0, eos_token_id=1, tie_word_embeddings=True, initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return fast


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    model(folder / "model")
    os.chdir(folder)
    for name, rows in tables():
        with open(f"{name}.jsonl", "w") as out:
            out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        task = dict(task=name, **COMMON, **TASKS[name], dataset_kwargs={"data_files": {"test": f"{name}.jsonl"}})
        with open(f"{name}.yaml", "w") as out:
            yaml.safe_dump(task, out, sort_keys=False, allow_unicode=True)
    lm = HFLM(pretrained=str(folder / "model"), device="cpu", dtype="float32", batch_size=4)
    tasks = TaskManager(include_path=str(folder), include_defaults=False)
    out = {}
    for chat in [False, True]:
        names = [name for name in TASKS if name.endswith("_chat") == chat]
        found = lm_eval.simple_evaluate(
            model=lm, tasks=names, task_manager=tasks, log_samples=True, apply_chat_template=chat, fewshot_as_multiturn=chat,
            bootstrap_iters=0,
        )
        for name in names:
            results = {key: value for key, value in found["results"][name].items() if isinstance(value, float) and "stderr" not in key}
            samples = {}
            for sample in found["samples"][name]:
                asked = [list(call.values()) for call in sample["arguments"].values()] if isinstance(sample["arguments"], dict) else sample["arguments"]
                asked = [[text for text in call if isinstance(text, str)] for call in asked]
                came = [reply[0] for reply in sample["resps"]]
                samples[sample["doc_id"]] = dict(asked=asked, came=came)
            out[name] = dict(results=results, samples=[samples[at] for at in sorted(samples)])
    with open("lm_eval.json", "w") as file:
        json.dump(out, file, indent=1, ensure_ascii=False, default=float)
        file.write("\n")


main(pathlib.Path(sys.argv[1]).resolve())

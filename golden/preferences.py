"""Losses of preferences over the tiny GPT-2 of `gpt2.py`, as PyTorch differentiates their equations.

usage: preferences.py FOLDER

Writes `io.safetensors`:

  prompts, chosen, rejected   [6, 7] I64, -1 behind the last token of each
  reference.WHICH             [6, 7]: log-probabilities of answers that losses are anchored to: the model's own with
                              noise; WHICH is chosen, rejected, or other: prompt i with the chosen answer of i - 1
  LOSS, LOSS.grad.NAME        [1], of the mean over the pairs (`grouped`: over the tokens of all chosen answers), and
                              the gradient of two tables by their external names
  dpo.rewards                 [2, 6], of chosen and rejected answers
  advantages                  [6], of `grouped`
  train.losses, train.margins [50]: steps of DPO from the model, which is its own reference, three pairs a batch

Equations are those of the papers and of `trl` 1.16 (its experimental ORPO and CPO, too), where `orpo`'s first term is
the mean of the answer's tokens alone, as in the paper: `trl` takes the prompt in. KTO has the odd pairs' rejected
answers as bad ones, and weights 1.5 and 0.5. Training is AdamW, lr 1e-3, betas 0.9 and 0.95, eps 1e-8, no decay, the
gradient's norm clipped at 1.
"""
import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import GPT2LMHeadModel

MODEL = pathlib.Path(__file__).resolve().parent.parent / "crates/models/tests/golden/gpt2-tiny"
N, LEN, STEPS, AT_ONCE = 6, 7, 50, 3
LEARNED = ("transformer.wte.weight", "transformer.wpe.weight")


def texts(generator):
    """Random tokens of random length, one at least; -1 behind them."""
    ids = torch.randint(1, 101, (N, LEN), generator=generator)
    lens = torch.randint(1, LEN + 1, (N, 1), generator=generator)
    return torch.where(torch.arange(LEN) < lens, ids, -1)


def log_probs(model, prompts, answers):
    """[N, LEN], 0 behind each answer; one text at a time, so that nothing is padded."""
    rows = []
    for prompt, answer in zip(prompts, answers):
        prompt, answer = prompt[prompt >= 0], answer[answer >= 0]
        logits = model(torch.cat([prompt, answer])[None]).logits[0]
        found = logits.log_softmax(-1)[len(prompt) - 1 : -1].gather(1, answer[:, None])[:, 0]
        rows.append(F.pad(found, (0, LEN - len(answer))))
    return torch.stack(rows)


def losses(model, prompts, answers, reference, advantages):
    log_p = {which: log_probs(model, prompts, ids) for which, ids in answers.items()}
    count = {which: (ids >= 0).sum(1) for which, ids in answers.items()}
    total = {which: p.sum(1) for which, p in log_p.items()}
    gain = {which: (p - reference[which]).sum(1) for which, p in log_p.items()}
    mean = {which: total[which] / count[which] for which in total}
    odds = {which: m - torch.log1p(-m.exp()) for which, m in mean.items()}
    apart = gain["chosen"] - gain["rejected"]
    found = {
        "dpo": -0.9 * F.logsigmoid(0.3 * apart) - 0.1 * F.logsigmoid(-0.3 * apart),
        "ipo": (gain["chosen"] / count["chosen"] - gain["rejected"] / count["rejected"] - 1 / (2 * 0.4)) ** 2,
        "orpo": -mean["chosen"] - 0.25 * F.logsigmoid(odds["chosen"] - odds["rejected"]),
        "simpo": -F.logsigmoid(2.0 * (mean["chosen"] - mean["rejected"]) - 0.5),
    }
    is_good = torch.arange(N) % 2 == 0
    kl = gain["other"].mean().detach().clamp(min=0)
    good = 1.5 * (1 - torch.sigmoid(0.3 * (gain["chosen"] - kl)))
    bad = 0.5 * (1 - torch.sigmoid(0.3 * (kl - gain["rejected"])))
    found["kto"] = torch.where(is_good, good, bad)
    p, p0, is_asked = log_p["chosen"], reference["chosen"], answers["chosen"] >= 0
    ratio = torch.exp(p - p.detach())
    clipped = ratio.clamp(0.8, 1.2)
    policy = -torch.min(ratio * advantages[:, None], clipped * advantages[:, None])
    tokens = policy + 0.04 * (torch.exp(p0 - p) - (p0 - p) - 1)
    found["grouped"] = tokens[is_asked]
    rewards = 0.3 * torch.stack([gain["chosen"], gain["rejected"]])
    return {name: loss.mean() for name, loss in found.items()}, rewards


def train(model, prompts, answers):
    sums = lambda rows: {
        which: log_probs(model, prompts[rows], answers[which][rows]).sum(1) for which in ("chosen", "rejected")
    }
    batches = [torch.arange(first, first + AT_ONCE) for first in range(0, N, AT_ONCE)]
    with torch.no_grad():
        start = [sums(rows) for rows in batches]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    found, margins = [], []
    for step in range(STEPS):
        now, before = sums(batches[step % 2]), start[step % 2]
        rewards = {which: 0.1 * (now[which] - before[which]) for which in now}
        apart = rewards["chosen"] - rewards["rejected"]
        loss = -F.logsigmoid(apart).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        found.append(loss.item())
        margins.append(apart.mean().item())
    return torch.tensor(found), torch.tensor(margins)


def main(folder):
    torch.set_num_threads(1)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model = GPT2LMHeadModel.from_pretrained(MODEL, attn_implementation="eager", dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(5)
    prompts, chosen, rejected = (texts(generator) for _ in range(3))
    answers = {"chosen": chosen, "rejected": rejected, "other": chosen.roll(1, 0)}
    noise = lambda: 0.6 * torch.randn((N, LEN), generator=generator) - 0.2
    with torch.no_grad():
        own = {which: log_probs(model, prompts, ids) for which, ids in answers.items()}
    reference = {which: torch.where(answers[which] >= 0, p + noise(), 0.0) for which, p in own.items()}
    advantages = torch.randn(N, generator=generator)
    tensors = {"prompts": prompts, "chosen": chosen, "rejected": rejected, "advantages": advantages}
    tensors |= {f"reference.{which}": p for which, p in reference.items()}
    found, tensors["dpo.rewards"] = losses(model, prompts, answers, reference, advantages)
    for name, loss in found.items():
        model.zero_grad()
        loss.backward(retain_graph=True)
        tensors[name] = loss.reshape(1)
        parameters = dict(model.named_parameters())
        tensors |= {f"{name}.grad.{key}": parameters[key].grad.clone() for key in LEARNED}
    tensors["train.losses"], tensors["train.margins"] = train(model, prompts, answers)
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    save_file(tensors, folder / "io.safetensors")


if __name__ == "__main__":
    main(sys.argv[1])

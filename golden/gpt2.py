"""A tiny random GPT-2 and what `transformers` computes with it.

usage: gpt2.py FOLDER

Writes `config.json` and `model.safetensors` (as `save_pretrained` does) and `io.safetensors`:

  input_ids               [2, 17] I64
  logits                  [2, 17, 101]
  hidden_states.0 .. 2    [2, 17, 48]: the embedding, after block 0, after the last norm
  loss                    [1]: mean cross entropy of the next token over [2, 16]
  grad.NAME               gradient of `loss` by every parameter, under its external name
  train.input_ids         [50, 2, 17] I64, one batch a step
  train.losses            [50]: each before its step
  train.grad_norms        [50]: each before clipping
  rates.losses, rates.grad_norms
                          [20] of the same, where each block learns at 0.6 of the rate of what is above
                          it, and the embeddings at 0.6 of that of block 0

Training starts from the weights of `model.safetensors`: AdamW, lr 1e-3, betas 0.9 and 0.95, eps 1e-8,
weight decay 0.1 on matrices (embeddings included) and 0 on vectors, gradient norm clipped at 1.

Every parameter is moved off its initial value, so that biases and norm weights count.
"""
import copy
import sys

import torch
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel

STEPS = 50


def build():
    config = GPT2Config(
        vocab_size=101, n_positions=32, n_embd=48, n_layer=2, n_head=3, initializer_range=0.15,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )
    torch.manual_seed(7)
    model = GPT2LMHeadModel._from_config(config, attn_implementation="eager", dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def batches(generator):
    """Sequences with something to learn: each token is mostly a fixed function of the last."""
    table = torch.randperm(101, generator=generator)
    ids = torch.randint(0, 101, (STEPS + 1, 2, 17), generator=generator)
    for t in range(1, 17):
        kept = torch.rand(ids.shape[:2], generator=generator) < 0.8
        ids[..., t] = torch.where(kept, table[ids[..., t - 1]], ids[..., t])
    return ids


def depth(name):
    """How many steps below the head a parameter is, of two blocks."""
    if ".wte." in name or ".wpe." in name:
        return 3
    return 2 - int(name.split(".")[2]) if ".h." in name else 0


def train(model, ids, decay=1.0):
    groups = [
        {"params": [p], "weight_decay": 0.1 if p.dim() >= 2 else 0.0, "lr": 1e-3 * decay ** depth(name)}
        for name, p in model.named_parameters()
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
    losses, norms = [], []
    for batch in ids:
        loss = model(batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses), torch.tensor(norms)


def main(folder):
    torch.set_num_threads(1)
    model = build()
    model.save_pretrained(folder)
    ids = batches(torch.Generator().manual_seed(11))
    output = model(ids[0], labels=ids[0], output_hidden_states=True)
    output.loss.backward()
    tensors = {"input_ids": ids[0], "logits": output.logits, "loss": output.loss.reshape(1)}
    for idx, hidden in enumerate(output.hidden_states):
        tensors[f"hidden_states.{idx}"] = hidden
    for name, parameter in model.named_parameters():
        tensors[f"grad.{name}"] = parameter.grad
    tensors = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    tensors["train.input_ids"] = ids[1:]
    start = copy.deepcopy(model)
    tensors["train.losses"], tensors["train.grad_norms"] = train(model, ids[1:])
    tensors["rates.losses"], tensors["rates.grad_norms"] = train(start, ids[1:21], 0.6)
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(tensors, f"{folder}/io.safetensors")


if __name__ == "__main__":
    main(sys.argv[1])

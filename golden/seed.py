"""A tiny random `TransformerModel` and what PyTorch computes with it.

usage: seed.py FOLDER

Writes `config.json`, `model.safetensors` (the `state_dict`, every name) and `io.safetensors`, in eval mode:

  src       [17, 3] I64, time first
  output    [17, 3, 32]

The two classes are the specification, word for word.
"""
import json
import sys

import torch
import torch.nn as nn
import math

from safetensors.torch import save_file

class PositionalEncoding(nn.Module):
    def __init__(self, d_model, dropout=0.1, max_len=5000):
        super(PositionalEncoding, self).__init__()
        self.dropout = nn.Dropout(p=dropout)

        pe = torch.zeros(max_len, d_model)
        position = torch.arange(0, max_len, dtype=torch.float).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2).float() * (-math.log(10000.0) / d_model))
        pe[:, 0::2] = torch.sin(position * div_term)
        pe[:, 1::2] = torch.cos(position * div_term)
        pe = pe.unsqueeze(0).transpose(0, 1)
        self.register_buffer('pe', pe)

    def forward(self, x):
        x = x + self.pe[:x.size(0), :]
        return self.dropout(x)

class TransformerModel(nn.Module):
    def __init__(self, vocab_size, d_model=512, nhead=8, num_layers=6, dropout=0.1):
        super(TransformerModel, self).__init__()
        self.model_type = 'Transformer'
        self.src_mask = None
        self.pos_encoder = PositionalEncoding(d_model, dropout)
        encoder_layers = nn.TransformerEncoderLayer(d_model, nhead, dim_feedforward=2048, dropout=dropout)
        self.transformer_encoder = nn.TransformerEncoder(encoder_layers, num_layers)
        self.encoder = nn.Embedding(vocab_size, d_model)
        self.d_model = d_model
        self.init_weights()

    def init_weights(self):
        initrange = 0.1
        self.encoder.weight.data.uniform_(-initrange, initrange)

    def forward(self, src):
        if self.src_mask is None or self.src_mask.size(0) != len(src):
            device = src.device
            mask = self.generate_square_subsequent_mask(len(src)).to(device)
            self.src_mask = mask

        src = self.encoder(src) * math.sqrt(self.d_model)
        src = self.pos_encoder(src)
        output = self.transformer_encoder(src, self.src_mask)
        return output

    def generate_square_subsequent_mask(self, sz):
        mask = (torch.triu(torch.ones(sz, sz)) == 1).transpose(0, 1)
        mask = mask.float().masked_fill(mask == 0, float('-inf')).masked_fill(mask == 1, float(0.0))
        return mask


CONFIG = {
    "model_type": "seed_transformer", "vocab_size": 53, "d_model": 32, "nhead": 4, "num_layers": 2, "dropout": 0.2,
}


def build(config):
    return TransformerModel(**{key: value for key, value in config.items() if key != "model_type"})


def main(folder):
    torch.set_num_threads(1)
    torch.manual_seed(7)
    model = build(CONFIG).eval()
    with torch.no_grad():  # off their initial values, so that biases and norm weights count
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
        src = torch.randint(0, CONFIG["vocab_size"], (17, 3))
        output = model(src)
    with open(f"{folder}/config.json", "w") as file:
        file.write(json.dumps(CONFIG, indent=2) + "\n")
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, f"{folder}/model.safetensors", metadata={"format": "pt"})
    save_file({"src": src, "output": output.contiguous()}, f"{folder}/io.safetensors")


if __name__ == "__main__":
    main(sys.argv[1])

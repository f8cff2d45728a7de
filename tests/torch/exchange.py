#!/usr/bin/python3
"""exchange.py write DIR: random modules, their state_dict, and what they compute of an input.
exchange.py check DIR: whether the program `exchange` computed the same with these weights, and whether the modules do
with those that it wrote."""
import itertools
import sys

import torch
from safetensors.torch import load_file, save_file

SEQUENCE = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
FORMS = {"": {}, "_both": {"bidirectional": True}, "_stacked": {"num_layers": 3},
         "_stacked_both": {"num_layers": 2, "bidirectional": True}}


class Model(torch.nn.Module):
    """Embedding, recurrent layers, LayerNorm, Linear and a tensor of its own."""

    def __init__(self, make, options):
        super().__init__()
        self.emb = torch.nn.Embedding(7, 3)
        self.rnn = make(3, 5, batch_first=True, **options)
        width = 10 if options.get("bidirectional") else 5
        self.tail = torch.nn.Sequential(torch.nn.LayerNorm(width), torch.nn.Linear(width, 4))
        self.scale = torch.nn.Parameter(torch.empty(4))

    def forward(self, x):
        return self.tail(self.rnn(self.emb(x))[0]) * self.scale


def cases():
    """Name, how to make the module, and one with random weights."""
    for (kind, make), (form, options) in itertools.product(SEQUENCE.items(), FORMS.items()):
        torch.manual_seed(len(kind + form))
        model = Model(make, options).double()
        with torch.no_grad():
            for w in model.parameters():
                w.normal_(0, 0.5)
        yield kind + form, lambda: Model(make, options).double(), model


def computed(model, x, dy):
    model.zero_grad()
    y = model(x)
    y.backward(dy)
    return {"y": y.detach(), **{name: w.grad for name, w in model.named_parameters()}}


def close(a, b):
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-12, atol=1e-14)


def write(folder):
    for name, _, model in cases():
        save_file(model.state_dict(), f"{folder}/{name}.weights")
        given = {"x": torch.randint(7, (2, 6)), "dy": torch.randn(2, 6, 4, dtype=torch.float64)}
        save_file(given, f"{folder}/{name}.input")


def check(folder):
    wrong = compared = 0
    for name, fresh, model in cases():
        given = load_file(f"{folder}/{name}.input")
        answers, gradients = load_file(f"{folder}/{name}.y"), load_file(f"{folder}/{name}.gradients")
        written = fresh()
        written.load_state_dict(load_file(f"{folder}/{name}.saved"), strict=True)
        for what, each in (("read", model), ("written", written)):
            expected = computed(each, given["x"], given["dy"])
            pairs = {"y": (answers["y"], expected.pop("y"))}
            for key, value in expected.items():
                # Of two biases that are added up retrace has one, whose gradient is that of either.
                if "bias_hh" not in key:
                    pairs[key] = (gradients[key], value)
                elif name.startswith("gru"):
                    pairs[key] = (gradients[key][10:], value[10:])
            for key, (a, b) in pairs.items():
                compared += 1
                if not close(a, b):
                    print(f"{name}, weights {what}: {key} differs")
                    wrong += 1
    print(f"{compared} outputs and gradients compared, {wrong} differ")
    return 0 if compared > 200 and not wrong else 1


if __name__ == "__main__":
    sys.exit({"write": write, "check": check}[sys.argv[1]](sys.argv[2]))

#!/usr/bin/python3
"""Writes the PyTorch reference data next to this script; README.md describes each file.

    /usr/bin/python3 make_fixtures.py           write *.safetensors
    /usr/bin/python3 make_fixtures.py --check   compare with the files that are there

The inputs come from Python's own generator, seeded by the case's name and rounded to four decimals, so they are the
same everywhere and adding a case changes no other. Results may differ in the last bits on another CPU or BLAS.
"""
import array
import itertools
import json
import math
import os
import pathlib
import random
import struct
import sys

os.environ["ATEN_CPU_CAPABILITY"] = "default"  # the scalar kernels: the same bits on more machines
import torch
import torch.nn.functional as F

torch.set_num_threads(1)
f32, f64, i64 = torch.float32, torch.float64, torch.int64
HERE = pathlib.Path(__file__).resolve().parent
FORMATS = {f32: ("F32", "f"), f64: ("F64", "d"), i64: ("I64", "q")}  # dtype: name in the header, array typecode


class Draw:
    """Deterministic inputs, from a seed that names the case."""

    def __init__(self, seed, dtype=f64):
        self.random, self.dtype = random.Random(seed), dtype

    def normal(self, *shape, scale=1.0):
        values = [round(scale * self.random.gauss(0, 1), 4) for _ in range(math.prod(shape))]
        return torch.tensor(values, dtype=self.dtype).reshape(shape)

    def positive(self, *shape):
        values = [round(self.random.uniform(0.2, 3), 4) for _ in range(math.prod(shape))]
        return torch.tensor(values, dtype=self.dtype).reshape(shape)

    def ints(self, high, *shape):
        return torch.tensor([self.random.randrange(high) for _ in range(math.prod(shape))]).reshape(shape)


class Fixture:
    """The tensors and metadata of one file."""

    def __init__(self):
        self.tensors, self.metadata = {}, {}

    def put(self, prefix, finite=True, **tensors):
        for name, tensor in tensors.items():
            assert f"{prefix}.{name}" not in self.tensors, (prefix, name)
            assert not finite or tensor.isfinite().all(), (prefix, name)
            self.tensors[f"{prefix}.{name}"] = tensor.detach().clone()

    def describe(self, key, **attributes):
        self.metadata[key] = json.dumps(attributes, sort_keys=True)

    def encode(self):
        """The safetensors bytes: eight-byte types first, then by name, so that everything is aligned without holes."""
        assert sys.byteorder == "little"
        header, data = {"__metadata__": dict(sorted(self.metadata.items()))}, b""
        for name, tensor in sorted(self.tensors.items(), key=lambda item: (item[1].dtype == f32, item[0])):
            dtype, typecode = FORMATS[tensor.dtype]
            raw = array.array(typecode, tensor.flatten().tolist()).tobytes()
            offsets = [len(data), len(data) + len(raw)]
            header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": offsets}
            data += raw
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + data


def simple_rnn(w_x, w_h, b, b_hh=None):
    """A torch.nn.RNN with retrace's weights; `b` is bias_ih and bias_hh is `b_hh`, or zero and fixed."""
    rnn = torch.nn.RNN(*w_x.shape, nonlinearity="tanh", batch_first=True).to(w_x.dtype)
    with torch.no_grad():
        rnn.weight_ih_l0.copy_(w_x.T)
        rnn.weight_hh_l0.copy_(w_h.T)
        rnn.bias_ih_l0.copy_(b)
        rnn.bias_hh_l0.copy_(torch.zeros_like(b) if b_hh is None else b_hh)
    rnn.bias_hh_l0.requires_grad_(b_hh is not None)
    return rnn


def draw_rnn(draw, features, units):
    return (draw.normal(features, units, scale=features**-0.5), draw.normal(units, units, scale=units**-0.5),
            draw.normal(units, scale=0.5))


def rnn_gradients(rnn):
    return {"dw_x": rnn.weight_ih_l0.grad.T, "dw_h": rnn.weight_hh_l0.grad.T, "db": rnn.bias_ih_l0.grad}


def make_rnn():
    out = Fixture()
    sizes = [(1, 3, 2, 4), (2, 5, 3, 4), (3, 1, 2, 5), (4, 7, 6, 8)]
    cases = [(*case, f64) for case in itertools.product(sizes, (False, True))] + [((4, 7, 6, 8), True, f32)]
    for k, ((batch, steps, features, units), with_h0, dtype) in enumerate(cases):
        draw = Draw(f"rnn/case{k}", dtype)
        w_x, w_h, b_ih = draw_rnn(draw, features, units)
        b_hh = draw.normal(units, scale=0.5)
        rnn = simple_rnn(w_x, w_h, b_ih, b_hh)
        x = draw.normal(batch, steps, features).requires_grad_()
        h0 = draw.normal(batch, units, scale=0.5).requires_grad_() if with_h0 else None
        y, h_n = rnn(x, h0[None] if with_h0 else None)
        dy, dh = draw.normal(*y.shape), draw.normal(batch, units)
        ((y * dy).sum() + (h_n[0] * dh).sum()).backward()
        assert torch.allclose(rnn.bias_ih_l0.grad, rnn.bias_hh_l0.grad)
        out.put(f"case{k}", x=x, w_x=w_x, w_h=w_h, b=b_ih + b_hh, y=y, h_n=h_n[0], dy=dy, dh=dh, dx=x.grad,
                **({"h0": h0, "dh0": h0.grad} if with_h0 else {}), **rnn_gradients(rnn))
        out.describe(f"case{k}", batch=batch, steps=steps, features=features, units=units, h0=with_h0)

    # Truncated backpropagation through time: the state is detached between the chunks, the weights stay. `full` is what
    # the same two losses give without the detaching.
    for k, (batch, steps, cut, features, units) in enumerate([(2, 6, 3, 3, 4), (3, 7, 5, 2, 6)]):
        draw = Draw(f"rnn/tbptt{k}")
        weights = draw_rnn(draw, features, units)
        x, target = draw.normal(batch, steps, features), draw.normal(batch, steps, units, scale=0.5)
        h0 = draw.normal(batch, units, scale=0.5)
        out.put(f"tbptt{k}", x=x, target=target, h0=h0, **dict(zip(("w_x", "w_h", "b"), weights)))
        out.describe(f"tbptt{k}", batch=batch, steps=steps, cut=cut, features=features, units=units)

        rnn, h = simple_rnn(*weights), h0[None]
        for i, part in enumerate((slice(0, cut), slice(cut, steps))):
            rnn.zero_grad(set_to_none=True)
            x_part = x[:, part].clone().requires_grad_()
            y, h = rnn(x_part, h)
            loss = F.mse_loss(y, target[:, part])
            loss.backward()
            h = h.detach()
            out.put(f"tbptt{k}.chunk{i}", y=y, h_n=h[0], loss=loss, dx=x_part.grad, **rnn_gradients(rnn))

        rnn, x = simple_rnn(*weights), x.clone().requires_grad_()
        y, _ = rnn(x, h0[None])
        (F.mse_loss(y[:, :cut], target[:, :cut]) + F.mse_loss(y[:, cut:], target[:, cut:])).backward()
        out.put(f"tbptt{k}.full", dx=x.grad, **rnn_gradients(rnn))
    return out


def descend(out, name, make, v_has_grad, dtype, before_step=lambda optimizer, t: None):
    """A path of an optimizer on the same problem in every case: parameters w and v, each with a target and scales."""
    draw = Draw("sgd", dtype)
    problem = {f"{p}_{role}": (draw.positive if role == "scale" else draw.normal)(*shape)
               for p, shape in (("w", (5,)), ("v", (2, 3))) for role in ("start", "target", "scale")}
    params = {p: problem[f"{p}_start"].clone().requires_grad_() for p in "wv"}
    optimizer = make(params)
    path = {"w": [], "v": []}
    for t, has_grad in enumerate(v_has_grad):
        before_step(optimizer, t)
        optimizer.zero_grad(set_to_none=True)
        sum(0.5 * ((params[p] - problem[f"{p}_target"])**2 * problem[f"{p}_scale"]).sum() for p in "wv").backward()
        if not has_grad:
            params["v"].grad = None
        optimizer.step()
        for p in "wv":
            path[p].append(params[p].detach().clone())
    out.put(name, **problem, w=torch.stack(path["w"]), v=torch.stack(path["v"]), v_has_grad=torch.tensor(v_has_grad))


STEPS = 20
ALWAYS, SOMETIMES = [1] * STEPS, [int(t not in (0, 1, 5, 6, 7, 13)) for t in range(STEPS)]


def recurrent_weights(module, gradients=False):
    """Weights or gradients of a recurrent module under retrace's names and in its layout."""
    out, units = {}, module.hidden_size
    of = lambda name: getattr(module, name).grad if gradients else getattr(module, name).detach()
    for layer in range(module.num_layers):
        for side, suffix in (("forward.", ""), ("backward.", "_reverse")) if module.bidirectional else (("", ""),):
            prefix = (f"{layer}." if module.num_layers > 1 else "") + side
            w_ih, w_hh, b_ih, b_hh = (of(f"{kind}_l{layer}{suffix}")
                                      for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
            shared = 2 * units if isinstance(module, torch.nn.GRU) else len(b_ih)  # biases that are only added up
            b = b_ih.clone()
            if gradients:
                assert torch.allclose(b_ih[:shared], b_hh[:shared])
            else:
                b[:shared] += b_hh[:shared]
            out.update({f"{prefix}w_x": w_ih.T, f"{prefix}w_h": w_hh.T, f"{prefix}b": b})
            if shared < len(b):
                out[f"{prefix}b_hn"] = b_hh[shared:]
    return out


def make_layers():
    out = Fixture()
    sizes = [(1, 3, 2, 4), (3, 5, 3, 4), (4, 7, 6, 5)]
    kinds = {"SimpleRNN": torch.nn.RNN, "GRU": torch.nn.GRU, "LSTM": torch.nn.LSTM}
    forms = {  # layers, whether both ways, sizes, given state, lengths
        "plain": (1, False, sizes[0], False, None), "state": (1, False, sizes[2], True, None),
        "lengths": (1, False, sizes[2], True, [3, 7, 1, 6]), "both": (1, True, sizes[1], True, None),
        "both_lengths": (1, True, sizes[2], False, [3, 7, 1, 6]), "stacked": (2, False, sizes[1], True, None),
        "stacked_both_lengths": (2, True, sizes[1], True, [2, 5, 4])}
    for (kind, make), (form, options) in itertools.product(kinds.items(), forms.items()):
        layers, both, (batch, steps, features, units), with_state, lengths = options
        name = f"{kind}.{form}"
        draw = Draw(f"layers/{name}")
        module = make(features, units, layers, batch_first=True, bidirectional=both).double()
        with torch.no_grad():
            for w in module.parameters():
                w.copy_(draw.normal(*w.shape, scale=0.5))
        x = draw.normal(batch, steps, features).requires_grad_()
        starts = {s: draw.normal(layers * (1 + both), batch, units, scale=0.5).requires_grad_()
                  for s in ("hc" if kind == "LSTM" else "h")}
        given = (tuple(starts.values()) if kind == "LSTM" else starts["h"]) if with_state else None
        if lengths:
            packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), True, enforce_sorted=False)
            y, ends = module(packed, given)
            y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, True, total_length=steps)
            out.put(name, lengths=torch.tensor(lengths))
        else:
            y, ends = module(x, given)
        ends = dict(zip("hc", ends if kind == "LSTM" else (ends,)))
        dy, dends = draw.normal(*y.shape), {s: draw.normal(*end.shape) for s, end in ends.items()}
        ((y * dy).sum() + sum((ends[s] * dends[s]).sum() for s in ends)).backward()
        out.put(name, x=x, y=y, dy=dy, dx=x.grad, **recurrent_weights(module))
        out.put(name, **{f"d{w}": g for w, g in recurrent_weights(module, gradients=True).items()})
        for s in ends:
            out.put(name, **{f"{s}_n": ends[s], f"d{s}_n": dends[s]})
            if with_state:
                out.put(name, **{f"{s}0": starts[s], f"d{s}0": starts[s].grad})
        out.describe(name, kind=kind, form=form)

    for k, (shape, eps) in enumerate([((3, 5), 1e-5), ((2, 3, 4), 0.1), ((6,), 1e-5)]):
        draw = Draw(f"layers/LayerNorm.{k}")
        module = torch.nn.LayerNorm(shape[-1], eps).double()
        with torch.no_grad():
            for w in module.parameters():
                w.copy_(draw.normal(*w.shape))
        x = draw.normal(*shape, scale=2.0).requires_grad_()
        y = module(x)
        dy = draw.normal(*shape)
        y.backward(dy)
        out.put(f"LayerNorm.{k}", x=x, y=y, dy=dy, dx=x.grad, w=module.weight, b=module.bias, dw=module.weight.grad,
                db=module.bias.grad)
        out.describe(f"LayerNorm.{k}", kind="LayerNorm", eps=eps)
    return out


def make_sgd():
    out = Fixture()
    constant, lowered = [0.05] * STEPS, [0.05] * (STEPS // 2) + [0.02] * (STEPS // 2)
    cases = {  # options of torch.optim.SGD, learning rate per step, whether v has a gradient per step
        "plain": ({}, constant, ALWAYS, f64),
        "weight_decay": ({"weight_decay": 0.1}, constant, ALWAYS, f64),
        "momentum": ({"momentum": 0.9}, constant, ALWAYS, f64),
        "momentum_dampening": ({"momentum": 0.9, "dampening": 0.3}, constant, ALWAYS, f64),
        "nesterov": ({"momentum": 0.9, "nesterov": True}, constant, ALWAYS, f64),
        "momentum_decay": ({"momentum": 0.9, "weight_decay": 0.1}, constant, ALWAYS, f64),
        "dampening_decay": ({"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}, constant, ALWAYS, f64),
        "nesterov_decay": ({"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, constant, ALWAYS, f64),
        "lr_change": ({}, lowered, ALWAYS, f64),
        "momentum_lr_change": ({"momentum": 0.9}, lowered, ALWAYS, f64),
        "missing": ({"weight_decay": 0.1}, constant, SOMETIMES, f64),
        "momentum_missing": ({"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}, constant, SOMETIMES, f64),
        "nesterov_missing": ({"momentum": 0.9, "nesterov": True}, constant, SOMETIMES, f64),
        "f32": ({"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, lowered, ALWAYS, f32),
    }
    for name, (options, rates, v_has_grad, dtype) in cases.items():
        set_rate = lambda sgd, t: sgd.param_groups[0].update(lr=rates[t])
        descend(out, name, lambda params: torch.optim.SGD(params.values(), lr=rates[0], **options), v_has_grad, dtype, set_rate)
        full = {"momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False, **options}
        out.put(name, lr=torch.tensor(rates, dtype=f64), options=torch.tensor([float(x) for x in full.values()], dtype=f64))
        out.describe(name, **full)
    return out


def make_optimizers():
    out = Fixture()
    adam = {
        "plain": {},
        "settings": {"lr": 0.05, "beta1": 0.7, "beta2": 0.9, "eps": 1e-3},
        "weight_decay": {"lr": 0.05, "weight_decay": 0.3},
        "amsgrad": {"lr": 0.3, "beta2": 0.5, "amsgrad": True},
        "missing": {"lr": 0.05, "amsgrad": True, "weight_decay": 0.1},
        "f32": {"lr": 0.05, "weight_decay": 0.1, "amsgrad": True},
    }
    cases = {
        "Adam": adam,
        "AdamW": adam,
        "RMSprop": {
            "plain": {},
            "settings": {"lr": 0.03, "alpha": 0.8, "eps": 1e-3, "weight_decay": 0.3},
            "centered": {"lr": 0.02, "centered": True},
            "momentum": {"momentum": 0.9},
            "centered_momentum": {"alpha": 0.9, "momentum": 0.5, "centered": True, "weight_decay": 0.1},
            "missing": {"alpha": 0.9, "momentum": 0.5, "centered": True},
            "f32": {"alpha": 0.9, "momentum": 0.5, "centered": True, "weight_decay": 0.1},
        },
        "Adagrad": {
            "plain": {},
            "settings": {"lr": 0.3, "lr_decay": 0.1, "weight_decay": 0.3, "eps": 1e-2},
            "initial": {"lr": 0.3, "initial_accumulator_value": 0.5},
            "missing": {"lr": 0.3, "lr_decay": 0.1, "initial_accumulator_value": 0.5},
            "f32": {"lr": 0.3, "lr_decay": 0.1, "weight_decay": 0.3, "initial_accumulator_value": 0.5},
        },
    }
    for optimizer, kinds in cases.items():
        for kind, options in kinds.items():
            torch_options = {key: value for key, value in options.items() if not key.startswith("beta")}
            if optimizer.startswith("Adam"):
                torch_options["betas"] = (options.get("beta1", 0.9), options.get("beta2", 0.999))
            descend(out, f"{optimizer}.{kind}", lambda params: getattr(torch.optim, optimizer)(params.values(), **torch_options),
                    SOMETIMES if kind == "missing" else ALWAYS, f32 if kind == "f32" else f64)
            out.describe(f"{optimizer}.{kind}", optimizer=optimizer, **options)
    # Two groups: w decays, v has a learning rate of its own, and both rates are halved after ten steps.
    for optimizer in ("SGD", "Adam"):
        make = lambda params: getattr(torch.optim, optimizer)(
            [{"params": [params["w"]], "weight_decay": 0.1}, {"params": [params["v"]], "lr": 0.1}], lr=0.05)
        halve = lambda made, t: [group.update(lr=group["lr"] / 2) for group in made.param_groups if t == 10]
        descend(out, f"groups.{optimizer}", make, ALWAYS, f64, halve)
        out.describe(f"groups.{optimizer}", optimizer=f"groups of {optimizer}")
    return out


def make_schedules():
    """The learning rates of torch.optim.lr_scheduler over a base of 1, and the losses that ReduceLROnPlateau saw."""
    out, steps = Fixture(), 40
    scheduler = torch.optim.lr_scheduler

    def rates(name, make, losses=None):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        schedule, path = make(optimizer), []
        for n in range(steps):
            path.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step(*([] if losses is None else [losses[n]]))
        path.append(optimizer.param_groups[0]["lr"])
        out.put(name, lr=torch.tensor(path, dtype=f64))
        if losses is not None:
            out.put(name, loss=torch.tensor(losses, dtype=f64))
        out.describe(name, steps=steps)

    rates("step", lambda o: scheduler.StepLR(o, 7, 0.3))
    rates("exponential", lambda o: scheduler.ExponentialLR(o, 0.93))
    rates("linear", lambda o: scheduler.LinearLR(o, 0.2, 0.9, 15))
    rates("cosine", lambda o: scheduler.CosineAnnealingLR(o, 40, 0.05))
    rates("in_turn", lambda o: scheduler.SequentialLR(
        o, [scheduler.LinearLR(o, 0.1, 1.0, 10), scheduler.CosineAnnealingLR(o, 20), scheduler.ExponentialLR(o, 0.9)], [10, 30]))
    falling = [round(max(0.5, 2 - 0.1 * n) + Draw(f"plateau{n}").random.uniform(0, 0.1), 4) for n in range(steps)]
    negative = [-x for x in falling[::-1]]
    for name, losses, options in (
        ("plateau.plain", falling, {"patience": 2, "factor": 0.5}),
        ("plateau.cooldown", falling, {"patience": 1, "factor": 0.5, "cooldown": 3, "min_lr": 0.1}),
        ("plateau.relative", falling, {"patience": 0, "factor": 0.9, "threshold": 0.05}),
        ("plateau.absolute", negative, {"patience": 1, "factor": 0.8, "threshold": 0.05, "threshold_mode": "abs"}),
    ):
        rates(name, lambda o: scheduler.ReduceLROnPlateau(o, eps=0, **options), losses)
    return out


def make_clip():
    out = Fixture()
    shapes = ((3, 4), (4,), (2, 1, 2))
    random_ones = lambda seed, scale, dtype=f64: [
        Draw(f"clip/{seed}/{i}", dtype).normal(*shape, scale=scale) for i, shape in enumerate(shapes)]
    zero = lambda *shape: torch.zeros(shape, dtype=f64)
    three_four = [torch.tensor([3.0, 0.0], dtype=f64), torch.tensor([[4.0]], dtype=f64)]  # norm 5 exactly
    cases = {
        "below": (random_ones("below", 0.1), 1.0),
        "above": (random_ones("above", 2.0), 1.0),
        "far_above": (random_ones("far_above", 1e4), 0.25),
        "at_limit": (three_four, 5.0),  # scaled by 5 / (5 + 1e-6), not left alone
        "just_below": (three_four, 5.0 + 2e-6),
        "zero": ([zero(3, 4), zero(4)], 1.0),
        "one_zero": ([*random_ones("one_zero", 2.0)[:2], zero(2, 2)], 1.5),
        "limit_zero": (random_ones("limit_zero", 1.0), 0.0),
        "tiny": (random_ones("tiny", 1e-2), 1e-3),  # the 1e-6 in the divisor shows
        "f32": (random_ones("f32", 2.0, f32), 1.0),
    }
    for name, (gradients, max_norm) in cases.items():
        params = [torch.zeros_like(g).requires_grad_() for g in gradients]
        for p, g in zip(params, gradients):
            p.grad = g.clone()
        norm = torch.nn.utils.clip_grad_norm_(params, max_norm)
        out.put(name, max_norm=torch.tensor(max_norm, dtype=f64), norm=norm)
        for i, (p, g) in enumerate(zip(params, gradients)):
            out.put(name, **{f"g{i}": g, f"clipped{i}": p.grad})
        out.describe(name, tensors=len(params), max_norm=max_norm)
    return out


def make_ops():
    out, count = Fixture(), {}

    def case(op, f, *inputs, smooth=True, dtype=f64, **attributes):
        """One case of `op`. An input is a tensor, or a shape to draw normal values for."""
        k = count[op] = count.get(op, -1) + 1
        name = f"{op}.{k}"
        draw = Draw(f"ops/{name}", dtype)
        xs = [draw.normal(*x) if isinstance(x, tuple) else x.clone() for x in inputs]
        where = [i for i, x in enumerate(xs) if x.is_floating_point()]
        leaves = [xs[i].requires_grad_() for i in where]
        y = f(*xs, **attributes)
        dy = draw.normal(*y.shape).requires_grad_()
        gradients = torch.autograd.grad(y, leaves, dy, create_graph=True)
        put_numbered = lambda letter, where, values: out.put(name, **{f"{letter}{i}": v for i, v in zip(where, values)})
        put_numbered("x", range(len(xs)), xs)
        put_numbered("d", where, gradients)
        out.put(name, y=y, dy=dy)
        if smooth:
            us = [draw.normal(*x.shape) for x in leaves]
            s = sum((g * u).sum() for g, u in zip(gradients, us))
            *second, ddy = torch.autograd.grad(s, [*leaves, dy], allow_unused=True)  # unused: the op is linear in it
            second = [torch.zeros_like(x) if g is None else g for g, x in zip(second, leaves)]
            put_numbered("u", where, us)
            put_numbered("dd", where, second)
            out.put(name, ddy=ddy)
        out.describe(name, **attributes)

    def row(*values, dtype=f64):
        return torch.tensor(values, dtype=dtype)

    positive = lambda op, *shape: Draw(f"ops/{op}/positive").positive(*shape)
    steep = row([1000.0, 1001.0, 998.5], [-1000.0, 0.0, -999.0])

    for op, f in (("softmax", F.softmax), ("log_softmax", F.log_softmax), ("logsumexp", torch.logsumexp)):
        over = lambda x, axis, f=f: f(x, dim=axis)
        for axis in (0, 1, 2, -1):
            case(op, over, (2, 3, 4), axis=axis)
        case(op, over, steep, axis=1)
        case(op, over, (3, 5), dtype=f32, axis=1)

    cross_entropy = lambda x, target, **options: F.cross_entropy(x, target, **options)
    labels, some_ignored = torch.tensor([1, 0, 3, 0, 2]), torch.tensor([1, -100, 3, -100, 2])
    for reduction in ("mean", "sum", "none"):
        for target, ignored in ((labels, -100), (some_ignored, -100), (labels, 0)):
            case("cross_entropy", cross_entropy, (5, 4), target, reduction=reduction, ignore_index=ignored)
    case("cross_entropy", cross_entropy, steep, torch.tensor([2, 1]), reduction="mean", ignore_index=-100)
    case("cross_entropy", cross_entropy, (5, 4), some_ignored, dtype=f32, reduction="mean", ignore_index=-100)
    mse_loss = lambda x, target, reduction: F.mse_loss(x, target, reduction=reduction)
    for reduction in ("mean", "sum", "none"):
        case("mse_loss", mse_loss, (3, 4), (3, 4), reduction=reduction)

    case("embedding", lambda w, i: F.embedding(i, w), (5, 3), torch.tensor([4, 1, 1, 4, 1]))
    case("embedding", lambda w, i: F.embedding(i, w), (6, 2), torch.tensor([[0, 5, 2], [2, 2, 0]]))
    gather = lambda x, i, axis: torch.gather(x, axis, i)
    case("gather", gather, (3, 4), torch.tensor([[0, 0], [3, 1], [2, 2]]), axis=1)
    case("gather", gather, (3, 4), torch.tensor([[2, 0, 1, 1], [2, 2, 0, 1]]), axis=0)
    case("gather", gather, (2, 3, 4), Draw("ops/gather").ints(3, 2, 5, 4), axis=1)

    ties = row([1.0, 3.0, 3.0, 2.0], [4.0, 4.0, 4.0, 0.0], [-1.0, 3.0, -1.0, 2.0])
    amax = lambda x, axis, keepdim: torch.amax(x, axis, keepdim)
    for axis, keepdim in ((1, False), (0, True), (-1, True)):
        case("amax", amax, ties, smooth=False, axis=axis, keepdim=keepdim)
    case("amax", amax, (2, 3, 4), axis=1, keepdim=False)
    for op, f in (("maximum", torch.maximum), ("minimum", torch.minimum)):
        case(op, f, row(1.0, 2.0, 3.0, 0.0), row(2.0, 2.0, 1.0, -0.0), smooth=False)
        case(op, f, row([1.0, 2.0, 3.0], [2.0, 2.0, 0.5]), row([2.0], [0.5]), smooth=False)
        case(op, f, (2, 3), (3,))
    clamp = lambda x, min=None, max=None: torch.clamp(x, min, max)
    edges = row(-2.0, -1.0, -0.5, 0.0, 1.5, 2.0, 2.5)
    case("clamp", clamp, edges, smooth=False, min=-1.0, max=2.0)
    case("clamp", clamp, edges, smooth=False, min=-1.0)
    case("clamp", clamp, edges, smooth=False, max=2.0)
    case("abs", torch.abs, row(-2.0, -0.0, 0.0, 3.0), smooth=False)
    case("relu", torch.relu, row(-2.0, -0.0, 0.0, 1e-300, 3.0), smooth=False)
    case("where", lambda c, a, b: torch.where(c.bool(), a, b), torch.tensor([[1, 0, 1], [0, 0, 1]]), (2, 3), (2, 3))
    case("where", lambda c, a, b: torch.where(c.bool(), a, b), torch.tensor([[1], [0]]), (3,), (2, 1))

    for op, f in (("sqrt", torch.sqrt), ("log", torch.log)):
        case(op, f, positive(op, 3, 4))
    case("exp", torch.exp, (3, 4))
    signed = row(-2.5, -1.0, 0.0, 0.5, 3.0)
    power = lambda x, exponent: x**exponent
    case("pow", power, signed, smooth=False, exponent=0.0)  # constant: PyTorch records nothing to differentiate again
    for exponent in (1.0, 2.0, 3.0):
        case("pow", power, signed, exponent=exponent)
    for exponent in (0.5, -1.0, -2.5):
        case("pow", power, positive("pow", 2, 3), exponent=exponent)
    case("pow_tensor", torch.pow, positive("pow_tensor", 2, 3), (2, 3))
    case("pow_tensor", torch.pow, positive("pow_tensor", 2, 1), (3,))
    large = row(-750.0, -100.0, -40.0, -20.0, -9.0, -1.0, -1e-9, 0.0, 1e-9, 0.5, 5.0, 20.0, 40.0, 100.0, 750.0)
    for op, f in (("sigmoid", torch.sigmoid), ("tanh", torch.tanh)):
        case(op, f, (3, 4))
        case(op, f, large)
        case(op, f, (3, 4), dtype=f32)

    case("matmul", torch.matmul, (3, 4), (4, 2))
    case("matmul", torch.matmul, (2, 1, 3, 4), (5, 4, 2))
    case("matmul", torch.matmul, (2, 3, 4), (4, 5))
    case("matmul", torch.matmul, (3, 4), (2, 4, 5))
    case("matmul", torch.matmul, (2, 3, 4), (2, 4, 2))
    case("matmul", torch.matmul, (3, 4), (4, 2), dtype=f32)
    for op, f in (("add", torch.add), ("sub", torch.sub), ("mul", torch.mul)):
        case(op, f, (3, 1, 4), (2, 1))
        case(op, f, (2, 3), ())
    case("div", torch.div, (3, 1, 4), positive("div", 2, 1))
    for op, f in (("sum", torch.sum), ("mean", torch.mean)):
        for axis, keepdim in ((0, False), (1, True), (-1, False)):
            case(op, lambda x, axis, keepdim, f=f: f(x, axis, keepdim), (2, 3, 4), axis=axis, keepdim=keepdim)
    return out


def make_special():
    """Values and gradients at zeros, infinities, NaN and huge numbers."""
    out, count = Fixture(), {}
    inf, nan = math.inf, math.nan

    def case(op, f, *inputs, **attributes):
        for cotangent in (1.0, inf):
            k = count[op] = count.get(op, -1) + 1
            xs = [torch.tensor(x, dtype=f64, requires_grad=True) for x in inputs]
            y = f(*xs, **attributes)
            dy = torch.full_like(y, cotangent)
            gradients = torch.autograd.grad(y, xs, dy)
            out.put(f"{op}.{k}", finite=False, y=y, dy=dy, **{f"x{i}": x for i, x in enumerate(xs)},
                    **{f"d{i}": g for i, g in enumerate(gradients)})
            out.describe(f"{op}.{k}", **attributes)

    values = [-inf, -1e300, -1.0, -0.0, 0.0, 1.0, 1e300, inf, nan]
    for op, f in (("abs", torch.abs), ("relu", torch.relu), ("exp", torch.exp), ("log", torch.log),
                  ("sqrt", torch.sqrt), ("sigmoid", torch.sigmoid), ("tanh", torch.tanh)):
        case(op, f, values)
    case("clamp", lambda x, min, max: torch.clamp(x, min, max), values, min=-1.0, max=1.0)
    for exponent in (0.0, 1.0, 2.0, 3.0, 0.5, -1.0):
        # PyTorch takes the square root for 0.5, which differs from C's pow at -inf and -0.
        xs = [x for x in values if exponent != 0.5 or x != -inf and str(x) != "-0.0"]
        case("pow", lambda x, exponent: x**exponent, xs, exponent=exponent)
    few = [-inf, -1.0, 0.0, 1.0, inf, nan]
    for op, f in (("add", torch.add), ("sub", torch.sub), ("mul", torch.mul), ("div", torch.div),
                  ("maximum", torch.maximum), ("minimum", torch.minimum)):
        case(op, f, [a for a in few for _ in few], few * len(few))
    rows = [[1e300, -1e300, 0.0], [1e300, 1e300, -1e300], [-1e300, -1e300, -1e300], [-inf, 0.0, 1.0], [inf, 0.0, 1.0],
            [-inf, -inf, -inf], [nan, 0.0, 1.0], [inf, inf, -inf]]
    case("softmax", lambda x, axis: F.softmax(x, dim=axis), rows, axis=1)
    case("log_softmax", lambda x, axis: F.log_softmax(x, dim=axis), rows, axis=1)
    case("amax", lambda x, axis, keepdim: torch.amax(x, axis, keepdim), rows, axis=1, keepdim=False)
    for op, f in (("sum", torch.sum), ("mean", torch.mean)):
        case(op, lambda x, axis, keepdim, f=f: f(x, axis, keepdim), rows, axis=1, keepdim=False)
    return out


def make_mlp():
    out, draw = Fixture(), Draw("mlp")
    vocabulary, width, units, batch, time, steps = 7, 5, 6, 3, 4, 10
    options = {"lr": 0.2, "momentum": 0.9, "max_norm": 1.0}
    emb = draw.normal(vocabulary, width).requires_grad_()
    rnn = simple_rnn(*draw_rnn(draw, width, units))
    head = torch.nn.Linear(units, vocabulary).double()
    with torch.no_grad():
        head.weight.copy_(draw.normal(units, vocabulary, scale=0.8).T)
        head.bias.copy_(draw.normal(vocabulary, scale=0.5))
    weights = {"emb.w": emb, "rnn.w_x": rnn.weight_ih_l0, "rnn.w_h": rnn.weight_hh_l0, "rnn.b": rnn.bias_ih_l0,
               "head.w": head.weight, "head.b": head.bias}
    transposed = ("rnn.w_x", "rnn.w_h", "head.w")
    save = lambda prefix: out.put(prefix, **{n: w.T if n in transposed else w for n, w in weights.items()})
    save("init")
    sgd = torch.optim.SGD(weights.values(), lr=options["lr"], momentum=options["momentum"])
    inputs = draw.ints(vocabulary, steps, batch, time)
    targets = (2 * inputs + 1) % vocabulary
    losses, norms = [], []
    for ids, labels in zip(inputs, targets):
        sgd.zero_grad(set_to_none=True)
        y, _ = rnn(F.embedding(ids, emb))
        loss = F.cross_entropy(head(y).reshape(-1, vocabulary), labels.reshape(-1))
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(weights.values(), options["max_norm"]))
        sgd.step()
        losses.append(loss.detach())
    save("final")
    out.put("train", inputs=inputs, targets=targets, loss=torch.stack(losses), norm=torch.stack(norms))
    out.describe("train", **options)
    return out


def differences(old, new):
    """What differs by more than rounding between two files."""
    start = 8 + struct.unpack_from("<Q", new)[0]
    if old[:start] != new[:start]:
        return ["the header"]
    wrong = []
    for name, entry in json.loads(new[8:start]).items():
        if name != "__metadata__":
            dtype = next(dtype for dtype, (code, _) in FORMATS.items() if code == entry["dtype"])
            part = slice(*(start + offset for offset in entry["data_offsets"]))
            a, b = (torch.frombuffer(bytearray(raw[part]), dtype=dtype) for raw in (old, new))
            rtol, atol = (1e-4, 1e-5) if dtype == f32 else (1e-10, 1e-12)
            if not torch.allclose(a, b, rtol, atol, equal_nan=True):
                wrong.append(name)
    return wrong


def main():
    good = True
    for name, make in (("rnn", make_rnn), ("layers", make_layers), ("sgd", make_sgd), ("optimizers", make_optimizers),
                       ("schedules", make_schedules), ("clip", make_clip), ("ops", make_ops), ("special", make_special),
                       ("mlp", make_mlp)):
        path, raw = HERE / f"{name}.safetensors", make().encode()
        if "--check" not in sys.argv[1:]:
            path.write_bytes(raw)
            print(f"{path.name}: {len(raw)} bytes")
        elif path.read_bytes() == raw:
            print(f"{path.name}: identical")
        else:
            wrong = differences(path.read_bytes(), raw)
            print(f"{path.name}: {'DIFFERENT: ' + ', '.join(wrong) if wrong else 'equal up to rounding'}")
            good = good and not wrong
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

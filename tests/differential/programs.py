"""Programs of tensor operations: their text, and what PyTorch makes of them.

A program is a list of statements, one a line, in the words of retrace:

    v0 = leaf [2,3] 0.5 -1.25 0 inf 2 1
    v1 = index [2] 1 0
    v9 = drawn_leaf [65,130] 7        (numbers and indices below a limit that follow from a seed)
    v8 = drawn_index [20,65] 8 130
    v2 v3 = unstack v0 0
    v4 = mul v2 v3
    result v4 [3]

tests/support/program.cpp reads the same words. The loss is the sum of all results, each element times a weight; the
second order is the gradient of the sum of the gradients of the loss, weighted likewise. A program may say "first-order": then the second is left out.
Or "projected": then one number stands for each tensor, see `projection`.
"""
import math
import os
import re

os.environ["ATEN_CPU_CAPABILITY"] = "default"  # the scalar kernels: the same bits on more machines
import torch
import torch.nn.functional as F

torch.set_num_threads(1)
f64 = torch.float64


def is_name(argument):
    return isinstance(argument, str) and re.fullmatch(r"v\d+", argument) is not None


def number(x):
    return x if torch.is_tensor(x) else torch.tensor(x, dtype=f64)


def taken_whole(index, shape):
    """An index with fewer axes than `shape` as one that picks every element of the others."""
    missing = len(shape) - index.dim()
    return index.reshape(*index.shape, *[1] * missing).expand(*index.shape, *shape[index.dim():])


def region_of(x, axis, start, step, size, drop):
    part = x[(slice(None),) * axis + (slice(start, start + size * step, step),)]
    return part.select(axis, 0) if drop else part


def place(x, axis, start, step, size, drop, shape):
    out = torch.zeros(shape, dtype=f64)
    region_of(out, axis, start, step, size, drop).copy_(x)
    return out


def slice_of(x, axis, start, stop, step):
    return x[(slice(None),) * (axis % x.dim()) + (slice(start, stop, step),)]


def drawn(shape, seed):
    """Integers below 2^32 that look random, by multiplication and shifts that every language has."""
    x = (torch.arange(1, math.prod(shape) + 1) * 2654435761 + seed * 40503) % 2**32
    x = (x ^ x >> 16) * 73244475 % 2**32
    return (x ^ x >> 16).reshape(shape)


def power(x, exponent):
    # PyTorch takes the square root for a number 0.5, which gives NaN at -inf, where C's pow gives inf.
    return torch.pow(x, exponent if exponent in (0, 1, 2, 3) else number(exponent))


def over(reduce):
    return lambda x, axes, keepdim: reduce(x, dim=axes or tuple(range(x.dim())), keepdim=bool(keepdim))


def cross_entropy(logits, labels, ignore_index, reduction):
    rows = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=ignore_index,
                           reduction=reduction)
    return rows.reshape(labels.shape) if reduction == "none" else rows


ROUNDED = {  # operations whose result may differ in the last digits
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: number(a) / b,
    "pow": power,
    "tanh": torch.tanh,
    "tanh_vjp": lambda dy, y: dy * (1 - y * y),
    "sigmoid": torch.sigmoid,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "matmul": torch.matmul,
    "sum_to": lambda x, shape: x if list(x.shape) == shape else x.sum_to_size(shape),
    "sum": over(torch.sum),
    "mean": over(torch.mean),
    "softmax": torch.softmax,
    "log_softmax": torch.log_softmax,
    "scatter_add": lambda x, i, axis, shape: torch.zeros(shape, dtype=f64).scatter_add(axis, taken_whole(i, shape), x),
    "mse_loss": lambda p, t, reduction: F.mse_loss(p, t, reduction=reduction),
    "cross_entropy": cross_entropy,
}

EXACT = {
    "leaf": lambda shape, *values: torch.tensor(values, dtype=f64).reshape(shape),
    "index": lambda shape, *values: torch.tensor(values, dtype=torch.int64).reshape(shape),
    "drawn_leaf": lambda shape, seed: (drawn(shape, seed) >> 8).to(f64) / 2**22 - 2,
    "drawn_index": lambda shape, seed, limit: drawn(shape, seed) % limit,
    "neg": torch.neg,
    # torch.relu and torch.abs have these values and gradients, but send zeros on in second order, which make NaN of
    # infinities.
    "relu": lambda x: torch.where(x <= 0, number(0.0), x),
    "abs": lambda x: x * x.detach().sgn() + 0.0,
    "maximum": lambda a, b: torch.maximum(a, number(b)),
    "minimum": lambda a, b: torch.minimum(a, number(b)),
    "clamp": torch.clamp,
    "where": lambda c, a, b: torch.where(c != 0, number(a), number(b)),
    "equal": lambda a, b: (a == b).to(f64),
    "not_equal": lambda a, b: (a != b).to(f64),
    "less": lambda a, b: (a < b).to(f64),
    "less_equal": lambda a, b: (a <= b).to(f64),
    "greater": lambda a, b: (a > b).to(f64),
    "greater_equal": lambda a, b: (a >= b).to(f64),
    "clone": torch.clone,
    "contiguous": lambda x: x.contiguous(),
    "detach": lambda x: x.detach(),
    "through_f32": lambda x: x.to(torch.float32).to(f64),
    "reshape": torch.reshape,
    "permute": torch.permute,
    "transpose": torch.transpose,
    "broadcast_to": torch.broadcast_to,
    "slice": slice_of,
    "select": torch.select,
    "unstack": torch.unbind,
    "stack": lambda axis, *xs: torch.stack(xs, axis),
    "concat": lambda axis, *xs: torch.cat(xs, axis),
    "place": place,
    "region_of": region_of,
    "max": over(torch.amax),
    "argmax": lambda x, axis, keepdim: torch.argmax(x, axis, bool(keepdim)),
    "gather": lambda x, i, axis: torch.gather(x, axis, taken_whole(i, x.shape)),
    "embedding": lambda table, i: F.embedding(i, table),
}


def call(op, arguments, values):
    """The results of one operation, a list; names among the arguments stand for `values`."""
    given = [values[a] if is_name(a) else a for a in arguments]
    results = (ROUNDED.get(op) or EXACT[op])(*given)
    return [results] if torch.is_tensor(results) else list(results)


def written(argument):
    return str(list(argument)).replace(" ", "") if isinstance(argument, (list, tuple)) else str(argument)


class Program:
    def __init__(self, statements=(), results=(), projected=False):
        self.statements = list(statements)  # (names, op, arguments)
        self.results = list(results)
        self.projected = projected

    def without_dead_code(self):
        wanted, kept = set(self.results), []
        for names, op, arguments in reversed(self.statements):
            if wanted.intersection(names):
                kept.append((names, op, arguments))
                wanted.update(a for a in arguments if is_name(a))
        return Program(reversed(kept), self.results, self.projected)

    def run(self, disturbance=0.0):
        """The values of all names, and the leaves. With a disturbance operands and results of operations that round are
        off by about so much."""
        values, leaves, noise = {}, [], torch.Generator().manual_seed(1)

        def disturbed(x):
            if not torch.is_tensor(x) or x.dtype != f64:
                return x
            return x * (1 + disturbance * (torch.rand(x.shape, generator=noise, dtype=f64) - 0.5))

        for names, op, arguments in self.statements:
            if disturbance and op in ROUNDED:
                given = {a: disturbed(values[a]) for a in arguments if is_name(a)}
                results = [disturbed(x) for x in call(op, arguments, given)]
            else:
                results = call(op, arguments, values)
            if op.endswith("leaf"):
                leaves.append(results[0].requires_grad_())
            values.update(zip(names, results))
        return values, leaves

    def is_first_order(self, values):
        """Whether there is an infinite quotient or square, or a mean of nothing. What the second derivative then adds up
        are infinities and 0/0, which give NaN or not by the order of the steps, and the rules' differ: PyTorch computes
        a quotient anew where retrace uses the one that is there, doubles a difference where retrace adds it twice, and
        divides by the count after it spreads a cotangent where retrace does so before."""
        for names, op, arguments in self.statements:
            if op in ("div", "mse_loss") and values[names[0]].isinf().any():
                return True
            if op in ("mean", "mse_loss") and values[arguments[0]].numel() == 0:
                return True
            if op == "cross_entropy" and (values[arguments[1]] == arguments[2]).all():
                return True
        return False

    def expected(self, disturbance=0.0):
        """Results, gradients and second gradients, or None when the results do not depend on the leaves."""
        values, leaves = self.run(disturbance)
        results = [values[name] for name in self.results]
        loss = weighted_sum(results)
        if not loss.requires_grad:
            return None
        first = gradients(loss, leaves, create_graph=True)
        second = [] if self.is_first_order(values) else gradients(weighted_sum(first), leaves)
        # The addition gives memory to zeros that autograd only names.
        known = [x.detach() + torch.zeros(x.shape, dtype=f64) for x in (*results, *first, *second)]
        return [projection(x) for x in known] if self.projected else known

    def text(self, heading):
        values, _ = self.run()
        lines = [heading] + ["first-order"] * self.is_first_order(values) + ["projected"] * self.projected
        for names, op, arguments in self.statements:
            lines.append(" ".join([*names, "=", op, *map(written, arguments)]))
        lines.append(" ".join(["result", *(f"{name} {written(values[name].shape)}" for name in self.results)]))
        return "\n".join(lines) + "\n"


def weights(shape, start=0):
    """The weight of the k-th of all elements, between -1.6 and 1.6."""
    return ((torch.arange(start, start + math.prod(shape)) * 37 % 100).to(f64).reshape(shape) - 49.5) / 32


def weighted_sum(xs):
    total, k = torch.zeros((), dtype=f64), 0
    for x in xs:
        total, k = total + (x * weights(x.shape, k)).sum(), k + x.numel()
    return total


def projection(x):
    """The weighted sum of a tensor as a share of the sum of its absolute terms, or of 1."""
    terms = x * weights(x.shape)
    return terms.sum() / terms.abs().sum().clamp(min=1)


def gradients(y, xs, create_graph=False):
    given = [None] * len(xs)
    if y.requires_grad:
        given = torch.autograd.grad(y, xs, create_graph=create_graph, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(given, xs)]

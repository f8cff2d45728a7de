"""How each operation is drawn, with operands that suit it."""
import math

from draw import Unsuitable
from programs import f64


def arithmetic(d):
    a = d.operand()
    b = d.number() if d.chance(0.3) else d.partner(a)
    op = d.random.choice(["add", "sub", "mul"])
    d.emit(op, *((a, b) if d.chance(0.5) else (b, a)))


def division(d):
    a = d.operand()
    if d.chance(0.3):
        divisor = d.number()
        if not d.wild and abs(divisor) < 0.3:
            raise Unsuitable
        return d.emit("div", a, divisor)
    dividend = d.number() if d.chance(0.3) else a
    return d.emit("div", dividend, d.away_from_zero(d.partner(a)))


def power(d):
    exponent = d.random.choice([0.0, 1.0, 2.0, 3.0, 0.5, 1.5, -1.0, -2.5])
    x = d.operand()
    d.emit("pow", x if exponent in (0, 1, 2, 3) else d.positive(x), exponent)


def function(d):
    d.emit(d.random.choice(["tanh", "sigmoid", "relu", "abs", "exp", "neg"]), d.operand())


def log_or_root(d):
    d.emit(d.random.choice(["log", "sqrt"]), d.positive(d.operand()))


def extremum(d):
    a = d.operand()
    b = d.number() if d.chance(0.3) else a if d.chance(0.1) else d.partner(a)
    d.emit(d.random.choice(["maximum", "minimum"]), a, b)


def clamp(d):
    low, high = sorted([round(d.random.uniform(-2, 2), 2), round(d.random.uniform(-2, 2), 2)])
    d.emit("clamp", d.operand(), low if d.chance(0.8) else -math.inf, high if d.chance(0.8) else math.inf)


def choice(d):
    a = d.operand()
    b = d.partner(a)
    kind = d.random.choice(["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"])
    condition = d.emit(kind, a, b)
    if d.chance(0.3):
        condition = d.index(d.broadcasting_to(d.values[condition].shape), 2)
    if d.chance(0.3):
        b = d.number()
    d.emit("where", condition, *((a, b) if d.chance(0.5) else (b, a)))


def tanh_vjp(d):
    y = d.emit("tanh", d.operand())
    shape = d.values[y].shape
    d.emit("tanh_vjp", d.operand(lambda x: x.shape == shape), y)


def matrix_product(d):
    a = d.with_axes(2)
    k = d.values[a].shape[-1]
    if d.chance(0.3):
        return d.emit("matmul", a, d.emit("transpose", a, -2, -1))
    fitting = lambda x: x.dim() >= 2 and x.shape[-2] == k
    if d.chance(0.5) and any(x.dtype == f64 and fitting(x) for x in d.values.values()):
        return d.emit("matmul", a, d.operand(fitting))
    return d.emit("matmul", a, d.leaf([k, d.size()]))


def recurrence(d):
    """A SimpleRNN as its layer composes it: weights used at every step."""
    x = d.with_axes(3, 3)
    features, units = d.values[x].shape[-1], d.random.choice(d.sizes) if d.large else d.random.randint(1, 3)
    w_x, w_h = d.leaf([features, units]), d.leaf([units, units])
    projected = d.emit("matmul", d.emit("contiguous", d.emit("permute", x, [1, 0, 2])), w_x)
    h, states = None, []
    for x_t in d.emit("unstack", projected, 0, count="all"):
        a = x_t if h is None else d.emit("add", x_t, d.emit("matmul", h, w_h))
        h = d.emit("tanh", a)
        states.append(h)
    if states and d.chance(0.7):
        d.emit("stack", 1, *states)


def reshaped(d):
    x = d.operand()
    shape = list(reversed(d.values[x].shape))
    if d.chance(0.5):
        shape = [d.values[x].numel()]
    if d.chance(0.3):
        shape.insert(d.random.randint(0, len(shape)), 1)
    if shape and math.prod(shape) and d.chance(0.5):
        shape[-1] = -1
    d.emit("reshape", x, shape)


def permuted(d):
    x = d.operand()
    order = list(range(d.values[x].dim()))
    d.random.shuffle(order)
    d.emit("permute", x, order)


def transposed(d):
    x = d.with_axes()
    d.emit("transpose", x, d.axis(x), d.axis(x))


def broadcast(d):
    x = d.operand()
    shape = [d.size() if n == 1 else n for n in d.values[x].shape]
    d.emit("broadcast_to", x, [d.size() for _ in range(d.random.randint(0, 1))] + shape)


def summed_to(d):
    x = d.operand()
    d.emit("sum_to", x, d.broadcasting_to(d.values[x].shape))


def sliced(d):
    x = d.with_axes()
    d.emit("slice", x, d.axis(x), d.random.randint(-5, 3), d.random.randint(-3, 5), d.random.randint(1, 3))


def selected(d):
    x = d.with_axes()
    axis = d.axis(x)
    n = d.values[x].shape[axis]
    if n == 0:
        raise Unsuitable
    d.emit("select", x, axis, d.random.randrange(-n, n))


def unstacked(d):
    """Some of the parts are used at once, together, others later or never."""
    x = d.with_axes()
    parts = d.emit("unstack", x, d.axis(x), count="all")
    if len(parts) > 1:
        d.emit(d.random.choice(["add", "mul", "sub"]), parts[0], parts[-1])


def joined(d):
    op = d.random.choice(["stack", "concat"])
    first = d.with_axes() if op == "concat" else d.operand()
    shape = d.values[first].shape
    others = [d.operand(lambda x: x.shape == shape) for _ in range(d.random.randint(0, 2))]
    d.emit(op, d.axis(first) if op == "concat" else d.random.randint(0, len(shape)), first, *others)


def region(d, shape):
    axis = d.random.randrange(len(shape))
    n, step = shape[axis], d.random.randint(1, 3)
    start = d.random.randrange(n) if n else 0
    drop = n > 0 and d.chance(0.4)
    size = 1 if drop else d.random.randint(0, -(-(n - start) // step))
    return [axis, start, step, size, int(drop)]


def region_taken(d):
    x = d.with_axes()
    d.emit("region_of", x, *region(d, d.values[x].shape))


def placed(d):
    x = d.with_axes()
    shape = list(d.values[x].shape)
    axis, step, start = d.random.randrange(len(shape)), d.random.randint(1, 2), d.random.randint(0, 2)
    size = shape[axis]
    shape[axis] = start + size * step + d.random.randint(0, 1)
    d.emit("place", x, axis, start, step, size, 0, shape)


def reduced(d):
    x = d.operand()
    d.emit(d.random.choice(["sum", "mean", "max"]), x, d.axes(x), d.random.randint(0, 1))


def normalized(d):
    x = d.with_axes()
    d.emit(d.random.choice(["softmax", "log_softmax"]), x, d.axis(x))


def gathered(d):
    x = d.with_axes()
    shape = d.values[x].shape
    axis = d.random.randrange(len(shape))
    rank = len(shape) if d.chance(0.6) else d.random.randint(axis + 1, len(shape))
    places = [d.random.randint(1, 3) if i == axis else d.random.randint(min(1, n), n)
              for i, n in enumerate(shape[:rank])]
    d.emit("gather", x, d.index(places, shape[axis]), axis)


def scattered(d):
    x = d.with_axes()
    shape = list(d.values[x].shape)
    axis = d.random.randrange(len(shape))
    places = shape if d.chance(0.6) else shape[:d.random.randint(axis + 1, len(shape))]
    to = [d.random.randint(1, 3) if i == axis else n + (i < len(places)) * d.random.randint(0, 1)
          for i, n in enumerate(shape)]
    d.emit("scatter_add", x, d.index(places, to[axis]), axis, to)


def best(d):
    """The largest elements of an axis, by argmax."""
    x = d.with_axes()
    axis = d.axis(x)
    d.emit("gather", x, d.emit("argmax", x, axis, 1), axis % d.values[x].dim())


def embedded(d):
    table = d.with_axes(2, 2)
    d.emit("embedding", table, d.index(d.shape(0, 2), d.values[table].shape[0]))


def squared_error(d):
    x = d.operand()
    shape = d.values[x].shape
    d.emit("mse_loss", x, d.operand(lambda t: t.shape == shape), d.random.choice(["mean", "sum", "none"]))


def cross_entropy(d):
    logits = d.with_axes()
    *shape, classes = d.values[logits].shape
    ignored = d.random.choice([-100, 0, classes])
    if classes == 0:
        raise Unsuitable
    if d.large:
        labels = d.index(shape, classes)
    else:
        labels = d.emit("index", shape, *(ignored if d.chance(0.2) else d.random.randrange(classes)
                                          for _ in range(math.prod(shape))))
    d.emit("cross_entropy", logits, labels, ignored, d.random.choice(["mean", "sum", "none"]))


def copied(d):
    # Rarely what ends the way of gradients, or rounds.
    d.emit(d.random.choice(["clone", "contiguous"] * 3 + ["detach", "through_f32"]), d.operand())


KINDS = {arithmetic: 8, division: 2, power: 2, function: 4, log_or_root: 2, extremum: 2, clamp: 1, choice: 2,
         tanh_vjp: 1, matrix_product: 4, recurrence: 1, reshaped: 2, permuted: 2, transposed: 2, broadcast: 2,
         summed_to: 2, sliced: 2, selected: 2, unstacked: 2, joined: 3, region_taken: 1, placed: 1, reduced: 4,
         normalized: 2, gathered: 2, scattered: 2, best: 1, embedded: 1, squared_error: 1, cross_entropy: 1, copied: 2}

"""Draws random programs. Every third is wild: infinities, NaN, zeros and huge numbers meet every operation. Large ones
have axes at which kernels change their ways, and none is wild."""
import math
import random

from programs import Program, call, f64, is_name

MOST_AXES, MOST_LEAVES = 5, 5
# Not so huge that products of a few overflow, which depends on their order.
WILD = [math.inf, -math.inf, math.nan, 0.0, -0.0, 1e60, -1e60, 1e-60, 1.0]


class Unsuitable(Exception):
    """What was drawn cannot be, or would not be tame."""


def lowest(x):
    return x.min().item() if x.numel() else math.inf


class Draw:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.large = seed.startswith("large/")
        self.wild = self.chance(1 / 3) and not self.large
        if self.large:
            self.sizes = self.random.sample([3, 9, 17, 33, 64, 65, 100, 129, 257], 3)
            self.most_elements, self.tame = 20000, 1e4
        else:
            self.sizes = [self.random.randint(1, 4), self.random.randint(1, 4), self.random.randint(1, 3)]
            self.most_elements, self.tame = 64, 50.0
        self.program, self.values, self.uses = Program(projected=self.large), {}, {}
        self.leaves = 0
        for _ in range(self.random.randint(1, 3)):
            self.leaf(self.shape())

    def chance(self, probability):
        return self.random.random() < probability

    def number(self):
        return self.random.choice(WILD) if self.wild and self.chance(0.1) else round(self.random.uniform(-2, 2), 4)

    def size(self):
        return 0 if self.chance(0.01) else self.random.choice([1, *self.sizes])

    def shape(self, low=0, high=3):
        return [self.size() for _ in range(self.random.randint(low, high))]

    def emit(self, op, *arguments, count=1):
        """Appends a statement and returns the name of its result, or of all when there is another number of them."""
        try:
            results = call(op, arguments, self.values)
        except (RuntimeError, IndexError) as error:
            raise Unsuitable from error
        for x in results:
            if x.numel() > self.most_elements or x.dim() > MOST_AXES:
                raise Unsuitable
            if x.dtype == f64 and not self.wild and not (x.abs() <= self.tame).all():
                raise Unsuitable
        names = [f"v{len(self.values) + i}" for i in range(len(results))]
        self.program.statements.append((names, op, arguments))
        self.values.update(zip(names, results))
        for a in filter(is_name, arguments):
            self.uses[a] += 1
        self.uses.update({name: 0 for name in names})
        return names[0] if count == 1 else names

    def leaf(self, shape):
        if self.leaves == MOST_LEAVES:
            raise Unsuitable
        self.leaves += 1
        if self.large:
            return self.emit("drawn_leaf", shape, self.random.randrange(1000))
        # Halves tie, and their sums are exact. Sums of decimals that cancel are not: with four places they are rare.
        draw = (lambda: self.random.randint(-4, 4) / 2) if self.chance(0.2) else (lambda: self.random.uniform(-2, 2))
        values = [round(draw(), 4) for _ in range(math.prod(shape))]
        if self.wild:
            values = [self.random.choice(WILD) if self.chance(0.15) else v for v in values]
        return self.emit("leaf", shape, *values)

    def index(self, shape, limit):
        if limit == 0 and math.prod(shape):
            raise Unsuitable
        if self.large:
            return self.emit("drawn_index", shape, self.random.randrange(1000), max(limit, 1))
        return self.emit("index", shape, *(self.random.randrange(limit) for _ in range(math.prod(shape))))

    def operand(self, suits=lambda x: True):
        """A value to compute with, rather one that nobody used, or a recent one."""
        names = [name for name, x in self.values.items() if x.dtype == f64 and suits(x)]
        if not names:
            raise Unsuitable
        weights = [(8 if self.uses[name] == 0 else 1) * (2 if place > len(names) - 6 else 1)
                   for place, name in enumerate(names)]
        return self.random.choices(names, weights)[0]

    def with_axes(self, low=1, high=9):
        return self.operand(lambda x: low <= x.dim() <= high)

    def partner(self, name):
        """A value that broadcasts with this one; a new leaf, now and then."""
        shape = self.values[name].shape
        if self.chance(0.1) and self.leaves < MOST_LEAVES:
            return self.leaf([1 if self.chance(0.3) else n for n in shape[self.random.randint(0, len(shape)):]])

        def fits(x):
            return all(a == b or 1 in (a, b) for a, b in zip(reversed(x.shape), reversed(shape)))

        return self.operand(fits)

    def axis(self, name):
        rank = self.values[name].dim()
        return self.random.randrange(-rank, rank)

    def axes(self, name):
        rank = self.values[name].dim()
        return [a - rank if self.chance(0.3) else a for a in range(rank) if self.chance(0.5)]

    def broadcasting_to(self, shape):
        """A shape that broadcasts to this one."""
        left_out = self.random.randint(0, len(shape)) if self.chance(0.3) else 0
        return [1 if self.chance(0.3) else n for n in shape[left_out:]]

    def positive(self, name):
        """The value or something made of it, 0.3 or more unless the program is wild."""
        if (self.wild and self.chance(0.7)) or lowest(self.values[name]) >= 0.3:
            return name
        return self.emit("add", self.emit(self.random.choice(["abs", "sigmoid", "exp"]), name), 0.5)

    def away_from_zero(self, name):
        x = self.values[name]
        if (self.wild and self.chance(0.7)) or lowest(x.abs()) >= 0.3:
            return name
        return self.emit("add", self.emit("mul", name, name), 0.5)

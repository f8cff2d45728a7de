"""Finds small mistakes that could be made in C++ sources, and writes sources in which each can be switched on.

It relies on the sources being formatted: a binary operator has a blank on either side, and nothing else does."""

import hashlib
import re
from dataclasses import dataclass, replace

SWAPPED = {'+': '-', '-': '+', '*': '/', '/': '*', '%': '*', '<': '<=', '<=': '<', '>': '>=', '>=': '>',
           '==': '!=', '!=': '==', '&&': '||', '||': '&&'}
LEVELS = [['||'], ['&&'], ['|'], ['^'], ['&'], ['==', '!='], ['<', '<=', '>', '>='], ['<<', '>>'], ['+', '-'],
          ['*', '/', '%']]
PRECEDENCE = {operator: level for level, operators in enumerate(LEVELS) for operator in operators}
BINARY = re.compile(r'(?<=\s)(\|\||&&|==|!=|<=|>=|<<|>>|[-+*/%<>&|^])(?=\s)')
ENDS_OPERAND = re.compile(r'(?<=\s)(?:[-+*/%&|^]|<<|>>)?=(?=\s)|[?,;]|(?<=\s):(?=\s)|\b(?:return|else|do|throw)\b')
CLOSING = {'(': ')', '[': ']', '{': '}'}
# Where the compiler needs to know the value.
CONSTANT = re.compile(r'constexpr|constinit|static_assert|template\s*<|^\s*#|\\$|^\s*(?:using|typedef|enum)\b|\bconcept\b')


@dataclass(frozen=True)
class Mutant:
    file: str
    begin: int  # what is replaced
    end: int
    line: int
    before: str  # on one line, without comments
    after: str
    code: str  # what is compiled, with $on for 'this mutant is on' and $old for what was there
    key: str  # stays when other lines change

    @property
    def number(self):
        return int(self.key[:7], 16)


def masked(text):
    """The text with comments blanked and literals made of letters, at the same places."""
    def hide(match):
        piece = match.group()
        return re.sub(r'[^\n]', ' ', piece) if piece[0] == '/' else piece[0] + 'x' * (len(piece) - 2) + piece[-1]
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', hide, text, flags=re.S)


def brackets(code):
    """For each bracket the place of its partner."""
    partner, stack = {}, []
    for i, c in enumerate(code):
        if c in CLOSING:
            stack.append(i)
        elif c in ')]}' and stack:
            j = stack.pop()
            partner[i], partner[j] = j, i
    return partner


class Source:
    def __init__(self, file, text):
        self.file, self.text, self.code = file, text, masked(text)
        self.partner = brackets(self.code)
        self.lines = self.code.split('\n')
        # Ends of operands, with how tightly they bind; what is no binary operator ends every operand.
        self.ends = {m.start(): (PRECEDENCE[m.group()], m.end()) for m in BINARY.finditer(self.code)}
        self.ends |= {m.start(): (-1, m.end()) for m in ENDS_OPERAND.finditer(self.code)}
        self.end_of = {end: (level, start) for start, (level, end) in self.ends.items()}
        self.found = []

    def piece(self, begin, end):
        """A part on one line, without comments."""
        visible = ''.join(t if c != ' ' else ' ' for c, t in zip(self.code[begin:end], self.text[begin:end]))
        return ' '.join(visible.split())

    def left_of(self, at, level):
        """Where the left operand of an operator begins."""
        i = at
        while i > 0:
            before = self.end_of.get(i)
            if before and i != at and before[0] < level:
                break
            c = self.code[i - 1]
            if c in ')]}':
                i = self.partner[i - 1]
            elif c in CLOSING:
                break
            else:
                i -= 1
        while self.code[i].isspace():
            i += 1
        return i

    def right_of(self, at, level):
        """Where the right operand of an operator ends."""
        i = at
        while i < len(self.code):
            after = self.ends.get(i)
            if after and after[0] <= level or self.code[i] in ')]}':
                break
            i = self.partner.get(i, i) + 1
        return len(self.code[:i].rstrip())

    def add(self, begin, end, after, code):
        line = self.code.count('\n', 0, begin)
        if any(CONSTANT.search(each) for each in self.lines[line:self.code.count('\n', 0, end) + 1]):
            return
        before = self.piece(begin, end)
        place = sum(m.before == before and m.after == after for m in self.found)
        digest = hashlib.sha256(f'{self.file}:{before}:{after}:{place}'.encode()).hexdigest()
        self.found.append(Mutant(self.file, begin, end, line + 1, before, after, code, digest[:16]))

    def operators(self):
        for match in BINARY.finditer(self.code):
            operator = match.group()
            if operator not in SWAPPED:
                continue
            level = PRECEDENCE[operator]
            begin, end = self.left_of(match.start(), level), self.right_of(match.end(), level)
            left, right = self.piece(begin, match.start()), self.piece(match.end(), end)
            if '"' in left + right and operator not in ('&&', '||'):
                continue  # text is joined
            one = operator in '+-' and right == '1'
            others = [left] if one else [f'{left} {SWAPPED[operator]} {right}']
            if operator in '-/':
                others.append(f'{right} {operator} {left}')
            for other in others:
                self.add(begin, end, other, f'($on ? ({other}) : ($old))')

    def signs_and_flags(self):
        for match in re.finditer(r'(?<=[(,\s{])([-!])(?=[\w(])', self.code):
            end = match.end()
            while self.code[end] not in ' \n,);]}':
                end = self.partner.get(end, end) + 1
            operand = self.piece(match.end(), end)
            kind = 'static_cast<bool>' if match.group() == '!' else ''
            self.add(match.start(), end, operand, f'($on ? {kind}({operand}) : ($old))')
        for match in re.finditer(r'\b(true|false)\b', self.code):
            self.add(*match.span(), 'false' if match.group() == 'true' else 'true', '($on != $old)')

    def conditions(self):
        for match in re.finditer(r'\brequire\(', self.code):
            end = self.right_of(match.end(), -1)
            self.add(match.end(), end, 'true', '$on || ($old)')
        for match in re.finditer(r'\bif \(', self.code):
            begin, end = match.end(), self.partner[match.end() - 1]
            if not re.search(r'; | = ', self.code[begin:end]):
                self.add(begin, end, 'true', '$on || ($old)')
                self.add(begin, end, 'false', '!$on && ($old)')

    def statements(self):
        starts = re.compile(r'(?:[;{}]|\)|\belse)\s*$')
        for match in re.finditer(r'(?<=[\s])([\w*+(-][^;{}\n]*);', self.code):
            begin, end = match.span(1)
            prefix = re.match(r'(?:else )?(?:if|for|while) (?=\()|else ', self.code[begin:end])
            if prefix:
                begin += prefix.end()
                if self.code[begin] == '(':
                    if (close := self.partner[begin]) >= end:
                        continue
                    begin = close + 2
            elif not starts.search(self.code[:begin]):
                continue
            self.statement(begin, end)

    def statement(self, begin, end):
        flat, i = '', begin  # without what stands in brackets
        while i < end:
            flat += self.code[i]
            i = self.partner.get(i, i) + 1 if self.code[i] in CLOSING else i + 1
        if re.match(r'(?:return|throw|delete|break|continue|static_assert|fail\w*|require)\b', flat) or i != end:
            return
        assigned = re.match(r'(\S+) ([-+*/^|]?=) (?!delete|default|0$)', flat)
        if not assigned and not re.match(r'[\w:.>~-]+\($|(?:\+\+|--)\S+$', flat):
            return
        self.add(begin, end, '', 'static_cast<void>($on ? void() : void($old))')
        if assigned and assigned.group(2) == '+=':
            other = self.piece(begin, end).replace(' += ', ' = ', 1)
            self.add(begin, end, other, f'static_cast<void>($on ? void({other}) : void($old))')


def find(file, text):
    """All mutants of a file."""
    source = Source(file, text)
    source.operators()
    source.signs_and_flags()
    source.conditions()
    source.statements()
    return source.found


def written(text, mutants):
    """The text with these mutants in it, every line where it was."""
    out, at = '', 0
    outermost_first = sorted(mutants, key=lambda m: (m.begin, -m.end))
    while outermost_first:
        first, inner, rest = outermost_first[0], [], []
        for m in outermost_first[1:]:
            (inner if m.end <= first.end else rest).append(m)
        moved = [replace(m, begin=m.begin - first.begin, end=m.end - first.begin) for m in inner]
        old = written(text[first.begin:first.end], moved)
        code = first.code.replace('$on', f'(retrace_mutant == {first.number})').replace('$old', old)
        out += text[at:first.begin] + code
        at, outermost_first = first.end, [m for m in rest if m.begin >= first.end]
    return out + text[at:]

"""Every small change to a C file that a machine can think of.

Each is of a kind: a condition `negated`, a number or border `off by one`, a `dropped call`, or
`other`, which are as many again and mostly ask the same questions.

No parser: tokens, brackets and statements are enough for code of this form. A change that does not
compile is no mutant; whoever builds them finds that out. What only writes to the log is left
alone: statements and functions whose names begin with log_.
"""
import re

TOKEN = re.compile(r"""
      (?P<blank>\s+|//[^\n]*|/\*.*?\*/|^[ \t]*\#(?:[^\n]*\\\n)*[^\n]*)
    | (?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    | (?P<number>(?:0[xX][0-9a-fA-F.]+[pP]?[-+]?\d*|\d+\.?\d*(?:[eE][-+]?\d+)?)[uUlLfF]*)
    | (?P<name>[A-Za-z_]\w*)
    | (?P<sign><<=|>>=|\.\.\.|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|.)
    """, re.X | re.S | re.M)

SWAPS = {
    "<": ["<="], "<=": ["<"], ">": [">="], ">=": [">"], "==": ["!="], "!=": ["=="],
    "&&": ["||"], "||": ["&&"], "+": ["-"], "-": ["+"], "*": ["/"], "/": ["*"], "%": ["/"],
    "<<": [">>"], ">>": ["<<"], "++": ["--"], "--": ["++"], "+=": ["-="], "-=": ["+="],
}
BINARY_ONLY = {"<", ">", "+", "-", "*", "/", "%"}
OPENS, CLOSES = {"(": ")", "[": "]", "{": "}"}, {")", "]", "}"}
TYPES = {"struct", "enum", "const", "static", "int", "bool", "char", "double", "size_t", "int64_t",
         "uint64_t", "void", "unsigned", "time_t", "long"}
HEADERS = {"if", "while", "for", "switch"}
CHAIN_ENDS = {"(", ")", ",", "?", ":", ";", "=", "return", "{", "}", "[", "]", "+=", "-="}


class Token:
    __slots__ = ("kind", "text", "start", "end")

    def __init__(self, kind, text, start):
        self.kind, self.text, self.start, self.end = kind, text, start, start + len(text)


class Change:
    """`what` names it without line numbers, so that an explanation survives edits elsewhere."""

    def __init__(self, source, function, start, end, new, what=None, kind="other"):
        self.function, self.kind = function, kind
        self.start, self.end, self.new = start, end, new
        self.line = source.count("\n", 0, start) + 1
        changed = source[:start] + new + source[end:]
        first = source.rfind("\n", 0, start) + 1
        last = changed.find("\n", start + len(new))
        self.what = what or " ".join(changed[first:last].split())
        self.old = " ".join(source[first:source.find("\n", end)].split())


def tokens_of(source):
    found = []
    for m in TOKEN.finditer(source):
        if m.lastgroup != "blank":
            found.append(Token(m.lastgroup, m.group(), m.start()))
    return found


class Reader:
    def __init__(self, source):
        self.source = source
        self.tokens = tokens_of(source)
        self.match = self._match()
        self.changes = []
        self.function = ""

    def _match(self):
        match, open_ = {}, []
        for i, t in enumerate(self.tokens):
            if t.text in OPENS:
                open_.append(i)
            elif t.text in CLOSES:
                match[i] = open_.pop()
                match[match[i]] = i
        return match

    def text(self, i):
        return self.tokens[i].text if 0 <= i < len(self.tokens) else ""

    def change(self, first, last, new, what=None, kind="other"):
        """Tokens first…last, both included."""
        self.changes.append(Change(self.source, self.function, self.tokens[first].start,
                                   self.tokens[last].end, new, what, kind))

    def piece(self, first, last):
        return self.source[self.tokens[first].start:self.tokens[last].end]

    # ---- a file: enums and functions

    def read(self):
        i = 0
        while i < len(self.tokens):
            if self.text(i) == "{":
                if self.text(i - 1) == ")":
                    self._function(i)
                elif self.text(i - 1) == "enum":
                    self.function = "enum"
                    for k in range(i, self.match[i]):
                        self._constant(k)
                i = self.match[i]
            i += 1
        return self.changes

    def _function(self, i):
        parameters = self.match[i - 1]
        self.function = self.text(parameters - 1)
        if self.function.startswith("log_"):
            return
        first = parameters - 1
        while first > 0 and self.text(first - 1) not in {";", "}", ")"}:
            first -= 1
        self._empty([t.text for t in self.tokens[first:parameters - 1]], i)
        self._block(i)

    def _empty(self, returns, i):
        values = [""]
        if "*" in returns:
            values = [" NULL"]
        elif "bool" in returns:
            values = [" true", " false"]
        elif "struct" in returns:
            return
        elif "void" not in returns:
            values = [" 0"]
        for value in values:
            self.change(i, i, "{ return%s;" % value, f"at once: return{value};")

    # ---- statements

    def _block(self, i):
        """`i` is at its {."""
        end = self.match[i]
        i += 1
        while i < end:
            i = self._statement(i)

    def _statement(self, i):
        """→ index behind it"""
        t = self.text(i)
        if t == "{":
            self._block(i)
            return self.match[i] + 1
        if t in {"else", "do"}:
            return self._statement(i + 1)
        if t in {"case", "default"}:
            while self.text(i) != ":":
                i += 1
            return i + 1
        if t in HEADERS:
            return self._header(i)
        if self.text(i + 1) == ":" and self.tokens[i].kind == "name":
            return i + 2
        if self._is_loop_macro(i):
            return self._statement(self.match[i + 1] + 1)
        return self._simple(i)

    def _is_loop_macro(self, i):
        if self.tokens[i].kind != "name" or self.text(i + 1) != "(":
            return False
        after = self.tokens[self.match[i + 1] + 1]
        return after.text == "{" or after.kind == "name"

    def _header(self, i):
        close = self.match[i + 1]
        first, last = i + 2, close - 1
        if self.text(i) == "for":
            parts = self._split(i + 2, close, ";")
            first, last = parts[1]
        if self.text(i) != "switch" and first <= last:
            whole = self.piece(first, last)
            if "log_" not in whole:
                self.change(first, last, f"!({whole})", kind="negated")
        self._expression(i + 2, close)
        if self.text(close + 1) == ";":
            return close + 2
        return self._statement(close + 1)

    def _split(self, first, end, separator):
        parts, start, i = [], first, first
        while i < end:
            if self.text(i) in OPENS:
                i = self.match[i]
            elif self.text(i) == separator:
                parts.append((start, i - 1))
                start = i + 1
            i += 1
        return parts + [(start, end - 1)]

    def _simple(self, i):
        end = i
        while self.text(end) != ";":
            end = self.match[end] + 1 if self.text(end) in OPENS else end + 1
        if self.text(i).startswith("log_") and self.text(i + 1) == "(":
            return end + 1
        if end > i and not self._declares(i, end) and self.text(i) != "(":
            if self.text(i) != "return" or end == i + 1:
                whole = self.piece(i, end)
                self.change(i, end, ";", "drop: " + " ".join(whole.split()),
                            "dropped call" if self._is_call(i, end) else "other")
        self._expression(i, end)
        return end + 1

    def _is_call(self, i, end):
        return self.tokens[i].kind == "name" and self.text(i) not in {"return", "goto"} and \
            any(self.text(k) == "(" and self.tokens[k - 1].kind == "name" for k in range(i, end))

    def _declares(self, i, end):
        if self.text(i) in TYPES:
            return True
        first, second = self.tokens[i], self.tokens[min(i + 1, end)]
        return first.kind == "name" and second.kind == "name" and first.text not in {"return", "goto"}

    # ---- expressions

    def _expression(self, first, end):
        for i in range(first, end):
            t = self.tokens[i]
            if t.kind == "number" or t.text in {"true", "false"}:
                self._constant(i)
            elif t.text == "!":
                self.change(i, i, "", kind="negated")
            elif t.text == "?":
                self._ternary(i)
            elif t.text in SWAPS and self._is_operator(i):
                for new in SWAPS[t.text]:
                    self.change(i, i, new, kind=self._kind_of_swap(i))
            if t.text in {"&&", "||"}:
                self._operands(i, t.text, first, end)

    def _kind_of_swap(self, i):
        if self.text(i) in {"==", "!="}:
            return "negated"
        one_more = self.text(i) in {"+", "-"} and self.text(i + 1) == "1"
        return "off by one" if one_more or self.text(i) in {"<", "<=", ">", ">="} else "other"

    def _is_operator(self, i):
        t, before, after = self.text(i), self.tokens[i - 1], self.text(i + 1)
        if t not in BINARY_ONLY:
            return True
        if t == "*" and after in {")", ","}:
            return False
        return before.kind in {"name", "number"} and before.text != "return" or \
            before.text in {")", "]"}

    def _constant(self, i):
        text = self.text(i)
        if text in {"true", "false"}:
            self.change(i, i, "false" if text == "true" else "true", kind="negated")
            return
        digits = re.match(r"\d+(?=[uUlL]*$)", text)
        if not digits:
            return
        n = int(digits.group())
        for new in [1] if n == 0 else [0] if n == 1 else [n + 1, n - 1] if n < 10 else [n * 2, n // 2]:
            self.change(i, i, str(new) + text[len(digits.group()):],
                        kind="off by one" if abs(new - n) == 1 else "other")

    def _ternary(self, i):
        colon = self._skip_to(i + 1, {":"})
        end = self._skip_to(colon + 1, {",", ";", ")", "]", "}", ":"})
        self.change(i + 1, end - 1, f"{self.piece(colon + 1, end - 1)} : {self.piece(i + 1, colon - 1)}")

    def _skip_to(self, i, wanted):
        nested = 0
        while self.text(i) not in wanted or nested:
            if self.text(i) in OPENS:
                i = self.match[i]
            elif self.text(i) == "?":
                nested += 1
            elif self.text(i) == ":":
                nested -= 1
            i += 1
        return i

    def _operands(self, i, sign, first, end):
        """What is demanded on each side is not demanded any more."""
        stops = CHAIN_ENDS | {sign} | ({"||"} if sign == "&&" else set())
        left, right = i - 1, i + 1
        while left >= first and (self.text(left) in CLOSES or self.text(left) not in stops):
            left = (self.match[left] if self.text(left) in CLOSES else left) - 1
        while right < end and (self.text(right) in OPENS or self.text(right) not in stops):
            right = (self.match[right] if self.text(right) in OPENS else right) + 1
        neutral = "true" if sign == "&&" else "false"
        self.change(left + 1, i - 1, neutral)
        self.change(i + 1, right - 1, neutral)


def changes_of(source):
    """→ the changes, each once"""
    seen, unique = set(), []
    for c in Reader(source).read():
        key = (c.start, c.end, c.new)
        if key not in seen:
            seen.add(key)
            unique.append(c)
    return unique

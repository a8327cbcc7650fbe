import resource
import time

import pytest

from actors.memory.outline import outline

PYTHON = """import os

try:
    import fast
except ImportError:
    def slow():
        pass

x = 1  # of no definition
def near(): pass

# Adds up.
@cached
def total(prices):
    return sum(prices)


class Cart:
    def add(self): ...
"""
SCRIPT = """const fs = require("fs");

/** Adds. */
function add(a, b) { return a + b; }
exports.sub = function (a, b) { return a - b; };
Cart.prototype.pay = function () {};
module.exports = {
  times(a, b) { return a * b; },
  over: (a, b) => a / b,
  pi: 3,
};
"""
TYPED = """import z from "zod";

/** What costs. */
export interface Item { price: number }
export type Price = number;
export const tax = (price: Price) => {
  return price * 2;
};
export default class Cart<T> extends Base { run(): void {} }
export const schema = z.object({
  a: z.string(),
  b: z.string(),
});
declare function ship(): void;
namespace Shop { export function open() {} }
enum Size { Small, Large }
"""
GO = """package shop

// Greet says hello.
func Greet(n string) string {
	return n
}

type Cart[T any] struct {
	items []T
}

func (c *Cart[T]) Add(t T) { c.items = append(c.items, t) }
"""
RUST = """use std::fmt;

/// A cart.
#[derive(Debug)]
pub struct Cart { items: u8 }

impl Cart {
    pub fn total(&self) -> u8 { 1 }
}
macro_rules! price { () => {} }
"""
JAVA = """package shop;

/** Holds items. */
@Entity
public class Cart {
  int total() { return 1; }
}
"""


def found(path: str, text: str) -> list[tuple[str, str, int, int]]:
    spans = outline(path, text)
    assert spans is not None
    return [(s.form, s.symbol, s.first, s.last) for s in spans if s.symbol]


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (
            "a.py",
            PYTHON,
            [
                ("function", "slow", 6, 7),
                ("function", "near", 10, 10),
                ("function", "total", 12, 15),
                ("class", "Cart", 18, 19),
            ],
        ),
        (
            "a.js",
            SCRIPT,
            [
                ("function", "add", 3, 4),
                ("function", "sub", 5, 5),
                ("function", "Cart.pay", 6, 6),
                ("method", "times", 8, 8),
                ("function", "over", 9, 9),
            ],
        ),
        (
            "a.ts",
            TYPED,
            [
                ("interface", "Item", 3, 4),
                ("type", "Price", 5, 5),
                ("function", "tax", 6, 8),
                ("class", "Cart", 9, 9),
                ("constant", "schema", 10, 13),
                ("function", "ship", 14, 14),
                ("namespace", "Shop", 15, 15),
                ("enum", "Size", 16, 16),
            ],
        ),
        (
            "a.go",
            GO,
            [("function", "Greet", 3, 6), ("type", "Cart", 8, 10), ("method", "Cart.Add", 12, 12)],
        ),
        (
            "a.rs",
            RUST,
            [("struct", "Cart", 3, 5), ("impl", "Cart", 7, 9), ("macro", "price", 10, 10)],
        ),
        ("Cart.java", JAVA, [("class", "Cart", 3, 7)]),
    ],
)
def test_definitions_are_found_with_what_stands_directly_above_them(
    path: str, text: str, expected: list[tuple[str, str, int, int]]
) -> None:
    assert found(path, text) == expected


@pytest.mark.parametrize(
    ("path", "opening", "method", "closing", "name"),
    [
        ("a.ts", "export class Cart {", "  m{n}() {{\n{body}  }}", "}", "Cart.m1"),
        ("a.rs", "impl Cart {", "  fn m{n}() {{\n{body}  }}", "}", "Cart.m1"),
        ("A.java", "class Cart {", "  void m{n}() {{\n{body}  }}", "}", "Cart.m1"),
        ("a.py", "class Cart:", "    def m{n}(self):\n{body}", "", "Cart.m1"),
    ],
)
def test_a_large_class_is_cut_by_its_methods(
    path: str, opening: str, method: str, closing: str, name: str
) -> None:
    body = "        call();\n" * 40
    text = "\n".join([opening, *(method.format(n=n, body=body) for n in (1, 2)), closing])
    assert ("method", name) in [(form, symbol) for form, symbol, *_ in found(path, text)]


def test_documentation_may_stand_a_line_above_and_other_comments_may_not() -> None:
    assert found("a.js", "/** Pays. */\n\nfunction pay() {}\n") == [("function", "pay", 1, 3)]
    assert found("a.js", "// Loose.\n\nfunction pay() {}\n") == [("function", "pay", 3, 3)]


def test_a_language_that_no_grammar_knows_has_no_outline() -> None:
    assert outline("a.cobol", "MOVE A TO B.") is None


def test_spans_cover_every_line_once() -> None:
    for path, text in {"a.py": PYTHON, "a.js": SCRIPT, "a.rs": RUST, "a.go": GO}.items():
        spans = outline(path, text) or []
        lines = [line for s in spans for line in range(s.first, s.last + 1)]
        assert lines == list(range(1, text.count("\n") + 2)), path


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["py", "js", "ts", "tsx", "go", "rs", "java"])
@pytest.mark.parametrize(
    "text",
    [
        "(" * 300_000,
        "f(<" * 100_000,
        '"' * 300_001,
        "if x:\n" * 60_000,
        "a<" * 150_000,
        ("a<" * 24 + ";") * 5_000,
        "\ud800" * 99,
    ],
)
def test_hostile_text_costs_a_second_and_some_memory_at_most(suffix: str, text: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    outline(f"a.{suffix}", text)
    assert time.monotonic() - start < 5  # of a machine that does other things too
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000

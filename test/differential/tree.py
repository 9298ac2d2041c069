"""Texts that remember how they were put together, so that a failing kernel can be made smaller piece by piece."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Node:
    """`pieces` are strings and nodes in order; `kind` is the type of an expression (f32, i32, bool), or what else it is."""
    kind: str
    pieces: tuple

    def __str__(self):
        return "".join(map(str, self.pieces))

    def below(self):
        """All nodes inside, outer ones first."""
        for piece in self.pieces:
            if isinstance(piece, Node):
                yield piece
                yield from piece.below()

    def variants(self):
        """This node with one thing less."""
        atoms = {"f32": ["1", "0.5"], "i32": ["0", "1"], "bool": ["true", "false"]}.get(self.kind, [])
        if len(str(self)) > 4:
            for atom in atoms:
                yield Node(self.kind, (atom,))
        inside = [n for n in self.below() if n.kind == self.kind]
        yield from sorted(inside, key=lambda n: len(str(n)))
        for at, piece in enumerate(self.pieces):
            if isinstance(piece, Node):
                for smaller in piece.variants():
                    yield Node(self.kind, self.pieces[:at] + (smaller,) + self.pieces[at + 1:])


def node(kind, template, *parts):
    """`template` with each {} replaced by a part."""
    texts = template.split("{}")
    assert len(texts) == len(parts) + 1, (template, parts)
    pieces = [texts[0]]
    for part, text in zip(parts, texts[1:]):
        pieces += [part, text]
    return Node(kind, tuple(p for p in pieces if p != ""))

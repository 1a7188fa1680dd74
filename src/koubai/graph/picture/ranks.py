"""The rank of every place, from left to right, and the order in which they are read."""

from collections import defaultdict

from koubai.graph.picture.scene import Edge, Place

__all__ = ["ranks_of", "reading_order"]

FEW_RANKS = 6


def ranks_of(shown: list[Place], edges: list[Edge]) -> dict[str, int]:
    """Give every place its rank: how many operations stand to the left of it, one after another."""
    ranks = {place.key: int(place.kind in {"operation", "layer"}) for place in shown}
    before = _sources(edges)
    for place in shown:
        ranks[place.key] = max([ranks[place.key], *(ranks[key] + 1 for key in before[place.key])])
    # As in the book what comes in stands at the far left, but not in a long graph, where its
    # lines would run along everything; and a number without a name stands where it is used.
    first: dict[str, int] = {}
    for edge in edges:
        first[edge.source] = min(ranks[edge.target], first.get(edge.source, len(ranks)))
    long = max(ranks.values(), default=0) > FEW_RANKS
    for place in shown:
        key, literal = place.key, place.kind == "constant" and not place.name
        if not before[key] and key in first and (long or literal):
            ranks[key] = first[key] - 1
    return ranks


def reading_order(shown: list[Place], edges: list[Edge], output: str) -> list[str]:
    """Give the places in the order in which a reader of the formula meets them."""
    before = _sources(edges)
    order: dict[str, None] = {}
    entered: set[str] = set()
    stack = [place.key for place in reversed(shown)] + ([output] if shown else [])
    while stack:
        key = stack[-1]
        if key in entered:
            order[stack.pop()] = None
            continue
        entered.add(key)
        stack += [source for source in reversed(before[key]) if source not in entered]
    return list(order)


def _sources(edges: list[Edge]) -> dict[str, list[str]]:
    sources: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        sources[edge.target].append(edge.source)
    return sources

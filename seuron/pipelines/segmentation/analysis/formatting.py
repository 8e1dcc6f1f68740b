"""An explanation in sentences."""

from __future__ import annotations

from seuron.pipelines.segmentation.analysis.explain import Explanation, Forbidden, Link, Place

#: Links of a chain or path, and vetoes, that are listed at most.
TOLD = 12


def sentences(found: Explanation) -> list[str]:
    """What an explanation says, a sentence or a link each."""
    return [_first(found), *_why(found), *_ways(found)]


def _first(found: Explanation) -> str:
    (a, b), (first, second) = found.supervoxels, found.segments
    if found.relation == "same supervoxel":
        return f"Both are supervoxel {a} of segment {first}: the watershed made them one, before agglomeration."
    if found.relation == "joined":
        return f"Supervoxels {a} and {b} are one: segment {first}, at the threshold {found.threshold:g}."
    return f"Segments {first} and {second} are two, at the threshold {found.threshold:g}."


def _why(found: Explanation) -> list[str]:
    told = _cut([_refused(refused, found.path) for refused in found.forbidden])
    if found.relation == "joined":
        weakest, joins = found.weakest, len(found.chain)
        assert weakest is not None  # two supervoxels of one segment have a chain
        told.append(f"{joins} joins lie between them; the weakest: {_contact(weakest)}.")
    elif found.contact is not None:
        reason = "" if found.forbidden else ", which is not above the threshold"
        told.append(f"They touch, with a mean affinity of {_mean(found.contact)}{reason}: {_contact(found.contact)}.")
    elif found.relation != "same supervoxel":
        told.append("They do not touch: there is no voxel edge between them.")
    if found.relation not in ("joined", "same supervoxel"):
        told.append(_one_below(found))
    return told


def _refused(refused: Forbidden, path: tuple[Link, ...]) -> str:
    contact, where = refused.contact, "On the best way between them, the" if path else "The"
    return f"{where} rule {refused.rule} forbade to join clusters {contact.a} and {contact.b}: {_contact(contact)}."


def _one_below(found: Explanation) -> str:
    if found.relation == "unconnected":
        return "No threshold makes them one: nothing that touches the one leads to the other."
    if found.weakest is None and found.lowest > 0:
        return (
            "Whether a lower threshold makes them one cannot be told from this run: its rules depend on the threshold."
        )
    if found.weakest is None:
        return "No threshold makes them one: the run's rules forbid it."
    return (
        f"They are one at every threshold below {_mean(found.weakest)}, by {len(found.chain)} joins; "
        f"the weakest: {_contact(found.weakest)}."
    )


def _ways(found: Explanation) -> list[str]:
    """The links of the chain or the path, one a line, the weakest marked."""
    if found.relation == "joined":
        return ["The joins from the one to the other:", *_links(found.chain, found.weakest)]
    if found.path:
        return [
            "The best way from the one to the other, through other segments:",
            *_links(found.path, found.bottleneck),
        ]
    return []


def _links(links: tuple[Link, ...], weakest: Link | None) -> list[str]:
    return _cut([f"  {link.a} - {link.b}: {_contact(link)}{' (weakest)' if link is weakest else ''}" for link in links])


def _cut(told: list[str]) -> list[str]:
    """Lines, those in the middle left out where they are many."""
    if len(told) <= TOLD:
        return told
    return [*told[: TOLD // 2], f"  ... {len(told) - TOLD} more (--json lists all) ...", *told[-(TOLD // 2) :]]


def _mean(link: Link) -> str:
    return f"{link.mean:.6g}"


def _contact(link: Link) -> str:
    edges = "1 voxel edge" if link.voxel_edges == 1 else f"{link.voxel_edges} voxel edges"
    return f"mean {_mean(link)} over {edges}, the first {_place(link.place)}"


def _place(place: Place) -> str:
    voxel, nm = (", ".join(f"{value:g}" for value in values) for values in (place.voxel, place.nm))
    return f"at voxel {voxel} ({nm} nm)"

"""Figures as people write them: durations, lengths, bytes, counts."""

from __future__ import annotations

from collections.abc import Sequence

#: Between thousands and before units: spaces that lines do not break at.
THIN, SPACE = "\u202f", "\u00a0"


def count(value: float) -> str:
    """A whole number with its thousands apart; other numbers to four digits."""
    if float(value).is_integer():
        return f"{int(value):,}".replace(",", THIN)
    return f"{value:.4g}"


def scaled(value: float, units: Sequence[str], step: float) -> str:
    """Three digits (fewer where the number is round) and the largest unit that keeps it at or above 1."""
    index = 0
    while abs(value) >= step * 0.9995 and index < len(units) - 1:
        value, index = value / step, index + 1
    exact = float(value).is_integer() or abs(value) >= 99.95
    digits = 0 if exact else 1 if abs(value) >= 9.995 else 2
    return f"{value:.{digits}f}{SPACE}{units[index]}".strip()


def big(value: float) -> str:
    """Large counts at a glance: 10.4 M."""
    return scaled(value, ("", "k", "M", "G", "T"), 1000)


def file_size(value: float) -> str:
    return scaled(value, ("B", "KiB", "MiB", "GiB", "TiB"), 1024)


def length(nanometres: float) -> str:
    return scaled(nanometres, ("nm", "µm", "mm"), 1000)


def duration(seconds: float) -> str:
    """Seconds to two digits below ten, then minutes, then hours."""
    if seconds < 0.0005:
        return f"0{SPACE}s"
    if seconds < 1:
        return f"{seconds * 1000:.0f}{SPACE}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}{SPACE}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}{SPACE}min{SPACE}{whole % 60:02d}{SPACE}s"
    return f"{whole // 3600}{SPACE}h{SPACE}{whole % 3600 // 60:02d}{SPACE}min"


def percent(share: float) -> str:
    if 0 < share < 0.001:
        return f"<0.1{SPACE}%"
    return f"{share * 100:.1f}{SPACE}%"

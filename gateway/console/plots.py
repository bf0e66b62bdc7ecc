"""Plots made on the server as SVG: stacked bars over time, the age of a leak. Pure; colours come from the stylesheet.

Each bar says in words what it is (`<title>`), and the page has the numbers as a table beside it.
"""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

TALL = 100.0  # of the drawing, in its own units; the page stretches it
GAP = 0.2  # of a bar's place
TICK = 0.9  # percent of an age's bar that a mark takes


def stacked(labels: Sequence[str], series: Mapping[str, Sequence[int]], about: str) -> Markup:
    """Stacked bars: one bar a label, one part a series (class `s-NAME`), in the order of `series`, from below."""
    totals = [sum(values[index] for values in series.values()) for index in range(len(labels))]
    most = ceiling(max(totals, default=0))
    bars = Markup("").join(_bar(index, label, series, most) for index, label in enumerate(labels))
    ends = [labels[0], labels[len(labels) // 2], labels[-1]] if len(labels) > 2 else list(labels)
    half = Markup("<span>{}</span>").format(most // 2) if most % 2 == 0 else Markup("<span></span>")
    return Markup(
        '<div class="plot"><div class="y" aria-hidden="true"><span>{most}</span>{half}<span>0</span></div>'
        '<svg viewBox="0 0 {count} 100" preserveAspectRatio="none" role="img" aria-label="{about}">{bars}</svg>'
        '<div class="x" aria-hidden="true">{ends}</div></div>'
    ).format(
        most=most,
        half=half,
        count=max(len(labels), 1),
        about=about,
        bars=bars,
        ends=Markup("").join(Markup("<span>{}</span>").format(end) for end in ends),
    )


def age(days: float, marks: Sequence[int], whole: int, word: str, about: str) -> Markup:
    """How old something is against `whole` days (class `age a-WORD`), with marks at some of them; full beyond."""
    made = Markup("").join(
        Markup('<rect class="tick" x="{}" width="{}" height="8"/>').format(f"{100 * at / whole - TICK / 2:.2f}", TICK)
        for at in marks
    )
    return Markup(
        '<svg class="age a-{word}" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="{about}">'
        '<title>{about}</title><rect class="ground" width="100" height="8"/>'
        '<rect class="days" width="{wide}" height="8"/>{made}</svg>'
    ).format(word=word, about=about, made=made, wide=f"{max(0.0, min(100 * days / whole, 100)):.2f}")


def _bar(index: int, label: str, series: Mapping[str, Sequence[int]], most: int) -> Markup:
    """The parts of one bar, from below."""
    parts, base = [], TALL
    for name, values in series.items():
        if not values[index]:
            continue
        tall = TALL * values[index] / most
        base -= tall
        parts.append(
            Markup('<rect class="s-{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>').format(
                name, f"{index + GAP / 2:.2f}", f"{base:.2f}", f"{1 - GAP:.2f}", f"{tall:.2f}",
                f"{label}: {values[index]} {name}",
            )
        )  # fmt: skip
    return Markup("").join(parts)


def ceiling(value: int) -> int:
    """The end of the axis: the next number of the form 1, 2 or 5 times a power of ten."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if value <= factor * step:
                return factor * step
        step *= 10

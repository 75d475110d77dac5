"""The report as lines of equal columns."""

from collections.abc import Iterator
from typing import Any

Row = tuple[str, str, str]


def table(report: dict[str, Any]) -> str:
    """What, figure, value; then the machine."""
    rows = [("part", "what", "value"), *rows_of(report)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"{part.ljust(widths[0])}  {what.ljust(widths[1])}  {value}".rstrip() for part, what, value in rows]
    machine = report["machine"]
    return "\n".join([*lines, "", f"{machine['gpu'] or 'no GPU'}, {machine['cores']} cores, {machine['versions']}"])


def rows_of(report: dict[str, Any]) -> Iterator[Row]:
    """Every row."""
    for part, found in report.items():
        if part == "machine":
            yield from ((part, "does not fit", mismatch) for mismatch in found["mismatches"])
        elif "error" in found or "left_out" in found:
            yield part, "failed" if "error" in found else "left out", found.get("error") or found["left_out"]
        elif part == "bundles":
            yield part, "bf16 matrix product", f"{found['peak_tflops']:.1f} TFLOP/s"
            for name, bundle in found.items():
                if isinstance(bundle, dict):
                    yield from bundle_rows(name, bundle)
        else:
            yield from ((part, what, value) for what, value in flat(found))


def bundle_rows(name: str, bundle: dict[str, Any]) -> Iterator[Row]:
    """One bundle's."""
    yield name, "an image of 256 px", f"{bundle['gflop_256']:.1f} GFLOP"
    for form, figures in bundle["forms"].items():
        yield name, f"{form}: largest difference from the CPU's fp32", f"{figures['difference']:.1e}"
        for graph, taken in figures["operators"].items():
            left = ", ".join(f"{count} {kind}" for kind, count in taken.get("cpu", {}).items())
            yield name, f"{form}: {graph} on the CPU", left if len(taken) > 1 else "all" if "cpu" in taken else "none"
        yield name, f"{form}: memory", f"{figures['memory_mb']:.0f} MB, loaded in {figures['load_s']:.1f} s"
        for row in figures["latency"]:
            what = f"{form}: {row['batch']} x {row['width']}x{row['height']}"
            rate = 1000 * row["batch"] / row["p50_ms"]
            yield (
                name,
                what,
                f"p50 {row['p50_ms']:.1f} ms, p90 {row['p90_ms']:.1f} ms, {rate:.1f} images/s, "
                f"{row['share_of_limit']:.1%} of the limit",
            )
    for way, figures in bundle["torch"].items():
        value = figures.get("error") or f"p50 {figures['p50_ms']:.1f} ms{ratio(bundle, way, figures)}"
        yield name, f"PyTorch {way}", value


def ratio(bundle: dict[str, Any], way: str, figures: dict[str, Any]) -> str:
    """How many times as long PyTorch takes for the same batch."""
    form = "fp16" if way.startswith("fp16") else "tf32" if "tf32" in bundle["forms"] else "fp32"
    for row in bundle["forms"].get(form, {}).get("latency", ()):
        if (row["batch"], row["height"], row["width"]) == (figures["batch"], figures["side"], figures["side"]):
            return f", {figures['p50_ms'] / row['p50_ms']:.2f} times {form}'s"
    return ""


def flat(found: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """A tree of figures as lines."""
    if isinstance(found, dict):
        for name, value in found.items():
            yield from flat(value, f"{prefix} {name}".strip())
    else:
        yield prefix, f"{found:.3g}" if isinstance(found, float) else str(found)

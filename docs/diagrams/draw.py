"""Draw the pictures of the documentation: each .toml here becomes an .svg in docs/images.

`python docs/diagrams/draw.py` writes them; with `--check` it writes nothing and exits with 1 when one is out of date.
"""

import sys
import tomllib
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
IMAGES = HERE.parent / "images"
STYLE = """
    text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2933; }
    .title { font-weight: 600; }
    .label { font-size: 12px; fill: #52606d; }
    .box { fill: #eef4fb; stroke: #3b6ea5; }
    .store { fill: #fdf3dc; stroke: #b7791f; }
    .pure { fill: #e9f7ef; stroke: #2f855a; }
    .outside { fill: #ffffff; stroke: #7b8794; stroke-dasharray: 5 4; }
    .frame { fill: #fbfcfd; stroke: #cbd2d9; }
    .line { fill: none; stroke: #52606d; stroke-width: 1.5; }
    .head { fill: #52606d; }
"""
LINE_HEIGHT = 20

Point = tuple[float, float]


def draw(picture: dict[str, Any]) -> str:
    """Return a picture as SVG."""
    width, height = picture["size"]
    boxes = {box["id"]: box for box in picture["box"]}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="t d">',
        f'<title id="t">{escape(picture["title"])}</title>',
        f'<desc id="d">{escape(picture["description"])}</desc>',
        f"<style>{STYLE}</style>",
        '<marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">'
        '<path class="head" d="M0 0 10 5 0 10z"/></marker>',
        f'<rect width="{width}" height="{height}" rx="12" fill="#ffffff"/>',
        *(draw_box(box) for box in boxes.values()),
        *(draw_arrow(arrow, boxes) for arrow in picture["arrow"]),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def draw_box(box: dict[str, Any]) -> str:
    (x, y), (width, height) = box["at"], box["size"]
    kind = box.get("kind", "room")
    parts = [f'<rect class="box {kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>']
    top = y + 24
    for number, line in enumerate([box["title"], *box.get("text", [])]):
        if line:
            name = ' class="title"' if number == 0 else ""
            place = f'x="{x + width / 2:g}" y="{top + number * LINE_HEIGHT:g}"'
            parts.append(f'<text{name} {place} text-anchor="middle">{escape(line)}</text>')
    return "\n".join(parts)


def draw_arrow(arrow: dict[str, Any], boxes: dict[str, Any]) -> str:
    """Draw a line from side to side; where the two ends are not in line, it bends half-way, or at ``bend``."""
    (start, side), (end, _) = find(arrow["from"], boxes), find(arrow["to"], boxes)
    upright = side in {"top", "bottom"}
    if upright:
        bend = arrow.get("bend", (start[1] + end[1]) / 2)
        points: list[Point] = [start, (start[0], bend), (end[0], bend), end]
    else:
        bend = arrow.get("bend", (start[0] + end[0]) / 2)
        points = [start, (bend, start[1]), (bend, end[1]), end]
    path = "M" + " ".join(f"{x:g} {y:g}" for x, y in points)
    drawn = f'<path class="line" d="{path}" marker-end="url(#head)"/>'
    if "label" in arrow:
        x, y = (points[1][0] + points[2][0]) / 2, points[1][1] - 6
        drawn += f'\n<text class="label" x="{x:g}" y="{y:g}" text-anchor="middle">{escape(arrow["label"])}</text>'
    return drawn


def find(place: str, boxes: dict[str, Any]) -> tuple[Point, str]:
    """Return the point that "id:side:share" means, and the side."""
    name, side, share = place.split(":")
    (x, y), (width, height) = boxes[name]["at"], boxes[name]["size"]
    along = float(share)
    points = {
        "left": (x, y + along * height),
        "right": (x + width, y + along * height),
        "top": (x + along * width, y),
        "bottom": (x + along * width, y + height),
    }
    return points[side], side


def main() -> int:
    stale = False
    for source in sorted(HERE.glob("*.toml")):
        image = IMAGES / f"{source.stem}.svg"
        drawn = draw(tomllib.loads(source.read_text("utf-8")))
        if "--check" not in sys.argv:
            image.write_text(drawn, "utf-8")
        elif not image.exists() or image.read_text("utf-8") != drawn:
            stale = True
            print(f"{image.name} is not what {source.name} says: run make diagrams", file=sys.stderr)
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())

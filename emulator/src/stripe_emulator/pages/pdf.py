"""
A very small PDF writer: A4 pages of text and thin rules in Helvetica, which every reader has built in.

See ISO 32000-1, 7.5 (file structure) and 9.6.2 (the standard fonts).
"""

from __future__ import annotations

from typing import Literal

_ENCODING = "cp1252"
_PAGE_WIDTH, _PAGE_HEIGHT = 595, 842

# Helvetica's widths from its AFM file, in thousandths of the size, for the characters from space to tilde.
_WIDTHS = [
    int(width)
    for width in """
    278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556 556 556
    278 278 584 584 584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 722 778 667 778 722 667
    611 722 667 944 667 667 611 278 278 278 469 556 333 556 556 500 556 556 278 556 556 222 222 500 222 833
    556 556 556 556 333 500 278 556 500 722 500 500 500 334 260 334 584
    """.split()  # noqa: SIM905  # a table of numbers, not a list of strings
]
_BOLD_WIDTHS = [
    int(width)
    for width in """
    278 333 474 556 556 889 722 238 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556 556 556
    333 333 584 584 584 611 975 722 722 722 722 667 611 778 722 278 556 722 611 833 722 778 667 778 722 667
    611 722 667 944 667 667 611 333 278 333 584 556 333 556 611 556 611 556 333 611 611 278 278 556 278 889
    611 611 611 611 389 556 333 611 556 778 556 556 500 389 280 389 584
    """.split()  # noqa: SIM905  # a table of numbers, not a list of strings
]
_USUAL_WIDTH = 556


class Document:
    """A PDF being written. Points from the lower left corner; a new document has one empty page."""

    def __init__(self, *, title: str) -> None:
        self._title = title
        self._pages: list[list[str]] = [[]]
        self._current = self._pages[0]

    @property
    def page_count(self) -> int:
        """How many pages there are."""
        return len(self._pages)

    def new_page(self) -> None:
        """Go on with an empty page."""
        self._current = []
        self._pages.append(self._current)

    def on_page(self, index: int) -> None:
        """Go on with a page there is already, counted from 0."""
        self._current = self._pages[index]

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float,
        bold: bool = False,
        gray: float = 0,
        align: Literal["left", "right"] = "left",
        width: float | None = None,
    ) -> None:
        """Write one line; what does not fit into `width` is cut off with an ellipsis."""
        if width is not None:
            text = _cut(text, width, size, bold=bold)
        if align == "right":
            x -= text_width(text, size, bold=bold)
        font = "F2" if bold else "F1"
        self._current.append(f"BT {gray:g} g /{font} {size:g} Tf {x:.2f} {y:.2f} Td {_literal(text)} Tj ET")

    def rule(self, x1: float, x2: float, y: float) -> None:
        """Draw a thin horizontal line."""
        self._current.append(f"0.75 G 0.5 w {x1:.2f} {y:.2f} m {x2:.2f} {y:.2f} l S")

    def render(self) -> bytes:
        """The whole file."""
        first_page = 6
        kids = " ".join(f"{first_page + 2 * index} 0 R" for index in range(self.page_count))
        objects = [
            "<< /Type /Catalog /Pages 2 0 R >>",
            f"<< /Type /Pages /Kids [{kids}] /Count {self.page_count} >>",
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>",
            f"<< /Title {_literal(self._title)} /Producer (stripe_emulator) >>",
        ]
        for index, page in enumerate(self._pages):
            content = "\n".join(page)
            contents = f"/Contents {first_page + 2 * index + 1} 0 R"
            fonts = "/Resources << /Font << /F1 3 0 R /F2 4 0 R >> >>"
            objects += [
                f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {_PAGE_WIDTH} {_PAGE_HEIGHT}] {fonts} {contents} >>",
                f"<< /Length {len(content.encode(_ENCODING))} >>\nstream\n{content}\nendstream",
            ]
        return _file(objects)


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """How wide a text is, in points."""
    widths = _BOLD_WIDTHS if bold else _WIDTHS
    return sum(widths[ord(c) - 32] if " " <= c <= "~" else _USUAL_WIDTH for c in text) * size / 1000


def encodable(text: str) -> bool:
    """Do the standard fonts have every letter of it?"""
    try:
        text.encode(_ENCODING)
    except UnicodeEncodeError:
        return False
    return True


def _cut(text: str, width: float, size: float, *, bold: bool) -> str:
    if text_width(text, size, bold=bold) <= width:
        return text
    while text and text_width(text + "…", size, bold=bold) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _literal(text: str) -> str:
    flat = " ".join(text.split()).encode(_ENCODING, "replace").decode(_ENCODING)
    escaped = flat.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    return f"({escaped})"


def _file(objects: list[str]) -> bytes:
    # The comment of four high bytes tells programs that move files that this one is not text.
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode(_ENCODING)
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    for offset in offsets:
        out += f"{offset:010d} 00000 n \n".encode()
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /Info 5 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)

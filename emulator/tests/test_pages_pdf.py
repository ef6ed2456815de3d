"""The PDF of an invoice, read back byte by byte as a reader does."""

from __future__ import annotations

import re

import pytest

from emulator.tests.scripted_hosted import a_line, an_invoice
from stripe_emulator.pages.invoice_pdf import invoice_pdf
from stripe_emulator.pages.pdf import Document, text_width


def objects(pdf: bytes) -> dict[int, bytes]:
    """The objects, found through the cross-reference table only."""
    start = int(pdf.rsplit(b"startxref\n", 1)[1].split(b"\n")[0])
    assert pdf[start:].startswith(b"xref\n0 ")
    count = int(pdf[start:].split(b"\n")[1].split()[1])
    rows = pdf[start:].split(b"\n")[2 : 2 + count]
    assert all(len(row) == 19 for row in rows)  # twenty bytes with the line feed
    found = {}
    for number, row in enumerate(rows[1:], start=1):
        at = int(row[:10])
        head = f"{number} 0 obj\n".encode()
        assert pdf[at:].startswith(head)
        found[number] = pdf[at + len(head) : pdf.index(b"\nendobj", at)]
    return found


def texts(pdf: bytes) -> list[str]:
    literals = re.findall(rb"\((.*)\) Tj", pdf)
    return [re.sub(r"\\(.)", r"\1", literal.decode("cp1252")) for literal in literals]


def test_every_object_is_where_the_table_says() -> None:
    pdf = invoice_pdf(an_invoice())
    assert pdf.startswith(b"%PDF-1.4\n")
    assert pdf.endswith(b"%%EOF\n")
    assert b"/Type /Catalog" in objects(pdf)[1]


def test_streams_are_as_long_as_they_say() -> None:
    for body in objects(invoice_pdf(an_invoice(merchant_name="Café €uro"))).values():
        if b"stream\n" in body:
            declared = int(re.findall(rb"/Length (\d+)", body)[0])
            assert len(body.split(b">>\nstream\n", 1)[1].removesuffix(b"\nendstream")) == declared


def test_it_says_what_the_invoice_says() -> None:
    said = texts(invoice_pdf(an_invoice()))
    for text in ("A1B2C3D4-0001", "November 22, 2026", "Ada Lovelace", "1 × Basic (at $9.00 / month)", "$9.00 due"):
        assert text in said
    assert any("TEST MODE" in text for text in said)


@pytest.mark.parametrize(
    ("status", "headline"), [("paid", "$9.00 paid"), ("void", "$9.00 void"), ("uncollectible", "$0.00 uncollectible")]
)
def test_the_status_is_the_headline(status: str, headline: str) -> None:
    assert headline in texts(invoice_pdf(an_invoice(status=status, amount_paid=900, amount_remaining=0)))


def test_many_lines_take_many_pages() -> None:
    pdf = invoice_pdf(an_invoice(lines=[a_line(name=f"Item {number}", description=None) for number in range(60)]))
    said = texts(pdf)
    assert {f"Item {number}" for number in range(60)} <= set(said)
    assert "Page 3 of 3" in said
    assert b"/Count 3" in pdf


def test_text_can_not_break_out_of_its_literal() -> None:
    name = r"\) Tj ET (evil\\"
    assert name in texts(invoice_pdf(an_invoice(merchant_name=name)))


def test_letters_the_fonts_lack_become_question_marks_and_signs_become_codes() -> None:
    said = texts(invoice_pdf(an_invoice(customer_name="山田", currency="inr", lines=[])))
    assert "??" in said
    assert "INR 9.00" in said


def test_long_lines_are_cut() -> None:
    document = Document(title="t")
    document.text(0, 0, "W" * 100, size=10, width=200)
    [text] = texts(document.render())
    assert text.endswith("…")
    assert text_width(text, 10) <= 200

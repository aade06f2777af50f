"""Reads tables in Markdown."""


def tables(text):
    """All tables of a text as lists of header -> cell."""
    found, header = [], None
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            header = None
        elif header is None:
            header = cells
            found.append([])
        elif not cells[0].startswith(":-"):
            found[-1].append(dict(zip(header, cells)))
    return found

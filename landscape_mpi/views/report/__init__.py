"""One self-contained HTML page of surfaces: what is in it, its tables, its script and its look."""

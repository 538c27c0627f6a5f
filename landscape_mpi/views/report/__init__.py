"""One self-contained HTML page of surfaces: its contents, its tables, its script and its look."""

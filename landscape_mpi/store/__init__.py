"""The files: schema, collective writer, resume checks, reader."""

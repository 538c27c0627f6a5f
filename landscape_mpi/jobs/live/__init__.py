"""What a notebook calls: the jobs of the commands for networks that are live."""

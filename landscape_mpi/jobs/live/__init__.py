"""Run the jobs of the commands from Python, for networks in memory."""

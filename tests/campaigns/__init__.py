"""Many small networks, drawn at random, each compared with a plain loop."""

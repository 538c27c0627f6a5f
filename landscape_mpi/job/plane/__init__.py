"""Which plane is computed: its points, its directions, and paths that lie in it."""

"""The path of training runs, and the plane that holds most of it."""

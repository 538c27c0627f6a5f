"""Small networks, each of a kind that people bring and that a network of the zoo is not."""

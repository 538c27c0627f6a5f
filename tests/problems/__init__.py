"""Problems as people bring them, one a module; plain.py has the loop that each is compared with."""

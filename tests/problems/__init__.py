"""Problems as people bring them, one a module; cases/problem_files.py has their rows."""

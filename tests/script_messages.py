"""Read the messages in shell scripts, with their values replaced."""

import re

from folders import ROOT

VALUE = "…"  # stands for a value in a message
FOLDERS = ("launch", "slurm", "pbs", "lsf", "containers")
ENDINGS = {".sh", ".sbatch", ".pbs", ".lsf", ".def"}
MISSING = re.compile(r"\$\{[\w\[\]]+:\?([^}]+)\}")  # of a variable that has to be set
CALL = re.compile(r"\b(stop\w*|say|echo|printf) ((?:(?:\"[^\"]*\"|'[^']*') ?)+)(>&2)?")
PASSED_ON = {"$*", "$@"}  # messages that are read where a function is called


def scripts():
    """Return the scripts and templates that a user starts."""
    paths = (path for folder in FOLDERS for path in (ROOT / folder).iterdir())
    return sorted(path for path in paths if path.suffix in ENDINGS)


def without_substitutions(text):
    """Return a text with ``$(...)`` replaced by a value, and the inner texts."""
    inner = []
    while (begin := text.rfind("$(")) >= 0:
        end, depth = begin + 2, 1
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        inner.append(text[begin + 2 : end - 1])
        text = text[:begin] + VALUE + text[end:]
    return text, inner


def commands_of(text):
    """Yield the commands of a script, each in one line and without comments."""
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    for line in lines:
        yield re.sub(r"(^|\s)#.*", "", line)


def texts_of(command, *, is_log):
    """Yield the messages of a command; those of a log are messages on any channel."""
    yield from MISSING.findall(command)
    plain, inner = without_substitutions(command)
    for part in (plain, *inner):
        for name, words, to_errors in CALL.findall(part):
            quoted = [a or b for a, b in re.findall(r"\"([^\"]*)\"|'([^']*)'", words)]
            is_message = name.startswith("stop") or to_errors or (is_log and name == "say")
            if is_message and not PASSED_ON & {*quoted}:
                yield re.sub(r"\$\{[^}]*\}|\$\w+", VALUE, " ".join(quoted))


def script_messages():
    """Return the messages of all scripts, with their places."""
    return [
        (path.relative_to(ROOT).as_posix(), text)
        for path in scripts()
        for command in commands_of(path.read_text())
        for text in texts_of(command, is_log=path.name == "run_ranks.sh")
    ]

#!/usr/bin/env bash
# Build the documentation into a folder that opens from the disk, and that any server can serve.
#
#   launch/build_docs.sh [FOLDER]        (or: make docs, into build/site)
#
# Takes the packages of requirements-docs.lock into build/docs_packages, once. Any warning, such as
# one about a dead link, is an error.
set -euo pipefail
site=$(realpath -m "${1:-$(dirname "$0")/../build/site}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly PYTHON=.venv/bin/python
readonly LOCK=requirements-docs.lock
readonly PACKAGES=build/docs_packages

main() {
    if ! cmp -s $LOCK $PACKAGES/$LOCK; then install_packages; fi
    NO_MKDOCS_2_WARNING=1 PYTHONPATH=$PWD:$PWD/$PACKAGES${PYTHONPATH:+:$PYTHONPATH} \
        $PYTHON -m mkdocs build --quiet --strict --site-dir "$site"
    echo "docs: $site/index.html"
}

install_packages() {
    echo "docs: $(grep -c == $LOCK) packages of $LOCK into $PACKAGES"
    rm -rf $PACKAGES
    $PYTHON -m pip install -q --disable-pip-version-check --no-deps --target $PACKAGES -r $LOCK
    cp $LOCK $PACKAGES/
}

main

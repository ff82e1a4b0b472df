#!/bin/sh
# Builds the Debian package, with completions and manual pages from the binary itself. Needs cargo-deb:
#
#   cargo install --locked cargo-deb
#   config/debian/build.sh                # says where the package is
#   config/debian/build.sh --files-only   # makes what is packaged beside the binary, and no package
#   config/debian/build.sh --files-only target/ci/dockgate   # the same by a binary that is built already
set -eu
cd "$(dirname "$0")/../.."

target="${CARGO_TARGET_DIR:-target}/release"
made="$target/packaging"
if [ "${1:-}" = --files-only ] && [ -n "${2:-}" ]; then
    program="$2"
else
    cargo build --release --locked
    program="$target/dockgate"
fi
rm -rf "$made"
mkdir -p "$made"
"$program" completions bash >"$made/dockgate.bash"
"$program" completions zsh >"$made/_dockgate"
"$program" completions fish >"$made/dockgate.fish"
"$program" man "$made/man"
gzip -9n "$made"/man/*.1
if [ "${1:-}" != --files-only ]; then
    # Four fifths of the binary are for debuggers.
    cargo deb --locked --no-build --strip "$@"
fi

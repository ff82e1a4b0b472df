#!/bin/sh
# Builds the Debian package, with completions and manual pages from the binary itself. Needs cargo-deb:
#
#   cargo install --locked cargo-deb
#   config/debian/build.sh                # says where the package is
#   config/debian/build.sh --files-only   # makes what is packaged beside the binary, and no package
set -eu
cd "$(dirname "$0")/../.."

cargo build --release --locked
release="${CARGO_TARGET_DIR:-target}/release"
made="$release/packaging"
rm -rf "$made"
mkdir -p "$made"
"$release/dockgate" completions bash >"$made/dockgate.bash"
"$release/dockgate" completions zsh >"$made/_dockgate"
"$release/dockgate" completions fish >"$made/dockgate.fish"
"$release/dockgate" man "$made/man"
[ "${1:-}" = --files-only ] || cargo deb --locked --no-build "$@"

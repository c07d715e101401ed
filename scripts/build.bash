# What every build shares; sourced by scripts/quickstart, scripts/test and scripts/bench.
#
# Sets and exports
#   SYNCLINE_CACHE      downloads and builds, outside the clone (default ~/.cache/syncline)
#   CARGO_TARGET_DIR    builds (default $SYNCLINE_CACHE/target), so that all scripts share one
#   OPENSSL_NO_VENDOR   the Kafka client's OpenSSL comes from the system where pkg-config finds version 3;
#                       elsewhere it is built from source, which takes minutes
export SYNCLINE_CACHE="${SYNCLINE_CACHE:-$HOME/.cache/syncline}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$SYNCLINE_CACHE/target}"
if [ -z "${OPENSSL_NO_VENDOR:-}" ] && pkg-config --atleast-version=3 openssl 2>/dev/null; then
  export OPENSSL_NO_VENDOR=1
fi

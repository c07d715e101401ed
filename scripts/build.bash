# Settings that all builds share. Sourced by scripts/quickstart, scripts/test and scripts/bench.
#
# Sets and exports
#   SYNCLINE_CACHE      folder of downloads and builds, outside the clone (default ~/.cache/syncline)
#   CARGO_TARGET_DIR    folder of builds, shared by all scripts (default $SYNCLINE_CACHE/target)
#   OPENSSL_NO_VENDOR   set if pkg-config finds OpenSSL 3: the Kafka client then uses the system's OpenSSL;
#                       otherwise it is built from source, which takes minutes
export SYNCLINE_CACHE="${SYNCLINE_CACHE:-$HOME/.cache/syncline}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$SYNCLINE_CACHE/target}"
if [ -z "${OPENSSL_NO_VENDOR:-}" ] && pkg-config --atleast-version=3 openssl 2>/dev/null; then
  export OPENSSL_NO_VENDOR=1
fi

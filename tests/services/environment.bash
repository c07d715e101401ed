# Finds or downloads what the services need. Sourced by scripts/test, scripts/bench and scripts/record-debezium.
#
# Sets and exports
#   SYNCLINE_CACHE               folder of downloads and builds, outside the clone
#   SYNCLINE_SERVICES_CLASSPATH  jars of Kafka, Kafka Connect and Debezium
#   SYNCLINE_SERVICES_POSTGRES   folder of PostgreSQL's server binaries
#   SYNCLINE_SERVICES_MARIADB    MariaDB's server binary
# Jars are downloaded once for each version of pom.xml. PostgreSQL and MariaDB are installed by apt if they are
# missing. The servers that Debian then starts on ports 5432 and 3306 are not used.

SERVICES="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export SYNCLINE_CACHE="${SYNCLINE_CACHE:-$HOME/.cache/syncline}"

say() { printf '==> %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 3; }

# Finds the newest server binaries on this machine; fails if there are none.
find_postgres() {
  local folder best=""
  if [ -n "${SYNCLINE_SERVICES_POSTGRES:-}" ]; then
    [ -x "$SYNCLINE_SERVICES_POSTGRES/initdb" ]
    return
  fi
  for folder in "$(dirname "$(command -v initdb || true)")" "$(pg_config --bindir 2>/dev/null || true)" \
    $(ls -d /usr/pgsql-*/bin /usr/lib/postgresql/*/bin 2>/dev/null | sort -V); do
    if [ -x "$folder/postgres" ] && [ -x "$folder/initdb" ]; then best="$folder"; fi
  done
  [ -n "$best" ] && export SYNCLINE_SERVICES_POSTGRES="$best"
}

# Finds the server binary on this machine, also in folders that are in root's PATH only; fails if there is none.
find_mariadb() {
  local server
  if [ -n "${SYNCLINE_SERVICES_MARIADB:-}" ]; then
    [ -x "$SYNCLINE_SERVICES_MARIADB" ]
    return
  fi
  for server in "$(command -v mariadbd || true)" /usr/sbin/mariadbd /usr/libexec/mariadbd /usr/local/sbin/mariadbd; do
    if [ -x "$server" ] && command -v mariadb-install-db >/dev/null; then
      export SYNCLINE_SERVICES_MARIADB="$server"
      return
    fi
  done
  return 1
}

# require_server NAME FIND PACKAGE HINT: installs PACKAGE if FIND fails.
require_server() {
  local name="$1" find="$2" package="$3" hint="$4" root=()
  if "$find"; then return; fi
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null ||
      die "$name's server is not installed and cannot be without root: run 'apt-get install $package', or $hint"
    root=(sudo -n)
  fi
  command -v apt-get >/dev/null || die "$name's server is not installed: install it, or $hint"
  say "installing $name with apt-get (package $package)"
  "${root[@]}" apt-get update -qq >&2
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" >&2
  "$find" || die "apt-get installed $package, but its server is in no known folder: $hint"
}

require_postgres() {
  require_server PostgreSQL find_postgres postgresql "set SYNCLINE_SERVICES_POSTGRES to the folder that holds initdb"
}

require_mariadb() {
  require_server MariaDB find_mariadb mariadb-server "set SYNCLINE_SERVICES_MARIADB to mariadbd"
}

require_jars() {
  if [ -n "${SYNCLINE_SERVICES_CLASSPATH:-}" ]; then return; fi
  command -v java >/dev/null || die "java is not installed: the tests run Kafka, which needs Java 17 or later"
  local version folder
  version="$(sha256sum "$SERVICES/pom.xml" | cut -c1-16)"
  folder="$SYNCLINE_CACHE/services/$version"
  if [ ! -e "$folder/complete" ]; then
    command -v mvn >/dev/null || die "mvn is not installed: it fetches the jars of Kafka and Debezium"
    say "fetching Kafka and Debezium (about 100 MB, once)"
    mkdir -p "$folder"
    mvn -q -B -f "$SERVICES/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
      -DoutputDirectory="$folder/lib" >&2
    touch "$folder/complete"
  fi
  export SYNCLINE_SERVICES_CLASSPATH="$folder/lib/*"
}

require_services() {
  require_jars
  require_postgres
  require_mariadb
}

# Prints a free TCP port, below the range of the kernel's automatic ports.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
}

# await PID LOG SECONDS COMMAND…: waits until COMMAND succeeds while process PID lives.
await() {
  local pid="$1" log="$2" deadline=$((SECONDS + $3))
  shift 3
  until "$@" >/dev/null 2>&1; do
    if ! kill -0 "$pid" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
      tail -n 30 "$log" >&2 || true
      die "a service did not start; its log is above ($log)"
    fi
    sleep 0.1
  done
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# start_postgres FOLDER: sets POSTGRES_PORT.
start_postgres() {
  POSTGRES_PORT="$(free_port)"
  "$SERVICES/postgres" "$1/postgres" "$POSTGRES_PORT" >"$1/postgres.log" 2>&1 &
  POSTGRES_PID=$!
  SERVICES_PIDS+=("$POSTGRES_PID")
  await "$POSTGRES_PID" "$1/postgres.log" 60 \
    "$SYNCLINE_SERVICES_POSTGRES/pg_isready" -q -h 127.0.0.1 -p "$POSTGRES_PORT"
}

# start_mariadb FOLDER: sets MARIADB_PORT.
start_mariadb() {
  MARIADB_PORT="$(free_port)"
  "$SERVICES/mariadb" "$1/mariadb" "$MARIADB_PORT" >"$1/mariadb.log" 2>&1 &
  MARIADB_PID=$!
  SERVICES_PIDS+=("$MARIADB_PID")
  await "$MARIADB_PID" "$1/mariadb.log" 60 port_open "$MARIADB_PORT"
}

# start_kafka FOLDER: sets KAFKA_PORT.
start_kafka() {
  KAFKA_PORT="$(free_port)"
  "$SERVICES/kafka" "$1/kafka" "$KAFKA_PORT" "$(free_port)" >"$1/kafka.log" 2>&1 &
  KAFKA_PID=$!
  SERVICES_PIDS+=("$KAFKA_PID")
  await "$KAFKA_PID" "$1/kafka.log" 120 port_open "$KAFKA_PORT"
}

# start_services: starts PostgreSQL, MariaDB and Kafka, stops them when the script ends in any way, and exports their addresses.
start_services() {
  SERVICES_WORK="$(mktemp -d)"
  chmod 711 "$SERVICES_WORK"
  SERVICES_PIDS=()
  trap stop_services EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  say "starting PostgreSQL, MariaDB and Kafka"
  start_postgres "$SERVICES_WORK"
  start_mariadb "$SERVICES_WORK"
  start_kafka "$SERVICES_WORK"
  export SYNCLINE_TEST_KAFKA="127.0.0.1:$KAFKA_PORT"
  export SYNCLINE_TEST_POSTGRES="postgres://syncline:syncline@127.0.0.1:$POSTGRES_PORT/postgres"
  export SYNCLINE_TEST_MYSQL="mysql://syncline:syncline@127.0.0.1:$MARIADB_PORT/test"
}

# Stops every process in SERVICES_PIDS and keeps the script's exit code. The data is deleted too, so there is no
# need to wait for an orderly shutdown.
stop_services() {
  local code=$? pid
  trap - EXIT
  for pid in "${SERVICES_PIDS[@]}"; do
    # If PostgreSQL is killed, its children stay for a moment. An immediate shutdown ends them too.
    if [ "$pid" = "${POSTGRES_PID:-}" ]; then kill -QUIT "$pid"; else kill -KILL "$pid"; fi 2>/dev/null || true
  done
  wait 2>/dev/null || true
  rm -rf "$SERVICES_WORK"
  if [ "$code" != 0 ]; then say "failed with exit code $code"; fi
  exit "$code"
}

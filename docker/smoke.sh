#!/bin/sh
# Starts Pollux and asks it what every installation must answer. No account and no network beyond this machine.
# Usage: docker/smoke.sh IMAGE | docker/smoke.sh PATH/TO/pollux
set -eu

target=${1:?usage: smoke.sh IMAGE or PATH/TO/pollux}
key=smoke-key
image=
server=
folder=$(mktemp -d)
if [ -f "$target" ]; then
    target=$(CDPATH='' cd -- "$(dirname -- "$target")" && pwd)/$(basename -- "$target")
else
    image=$target
fi
for name in $(env | sed -n 's/^\(POLLUX_[A-Za-z0-9_]*\)=.*/\1/p'); do unset "$name"; done

passed=0
ok() {
    passed=$((passed + 1))
    echo "ok    $1"
}
fail() {
    echo "FAIL  $1" >&2
    if [ -f "$folder/log" ]; then sed 's/^/      | /' "$folder/log" >&2; fi
    exit 1
}
cleanup() {
    code=$?
    if [ -n "$server" ]; then
        if [ -n "$image" ]; then docker rm --force "$server" >/dev/null 2>&1 || true; else kill -KILL "$server" 2>/dev/null || true; fi
    fi
    rm -rf "$folder"
    exit "$code"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# Runs a command that ends by itself, with the configuration $folder/$1.
once() {
    config=$1
    shift
    if [ -n "$image" ]; then
        docker run --rm --volume "$folder/$config:/app/config.toml:ro" "$image" "$@"
    else
        (cd "$folder" && "$target" --config "$config" "$@")
    fi
}
status() { curl --silent --show-error --max-time 10 --output "$folder/body" --write-out '%{http_code}' "$@" || true; }
expect() {
    what=$1
    wanted=$2
    pattern=$3
    shift 3
    got=$(status "$@")
    [ "$got" = "$wanted" ] || fail "$what: status $got, not $wanted: $(head -c 300 "$folder/body")"
    grep -q -- "$pattern" "$folder/body" || fail "$what: no $pattern in: $(head -c 300 "$folder/body")"
    ok "$what"
}

port=$(awk -v seed="$$" 'BEGIN { srand(seed); print 20000 + int(rand() * 12000) }')
while curl --silent --max-time 2 --output /dev/null "http://127.0.0.1:$port/"; do port=$((port + 1)); done
inner=$port
if [ -n "$image" ]; then inner=8188; fi
base=http://127.0.0.1:$port

cat >"$folder/config.toml" <<TOML
[basic]
listen_addr = "0.0.0.0"
listen_port = $inner
database_url = "sqlite://data.db"
loglevel = "info"
pollux_key = "$key"
shutdown_grace = "5s"

[providers.geminicli]
model_list = ["gemini-2.5-pro"]

[providers.codex]
model_list = ["gpt-5.2-codex"]
TOML
printf '[basic]\npollux_key = "%s"\nlisten_prot = 1\n' "$key" >"$folder/typo.toml"
printf '[basic]\npollux_key = ""\n' >"$folder/empty.toml"
# A container's user is another one.
chmod 755 "$folder"
chmod 644 "$folder"/*.toml

case $(once config.toml --version) in
"pollux "[0-9]*) ok "--version" ;;
*) fail "--version names no version" ;;
esac

once config.toml providers >"$folder/out"
for id in geminicli gemini codex claude; do
    grep -Eq "^$id( |\$)" "$folder/out" || fail "providers does not list $id: $(cat "$folder/out")"
done
ok "providers lists geminicli, gemini, codex and claude"

once config.toml config check >"$folder/out" 2>&1 || fail "config check refuses a good file: $(cat "$folder/out")"
ok "config check takes a good file"
once config.toml config show >"$folder/out" 2>&1 || fail "config show: $(cat "$folder/out")"
if grep -q "$key" "$folder/out"; then fail "config show prints the key"; fi
ok "config show masks the key"

for bad in typo:listen_prot empty:pollux_key; do
    file=${bad%%:*}.toml
    code=0
    once "$file" serve >"$folder/out" 2>&1 || code=$?
    [ "$code" = 2 ] || fail "$file: exit code $code, not 2: $(cat "$folder/out")"
    grep -Eq "config\.toml|$file" "$folder/out" || fail "$file: the message names no file: $(cat "$folder/out")"
    grep -q "\\[basic\\] ${bad##*:}" "$folder/out" || fail "$file: the message names no key: $(cat "$folder/out")"
    ok "a bad configuration exits 2 and names ${bad##*:}"
done

if [ -n "$image" ]; then
    server=$(docker run --detach --publish "127.0.0.1:$port:8188" --volume "$folder/config.toml:/app/config.toml:ro" "$image")
else
    (cd "$folder" && exec "$target" --config config.toml serve) >"$folder/log" 2>&1 &
    server=$!
fi
tries=0
until [ "$(status "$base/healthz" 2>/dev/null)" = 200 ]; do
    tries=$((tries + 1))
    if [ -n "$image" ]; then docker logs "$server" >"$folder/log" 2>&1 || true; else kill -0 "$server" 2>/dev/null || fail "the server ended"; fi
    [ "$tries" -lt 150 ] || fail "no answer from /healthz"
    sleep 0.2
done
ok "/healthz answers 200"

if [ -n "$image" ]; then docker exec "$server" pollux healthcheck; else once config.toml healthcheck; fi || fail "healthcheck"
ok "healthcheck finds it healthy"

json='Content-Type: application/json'
expect "401 in Gemini's shape" 401 '"UNAUTHENTICATED"' -H "$json" -d '{"contents":[]}' \
    "$base/geminicli/v1beta/models/gemini-2.5-pro:generateContent"
expect "401 for a wrong key" 401 '"UNAUTHENTICATED"' "$base/geminicli/v1beta/models?key=wrong"
expect "401 in OpenAI's shape" 401 '"message"' -H "$json" -d '{"model":"gpt-5.2-codex","input":"x"}' \
    "$base/codex/v1/responses"
expect "models by ?key=" 200 'gemini-2\.5-pro' "$base/geminicli/v1beta/models?key=$key"
expect "models by x-goog-api-key" 200 'gemini-2\.5-pro' -H "x-goog-api-key: $key" "$base/geminicli/v1beta/models"
expect "models by Authorization: Bearer" 200 'gpt-5\.2-codex' -H "Authorization: Bearer $key" "$base/codex/v1/models"
expect "503 while there is no account" 503 'no available credential' -H "Authorization: Bearer $key" -H "$json" \
    -d '{"model":"gpt-5.2-codex","input":"x"}' "$base/codex/v1/responses"

begun=$(date +%s)
code=0
if [ -n "$image" ]; then
    docker stop --time 15 "$server" >/dev/null
    code=$(docker inspect --format '{{.State.ExitCode}}' "$server")
    docker logs "$server" >"$folder/log" 2>&1
    docker rm "$server" >/dev/null
else
    kill -TERM "$server"
    wait "$server" || code=$?
fi
server=
took=$(($(date +%s) - begun))
[ "$code" = 0 ] || fail "SIGTERM: exit code $code, not 0"
[ "$took" -le 10 ] || fail "SIGTERM: took $took s"
ok "SIGTERM exits 0"
if grep -q "$key" "$folder/log"; then fail "the log holds the key"; fi
ok "the log holds no key"

echo "smoke: $passed checks passed on $1"

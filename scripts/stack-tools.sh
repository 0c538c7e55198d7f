#!/usr/bin/env bash
# Build the OpenTelemetry Collector, Prometheus and promtool from their public Go modules, and the program that renders
# Grafana's message templates, once, into the user's cache. A program that is already there at the wanted version is left
# alone; a changed builder.yaml builds a new Collector.
#
# Programs appear in $tools/bin whole or not at all: they are built beside it and renamed. Go keeps about 5 GB of modules
# and objects in its own caches; `go clean -cache -modcache` gives them back, the programs stay.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
tools=${OTELBOT_TOOLS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/otelbot/tools}
[[ $tools = /* ]] || tools=$PWD/$tools
prometheus_module=v0.311.0 # Prometheus 3.11.0
builder=$here/collector-config/builder.yaml
builder_version=$(sed -n 's/^  version: *//p' "$builder")
template=$here/tests/stack/grafana_template
stamp_of() { { sha256sum 2>/dev/null || shasum -a 256; } | cut -c1-16; }
collector_stamp=$(stamp_of <"$builder")
template_stamp=$(cat "$template/main.go" "$template/go.mod" "$template/go.sum" | stamp_of)
export GOWORK=off # a workspace above the cache is not ours

# ready NAME STAMP PROGRAM…: whether the programs are there, built from what the stamp says
ready() {
    local name=$1 stamp=$2 program
    shift 2
    [ "$(cat "$tools/$name.stamp" 2>/dev/null)" = "$stamp" ] || return 1
    for program; do [ -x "$tools/bin/$program" ] || return 1; done
}

prometheus_ready() { ready prometheus "$prometheus_module" prometheus promtool; }
collector_ready() { ready collector "$collector_stamp" otelcol-otelbot; }
template_ready() { ready template "$template_stamp" grafana-template; }

# install_built NAME STAMP PROGRAM…: move what was built into its place. Stopped in between, no stamp vouches for it.
install_built() {
    local name=$1 stamp=$2
    shift 2
    mkdir -p "$tools/bin"
    rm -f "$tools/$name.stamp"
    mv -f "$@" "$tools/bin/"
    echo "$stamp" >"$work/$name.stamp"
    mv -f "$work/$name.stamp" "$tools/$name.stamp"
}

build_prometheus() {
    echo "stack-tools: building Prometheus $prometheus_module (about 10 minutes on two cores the first time)"
    mkdir -p "$work/prometheus/bin"
    cd "$work/prometheus"
    go mod init stack-tools/prometheus 2>/dev/null
    go get -tool "github.com/prometheus/prometheus/cmd/prometheus@$prometheus_module" \
        "github.com/prometheus/prometheus/cmd/promtool@$prometheus_module"
    go build -ldflags '-s -w' -o bin/ \
        github.com/prometheus/prometheus/cmd/prometheus github.com/prometheus/prometheus/cmd/promtool
    install_built prometheus "$prometheus_module" bin/prometheus bin/promtool
}

build_collector() {
    echo "stack-tools: building the OpenTelemetry Collector $builder_version (about 3 minutes on two cores the first time)"
    mkdir -p "$work/collector"
    cd "$work/collector"
    cp "$builder" builder.yaml
    GOBIN="$work/collector/bin" go install "go.opentelemetry.io/collector/cmd/builder@v$builder_version"
    # The builder downloads every module, also those that only Windows needs and that are not to be had everywhere: its
    # sources and go.mod are what is wanted of it. Where they are missing, `go build` says so.
    bin/builder --config builder.yaml --skip-compilation || true
    (cd otelcol-otelbot && go build -trimpath -ldflags '-s -w' -o otelcol-otelbot .)
    install_built collector "$collector_stamp" otelcol-otelbot/otelcol-otelbot
}

build_template() {
    echo "stack-tools: building the program that renders message templates (about a minute)"
    mkdir -p "$work/template"
    cd "$work/template"
    cp "$template"/main.go "$template"/go.mod "$template"/go.sum .
    go build -trimpath -ldflags '-s -w' -o grafana-template .
    install_built template "$template_stamp" grafana-template
}

finish() {
    local status=$?
    rm -rf "$work"
    [ "$status" -eq 0 ] || echo "stack-tools: not done; the reason is above, and another run goes on from here." >&2
}

if ! { prometheus_ready && collector_ready && template_ready; }; then
    command -v go >/dev/null || {
        echo "stack-tools: Go is not installed; install Go 1.25 or newer (https://go.dev/dl/) and run 'make stack-tools' again." >&2
        exit 1
    }
    mkdir -p "$tools"
    if command -v flock >/dev/null; then
        exec 9>"$tools/.lock"
        flock -n 9 || {
            echo "stack-tools: waiting for another run to end"
            flock 9
        }
        rm -rf "$tools"/.build.* # of a run that was killed
    fi
    work=$(mktemp -d "$tools/.build.XXXXXX") # on the same file system as bin/, so that moving is renaming
    trap finish EXIT
    if ! prometheus_ready; then build_prometheus; fi
    if ! collector_ready; then build_collector; fi
    if ! template_ready; then build_template; fi
fi
echo "stack-tools: ready in $tools/bin"

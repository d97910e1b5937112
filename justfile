# Chores by name. `just` alone lists them.

_default:
    @just --list

# What CI does.
ci:
    .ci/run

# Formatting and lints, warnings as errors.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# All tests, the way the README says.
test:
    cargo test --workspace

# All tests, one process each.
nextest:
    cargo nextest run --workspace

# What a run costs on 1,000 nodes and 20,000 pods: docs/performance.md.
bench:
    cargo test -p tests --test runner performance -- --ignored --nocapture

# Onboard k3s2 into the embedded cluster.
demo:
    cargo run -p harness -- --sandbox --report

# Keep an embedded cluster for trying kubectl, resume and faults (from another terminal: --sandbox=DIR).
serve dir:
    cargo run -p harness -- --sandbox-serve {{dir}}

# Build a real control plane for the tests, once; says the variable to set. Needs Go.
control-plane:
    @tests/control-plane/build.sh

# Licences and advisories of the dependencies; needs cargo-deny.
deny:
    cargo deny check

# Write the generated documents anew.
docs:
    UPDATE_DOCS=1 cargo test -p tests --test outcomes -- docs
    UPDATE_DOCS=1 cargo test -p harness -- docs

# Developer's chores; each is one command that also works without just.

# Everything CI checks.
ci:
    .ci/run

# A cluster with the example, at http://hello.localhost:8080/
up *ARGS:
    cargo run --release -- up --apply examples/hello {{ARGS}}

test *ARGS:
    cargo test --workspace {{ARGS}}

lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo deny check licenses bans sources

# Accept what the expect-tests print now.
bless *ARGS:
    UPDATE_EXPECT=1 cargo test --workspace {{ARGS}}

# Rebuild the WebAssembly guests.
guests *ARGS:
    cargo xtask guests {{ARGS}}
